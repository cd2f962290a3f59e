//! SQL text as statements, the FROM that a query over the corpus may leave out, and samples of tables.

mod error;
mod sample;

use std::collections::VecDeque;
use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParser, DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Select, SelectItem, SetExpr, Spanned,
    Statement as SqlStatement, TableFactor, TableWithJoins, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use tamis_files::describe::Place;

pub use error::StatementError;
pub use sample::take_samples;

/// The name under which the table of `--corpus` is registered.
pub const CORPUS: &str = "corpus";

/// Parses statements separated by semicolons.
pub fn parse(sql: &str) -> Result<VecDeque<Statement>, StatementError> {
    Ok(DFParser::parse_sql(sql)?)
}

/// The text of each statement as it was written. What a statement prints of itself is not always all of it: the columns and
/// options of an external table are left out.
pub fn texts(sql: &str) -> Vec<&str> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else { return vec![sql] };
    let mut texts = vec![];
    let (mut start, mut is_empty) = (0, true);
    for token in &tokens {
        match &token.token {
            Token::SemiColon => {
                let end = offset(sql, token.span.start.line, token.span.start.column);
                texts.extend((!is_empty).then(|| sql[start..end].trim()));
                (start, is_empty) = (end + 1, true);
            }
            Token::Whitespace(_) | Token::EOF => {}
            _ => is_empty = false,
        }
    }
    texts.extend((!is_empty).then(|| sql[start..].trim()));
    texts
}

/// Where a line and column, counted from 1, stand in a text.
fn offset(text: &str, line: u64, column: u64) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1) as usize).map(str::len).sum();
    let in_line = text[before..].char_indices().nth(column.saturating_sub(1) as usize);
    before + in_line.map_or(text.len() - before, |(place, _)| place)
}

/// Where the thing stands that a planning error speaks of, if the text holds it once: a function that is called, or
/// what stands in single quotes (a file, a model).
pub fn locate(sql: &str, message: &str) -> Option<Place> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let tokens: Vec<_> = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let mut found = tokens.iter().enumerate().filter(|(index, token)| match &token.token {
        Token::Word(word) => {
            let is_call = tokens.get(index + 1).is_some_and(|next| next.token == Token::LParen);
            is_call && speaks_of_function(message, &word.value.to_lowercase())
        }
        Token::SingleQuotedString(text) => text.len() > 1 && message.contains(text.as_str()),
        _ => false,
    });
    let (_, only) = found.next()?;
    let start = only.span.start;
    found.next().is_none().then_some(Place { line: start.line, column: start.column })
}

fn speaks_of_function(message: &str, name: &str) -> bool {
    message.starts_with(&format!("{name}:"))
        || message.contains(&format!("'{name}'"))
        || message.contains(&format!("'{name}("))
}

/// Gives each SELECT that names columns but no table the corpus as its table.
///
/// Without a corpus such a query is refused. Subqueries inside expressions are left alone: there a column without FROM
/// belongs to the query around it.
pub fn read_from_corpus(statement: &mut Statement, has_corpus: bool) -> Result<(), StatementError> {
    match statement {
        Statement::Statement(statement) => sql_statement(statement, has_corpus),
        Statement::Explain(explain) => read_from_corpus(&mut explain.statement, has_corpus),
        Statement::CopyTo(copy) => match &mut copy.source {
            datafusion::sql::parser::CopyToSource::Query(query_) => query(query_, has_corpus),
            datafusion::sql::parser::CopyToSource::Relation(_) => Ok(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => Ok(()),
    }
}

fn sql_statement(statement: &mut SqlStatement, has_corpus: bool) -> Result<(), StatementError> {
    match statement {
        SqlStatement::Query(inner) => query(inner, has_corpus),
        SqlStatement::Explain { statement, .. } => sql_statement(statement, has_corpus),
        SqlStatement::CreateView(view) => query(&mut view.query, has_corpus),
        SqlStatement::CreateTable(table) => table.query.as_mut().map_or(Ok(()), |inner| query(inner, has_corpus)),
        SqlStatement::Insert(insert) => insert.source.as_mut().map_or(Ok(()), |inner| query(inner, has_corpus)),
        _ => Ok(()),
    }
}

fn query(query_: &mut Query, has_corpus: bool) -> Result<(), StatementError> {
    for cte in query_.with.iter_mut().flat_map(|with| with.cte_tables.iter_mut()) {
        query(&mut cte.query, has_corpus)?;
    }
    set_expr(&mut query_.body, has_corpus)
}

fn set_expr(body: &mut SetExpr, has_corpus: bool) -> Result<(), StatementError> {
    match body {
        SetExpr::Select(inner) => select(inner, has_corpus),
        SetExpr::Query(inner) => query(inner, has_corpus),
        SetExpr::SetOperation { left, right, .. } => {
            set_expr(left, has_corpus)?;
            set_expr(right, has_corpus)
        }
        _ => Ok(()),
    }
}

fn select(select: &mut Select, has_corpus: bool) -> Result<(), StatementError> {
    for table in &mut select.from {
        for factor in std::iter::once(&mut table.relation).chain(table.joins.iter_mut().map(|join| &mut join.relation))
        {
            if let TableFactor::Derived { lateral: false, subquery, .. } = factor {
                query(subquery, has_corpus)?;
            }
        }
    }
    if !select.from.is_empty() || !names_columns(select, has_corpus) {
        return Ok(());
    }
    if !has_corpus {
        let start = select.span().start;
        return Err(StatementError::NoCorpus { place: Place { line: start.line.max(1), column: start.column.max(1) } });
    }
    select.from = corpus_table()?;
    Ok(())
}

/// `FROM corpus` as the parser makes it, so that it stays right whatever fields a table has in the syntax tree.
fn corpus_table() -> Result<Vec<TableWithJoins>, StatementError> {
    let mut parser = DFParserBuilder::new(format!("SELECT 1 FROM {CORPUS}").as_str()).build()?;
    let parsed = parser.parser.parse_query().map_err(|e| DataFusionError::SQL(Box::new(e), None))?;
    match *parsed.body {
        SetExpr::Select(select) => Ok(select.from),
        _ => Ok(vec![]),
    }
}

fn names_columns(select: &Select, has_corpus: bool) -> bool {
    let wildcard = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut columns = Columns { depth: 0, found: wildcard, count_rows: has_corpus };
    if !wildcard {
        let _ = select.visit(&mut columns);
    }
    columns.found
}

/// Looks for a column outside nested queries.
struct Columns {
    depth: usize,
    found: bool,
    /// Whether `count(*)` counts as naming columns: it does where there is a corpus whose rows can be counted.
    count_rows: bool,
}

impl Visitor for Columns {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let is_column = match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => true,
            Expr::Function(function) => self.count_rows && takes_wildcard(&function.args),
            _ => false,
        };
        if self.depth == 0 && is_column {
            self.found = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

fn takes_wildcard(args: &FunctionArguments) -> bool {
    let FunctionArguments::List(list) = args else { return false };
    list.args.iter().any(|arg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Wildcard)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sql: &str) -> String {
        let mut statement = parse(sql).unwrap().pop_front().unwrap();
        read_from_corpus(&mut statement, true).unwrap();
        statement.to_string()
    }

    #[test]
    fn a_query_that_names_columns_reads_the_corpus() {
        for (sql, expected) in [
            ("SELECT * WHERE f(image, text) >= 2", "SELECT * FROM corpus WHERE f(image, text) >= 2"),
            ("SELECT uid ORDER BY uid", "SELECT uid FROM corpus ORDER BY uid"),
            ("SELECT count(*)", "SELECT count(*) FROM corpus"),
            ("SELECT a UNION ALL SELECT b", "SELECT a FROM corpus UNION ALL SELECT b FROM corpus"),
            ("WITH g AS (SELECT *) SELECT x FROM g", "WITH g AS (SELECT * FROM corpus) SELECT x FROM g"),
            ("SELECT x FROM (SELECT * WHERE y) AS t", "SELECT x FROM (SELECT * FROM corpus WHERE y) AS t"),
            ("EXPLAIN SELECT a", "EXPLAIN SELECT a FROM corpus"),
            ("CREATE VIEW v AS SELECT a", "CREATE VIEW v AS SELECT a FROM corpus"),
        ] {
            assert_eq!(rewritten(sql), expected);
        }
    }

    #[test]
    fn other_queries_stay_as_they_are() {
        for sql in [
            "SELECT 1",
            "SELECT a FROM t",
            "SELECT now()",
            "SELECT (SELECT max(a) FROM t)",
            "SELECT a FROM t WHERE EXISTS (SELECT 1 WHERE a > 1)",
            "SHOW TABLES",
        ] {
            assert_eq!(rewritten(sql), sql);
        }
    }

    #[test]
    fn without_a_corpus_the_query_is_refused_with_its_place() {
        let mut statements = parse("SELECT 1;\n  SELECT uid WHERE width > 3").unwrap();
        read_from_corpus(&mut statements[0], false).unwrap();
        let error = read_from_corpus(&mut statements[1], false).unwrap_err().to_string();
        assert!(error.starts_with("line 2, column 3: ") && error.contains("--corpus"), "{error}");
    }

    #[test]
    fn what_an_error_speaks_of_is_found_if_it_stands_there_once() {
        let sql = "SELECT 1,\n  unifilter(image, 3) FROM 'a.csv' WHERE width > 3";
        let at = |message: &str| locate(sql, message).map(|place| (place.line, place.column));
        assert_eq!(at("unifilter: argument 2 (text) is Int64"), Some((2, 3)));
        assert_eq!(at("no such file or folder: a.csv"), Some((2, 28)));
        assert_eq!(at("width is wrong"), None);
        assert_eq!(locate("SELECT f(1), f('x')", "f: argument 1 is wrong"), None);
    }

    #[test]
    fn statements_are_told_apart_as_they_were_written() {
        let sql =
            "SELECT ';' AS é; -- none;\n;\nCREATE EXTERNAL TABLE t (a INT) STORED AS CSV\n  LOCATION 'x'; SELECT 2";
        let expected = ["SELECT ';' AS é", "CREATE EXTERNAL TABLE t (a INT) STORED AS CSV\n  LOCATION 'x'", "SELECT 2"];
        let found = texts(sql);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().zip(expected).all(|(found, expected)| found.ends_with(expected)), "{found:?}");
        assert_eq!(parse(sql).unwrap().len(), 3);
        assert_eq!(texts(" ; "), Vec::<&str>::new());
    }

    #[test]
    fn count_without_a_corpus_is_left_to_the_planner() {
        let mut statement = parse("SELECT count(*)").unwrap().pop_front().unwrap();
        read_from_corpus(&mut statement, false).unwrap();
        assert_eq!(statement.to_string(), "SELECT count(*)");
    }
}
