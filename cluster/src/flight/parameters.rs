//! Parameters of prepared statements.
//!
//! Ballista's frontend knows none: a statement with parameters is kept here as text, and its parameters are written into it
//! as literals when it is run.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr as LogicalExpr, LogicalPlan, cast, lit};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Value, VisitMut, VisitorMut};
use datafusion::sql::unparser::expr_to_sql;
use tamis_engine::statements;

use crate::error::ClusterError;

/// Numbers the question marks of a statement, as DataFusion wants them; how many parameters it has.
pub(super) fn number(statement: &mut Statement) -> usize {
    let mut numbers = Numbers { next: 1, most: 0 };
    if let Statement::Statement(statement) = statement {
        let _ = statement.visit(&mut numbers);
    }
    numbers.most
}

struct Numbers {
    next: usize,
    most: usize,
}

impl VisitorMut for Numbers {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &mut value.value
        {
            if name == "?" {
                *name = format!("${}", self.next);
                self.next += 1;
            }
            self.most = self.most.max(place(name).unwrap_or(1));
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
pub(super) fn bind(sql: &str, values: &RecordBatch, parameters: usize) -> Result<String, ClusterError> {
    if values.num_columns() != parameters {
        let given = values.num_columns();
        return Err(ClusterError::Parameters(format!(
            "{given} values came; the statement has {parameters} parameters"
        )));
    }
    if values.num_rows() != 1 {
        let rows = values.num_rows();
        return Err(ClusterError::Parameters(format!("{rows} rows came; a query takes one")));
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
        return Err(ClusterError::Parameters(format!("{name} has no value; {given} were given")));
    }
    let texts: Vec<String> = parsed.iter().map(ToString::to_string).collect();
    Ok(texts.join("; "))
}

/// The number of a parameter such as `$3`.
fn place(name: &str) -> Option<usize> {
    name.strip_prefix('$')?.parse().ok()
}

fn literal(value: &ScalarValue) -> datafusion::error::Result<Expr> {
    match value {
        // It would become a string.
        ScalarValue::Binary(Some(bytes)) | ScalarValue::LargeBinary(Some(bytes)) => {
            let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(Expr::value(Value::HexStringLiteral(hex)))
        }
        // Written bare they would be the names of columns.
        ScalarValue::Float64(Some(number)) if !number.is_finite() => not_finite(*number, DataType::Float64),
        ScalarValue::Float32(Some(number)) if !number.is_finite() => not_finite(f64::from(*number), DataType::Float32),
        value => expr_to_sql(&LogicalExpr::Literal(value.clone(), None)),
    }
}

fn not_finite(number: f64, of: DataType) -> datafusion::error::Result<Expr> {
    let text = if number.is_nan() { "NaN".to_string() } else { number.to_string() };
    expr_to_sql(&cast(lit(text), of))
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
        match place(name).and_then(|place| self.literals.get(place.checked_sub(1)?)) {
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

    fn numbered(sql: &str) -> (String, usize) {
        let mut statement = statements::parse(sql).unwrap().pop_front().unwrap();
        let has = number(&mut statement);
        (statement.to_string(), has)
    }

    #[test]
    fn question_marks_are_numbered() {
        let (sql, has) = numbered("SELECT * FROM t WHERE a >= ? AND b IN (SELECT c FROM u WHERE d = ?) LIMIT ?");
        assert_eq!(has, 3);
        assert_eq!(sql, "SELECT * FROM t WHERE a >= $1 AND b IN (SELECT c FROM u WHERE d = $2) LIMIT $3");
        assert_eq!(numbered("SELECT '?' FROM t"), ("SELECT '?' FROM t".into(), 0));
    }

    #[test]
    fn values_are_written_as_literals() {
        let row = |values: Vec<ArrayRef>| {
            RecordBatch::try_from_iter(values.into_iter().enumerate().map(|(i, v)| (format!("p{i}"), v))).unwrap()
        };
        let one = |value: ArrayRef| bind("SELECT $1", &row(vec![value]), 1).unwrap();
        assert_eq!(one(Arc::new(Int64Array::from(vec![-3]))), "SELECT (-3)");
        assert_eq!(one(Arc::new(Float64Array::from(vec![2.5]))), "SELECT (2.5)");
        assert_eq!(one(Arc::new(BooleanArray::from(vec![true]))), "SELECT (true)");
        assert_eq!(one(Arc::new(StringArray::from(vec!["it's; DROP"]))), "SELECT ('it''s; DROP')");
        assert_eq!(one(Arc::new(Int64Array::from(vec![None]))), "SELECT (NULL)");
        assert_eq!(one(Arc::new(BinaryArray::from(vec![&[1_u8, 255][..]]))), "SELECT (X'01ff')");
        assert!(one(Arc::new(Date32Array::from(vec![1]))).contains("1970-01-02"));
        let two = row(vec![Arc::new(Int64Array::from(vec![1])), Arc::new(Int64Array::from(vec![2]))]);
        assert_eq!(bind("SELECT $2, $1, $2", &two, 2).unwrap(), "SELECT (2), (1), (2)");
        let error = bind("SELECT $3", &two, 3).unwrap_err().to_string();
        assert!(error.contains("2 values came; the statement has 3"), "{error}");
        let nan = one(Arc::new(Float64Array::from(vec![f64::NAN])));
        assert!(nan.contains("CAST('NaN' AS DOUBLE"), "{nan}");
    }
}
