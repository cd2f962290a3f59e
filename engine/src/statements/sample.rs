//! `TABLESAMPLE`, which DataFusion's planner passes over: a sampled table becomes a subquery that takes the sample.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectNamePart, Query, SetExpr, Spanned, Statement as SqlStatement, TableAlias, TableFactor,
    TableSample, TableSampleKind, TableSampleMethod, TableSampleUnit, Value, VisitMut, VisitorMut,
};

use tamis_files::describe::Place;

use super::StatementError;

/// Replaces each sampled table of a statement.
///
/// `t TABLESAMPLE (1)`, with `BERNOULLI`, `SYSTEM` or neither, takes each row with a probability of one per cent:
/// `(SELECT * FROM t WHERE random() < 0.01) AS t`. `t TABLESAMPLE (100 ROWS)` takes a hundred rows, whichever come first.
pub fn take_samples(statement: &mut Statement) -> Result<(), StatementError> {
    let inner = match statement {
        Statement::Statement(statement) => statement.as_mut(),
        Statement::Explain(explain) => return take_samples(&mut explain.statement),
        Statement::CopyTo(copy) => match &mut copy.source {
            datafusion::sql::parser::CopyToSource::Query(query) => return visit(query.as_mut()),
            datafusion::sql::parser::CopyToSource::Relation(_) => return Ok(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => return Ok(()),
    };
    visit::<SqlStatement>(inner)
}

fn visit<T: VisitMut>(node: &mut T) -> Result<(), StatementError> {
    match node.visit(&mut Samples) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Samples;

impl VisitorMut for Samples {
    type Break = StatementError;

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<StatementError> {
        match replaced(factor) {
            Ok(Some(sampled)) => *factor = sampled,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

fn replaced(factor: &TableFactor) -> Result<Option<TableFactor>, StatementError> {
    let place = factor.span().start;
    let mut table = factor.clone();
    let (sample, alias, own_name) = match &mut table {
        TableFactor::Table { sample, alias, name, .. } => {
            let last = name.0.last().and_then(|part| match part {
                ObjectNamePart::Identifier(name) => Some(name.clone()),
                _ => None,
            });
            (sample.take(), alias.take(), last)
        }
        TableFactor::Derived { sample, alias, .. } => (sample.take(), alias.take(), None),
        _ => return Ok(None),
    };
    let Some(TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample else {
        return Ok(None);
    };
    let refused = |reason: String| StatementError::Sample {
        place: Place { line: place.line.max(1), column: place.column.max(1) },
        sample: sample.to_string(),
        reason,
    };
    let clause = clause(&sample).map_err(refused)?;
    let mut subquery = parse(&format!("SELECT * FROM t {clause}")).map_err(refused)?;
    let SetExpr::Select(select) = subquery.body.as_mut() else { return Ok(None) };
    let alias = alias.or_else(|| own_name.map(alias_of));
    for from in &mut select.from {
        from.relation = table.clone();
    }
    Ok(Some(TableFactor::Derived { lateral: false, subquery: Box::new(subquery), alias, sample: None }))
}

/// What takes the sample, behind the table's name.
fn clause(sample: &TableSample) -> Result<String, String> {
    if sample.seed.is_some() {
        return Err("a sample cannot be repeated; leave REPEATABLE and SEED out".into());
    }
    if sample.bucket.is_some() || sample.offset.is_some() || matches!(sample.name, Some(TableSampleMethod::Block)) {
        return Err("only a percentage or a number of ROWS can be taken".into());
    }
    let Some(quantity) = &sample.quantity else {
        return Err("it says not how much; write (1) for one per cent".into());
    };
    let Expr::Value(value) = &quantity.value else { return Err("its size must be a number".into()) };
    let Value::Number(number, _) = &value.value else { return Err("its size must be a number".into()) };
    let size: f64 = number.to_string().parse().map_err(|_| "its size must be a number".to_string())?;
    match quantity.unit {
        Some(TableSampleUnit::Rows) if size.fract() == 0. => Ok(format!("LIMIT {number}")),
        Some(TableSampleUnit::Rows) => Err("a number of rows must be whole".into()),
        Some(TableSampleUnit::Percent) | None if (0. ..=100.).contains(&size) => {
            Ok(format!("WHERE random() < {}", size / 100.))
        }
        Some(TableSampleUnit::Percent) | None => Err("a percentage must lie between 0 and 100".into()),
    }
}

fn parse(sql: &str) -> Result<Query, String> {
    let mut parser = DFParserBuilder::new(sql).build().map_err(|e| e.to_string())?;
    parser.parser.parse_query().map(|query| *query).map_err(|e| e.to_string())
}

fn alias_of(name: Ident) -> TableAlias {
    TableAlias { explicit: true, name, columns: vec![], at: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sql: &str) -> Result<String, StatementError> {
        let mut statement = super::super::parse(sql)?.pop_front().unwrap();
        take_samples(&mut statement)?;
        Ok(statement.to_string())
    }

    #[test]
    fn a_sampled_table_becomes_a_subquery_of_its_name() {
        for (sql, expected) in [
            ("SELECT * FROM t TABLESAMPLE (1)", "SELECT * FROM (SELECT * FROM t WHERE random() < 0.01) AS t"),
            (
                "SELECT a.x FROM s.t AS a TABLESAMPLE BERNOULLI (50 PERCENT) JOIN u ON a.x = u.x",
                "SELECT a.x FROM (SELECT * FROM s.t WHERE random() < 0.5) AS a JOIN u ON a.x = u.x",
            ),
            (
                "EXPLAIN SELECT * FROM 'a.parquet' TABLESAMPLE SYSTEM (2.5) WHERE x > 1",
                "EXPLAIN SELECT * FROM (SELECT * FROM 'a.parquet' WHERE random() < 0.025) AS 'a.parquet' WHERE x > 1",
            ),
            (
                "SELECT * FROM (SELECT * FROM t TABLESAMPLE (10 ROWS)) AS x",
                "SELECT * FROM (SELECT * FROM (SELECT * FROM t LIMIT 10) AS t) AS x",
            ),
            ("SELECT * FROM t", "SELECT * FROM t"),
        ] {
            assert_eq!(rewritten(sql).unwrap(), expected);
        }
    }

    #[test]
    fn what_cannot_be_taken_is_refused_with_its_place() {
        for (sample, reason) in [
            ("(1) REPEATABLE (7)", "cannot be repeated"),
            ("(101)", "between 0 and 100"),
            ("(1.5 ROWS)", "must be whole"),
            ("(BUCKET 1 OUT OF 10)", "only a percentage"),
        ] {
            let error = rewritten(&format!("SELECT *\nFROM t TABLESAMPLE {sample}")).unwrap_err().to_string();
            assert!(error.starts_with("line 2, column 6: ") && error.contains(reason), "{error}");
        }
    }
}
