//! Parameters of prepared statements.
//!
//! Ballista's frontend knows none: a statement with parameters is kept here as text, and its parameters are written into it
//! as literals when it is run.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr as LogicalExpr, LogicalPlan};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Value, VisitMut, VisitorMut};
use datafusion::sql::unparser::expr_to_sql;

use crate::error::EngineError;
use crate::statements;

/// Numbers the question marks of a statement, as DataFusion wants them; whether it has parameters at all.
pub(super) fn number(statement: &mut Statement) -> bool {
    let mut numbers = Numbers { next: 1, found: false };
    if let Statement::Statement(statement) = statement {
        let _ = statement.visit(&mut numbers);
    }
    numbers.found
}

struct Numbers {
    next: usize,
    found: bool,
}

impl VisitorMut for Numbers {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &mut value.value
        {
            self.found = true;
            if name == "?" {
                *name = format!("${}", self.next);
                self.next += 1;
            }
        }
        ControlFlow::Continue(())
    }
}

/// The parameters of a plan: their names in order, and what types they are taken for.
pub(super) fn schema(plan: &LogicalPlan) -> Schema {
    let types = plan.get_parameter_types().unwrap_or_default();
    // $2 before $10.
    let ordered: BTreeMap<(usize, String), Option<DataType>> =
        types.into_iter().map(|(name, of)| ((name.len(), name), of)).collect();
    let fields: Vec<Field> =
        ordered.into_iter().map(|((_, name), of)| Field::new(name, of.unwrap_or(DataType::Utf8), true)).collect();
    Schema::new(fields)
}

/// The statement with the values of the batch's only row in the places of its parameters.
pub(super) fn bind(sql: &str, values: &RecordBatch) -> Result<String, EngineError> {
    if values.num_rows() != 1 {
        let rows = values.num_rows();
        return Err(EngineError::Config(format!("binding parameters: {rows} rows came; a query takes one")));
    }
    let literals =
        (0..values.num_columns()).map(|column| literal(&ScalarValue::try_from_array(values.column(column), 0)?));
    let literals = literals.collect::<datafusion::error::Result<Vec<_>>>()?;
    let mut parsed = statements::parse(sql)?;
    let mut bound = Bound { literals, missing: None };
    for statement in &mut parsed {
        if let Statement::Statement(statement) = statement {
            let _ = statement.visit(&mut bound);
        }
    }
    if let Some(name) = bound.missing {
        let given = bound.literals.len();
        return Err(EngineError::Config(format!("binding parameters: {name} has no value; {given} were given")));
    }
    let texts: Vec<String> = parsed.iter().map(ToString::to_string).collect();
    Ok(texts.join("; "))
}

fn literal(value: &ScalarValue) -> datafusion::error::Result<Expr> {
    match value {
        // It would become a string.
        ScalarValue::Binary(Some(bytes)) | ScalarValue::LargeBinary(Some(bytes)) => {
            let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(Expr::value(Value::HexStringLiteral(hex)))
        }
        value => expr_to_sql(&LogicalExpr::Literal(value.clone(), None)),
    }
}

struct Bound {
    literals: Vec<Expr>,
    missing: Option<String>,
}

impl VisitorMut for Bound {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Value(value) = expr else { return ControlFlow::Continue(()) };
        let Value::Placeholder(name) = &value.value else { return ControlFlow::Continue(()) };
        let place = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        match place.and_then(|place| self.literals.get(place.checked_sub(1)?)) {
            Some(literal) => *expr = Expr::Nested(Box::new(literal.clone())),
            None => self.missing = Some(name.clone()),
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray,
    };

    use super::*;

    fn numbered(sql: &str) -> (String, bool) {
        let mut statement = statements::parse(sql).unwrap().pop_front().unwrap();
        let has = number(&mut statement);
        (statement.to_string(), has)
    }

    #[test]
    fn question_marks_are_numbered() {
        let (sql, has) = numbered("SELECT * FROM t WHERE a >= ? AND b IN (SELECT c FROM u WHERE d = ?) LIMIT ?");
        assert!(has);
        assert_eq!(sql, "SELECT * FROM t WHERE a >= $1 AND b IN (SELECT c FROM u WHERE d = $2) LIMIT $3");
        assert_eq!(numbered("SELECT '?' FROM t"), ("SELECT '?' FROM t".into(), false));
    }

    #[test]
    fn values_are_written_as_literals() {
        let row = |values: Vec<ArrayRef>| {
            RecordBatch::try_from_iter(values.into_iter().enumerate().map(|(i, v)| (format!("p{i}"), v))).unwrap()
        };
        let one = |value: ArrayRef| bind("SELECT $1", &row(vec![value])).unwrap();
        assert_eq!(one(Arc::new(Int64Array::from(vec![-3]))), "SELECT (-3)");
        assert_eq!(one(Arc::new(Float64Array::from(vec![2.5]))), "SELECT (2.5)");
        assert_eq!(one(Arc::new(BooleanArray::from(vec![true]))), "SELECT (true)");
        assert_eq!(one(Arc::new(StringArray::from(vec!["it's; DROP"]))), "SELECT ('it''s; DROP')");
        assert_eq!(one(Arc::new(Int64Array::from(vec![None]))), "SELECT (NULL)");
        assert_eq!(one(Arc::new(BinaryArray::from(vec![&[1_u8, 255][..]]))), "SELECT (X'01ff')");
        assert!(one(Arc::new(Date32Array::from(vec![1]))).contains("1970-01-02"));
        let two = row(vec![Arc::new(Int64Array::from(vec![1])), Arc::new(Int64Array::from(vec![2]))]);
        assert_eq!(bind("SELECT $2, $1, $2", &two).unwrap(), "SELECT (2), (1), (2)");
        let error = bind("SELECT $3", &two).unwrap_err().to_string();
        assert!(error.contains("$3 has no value"), "{error}");
    }
}
