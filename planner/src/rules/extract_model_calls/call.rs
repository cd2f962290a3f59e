//! Recognising model calls in expressions.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, TryCast};
use tamis_udfs::calls::{CallOutput, ModelFunction, model_function};

use super::super::columns::{map_columns, resolve};
use crate::PlannerError;

/// The argument that names the model, counted from 0.
const MODEL_ARGUMENT: usize = 2;

/// A call in terms of one plan's output columns, each with its qualifier.
pub(super) type ModelCall = crate::ModelCall<Expr>;

/// The call that `expr` is over rows of `schema`, and what is wanted of it, if it is one that a node can make.
///
/// None are calls over columns of another scope (outer references, lambda variables), over volatile arguments,
/// which may not be evaluated a different number of times, and over what only its own node can evaluate
/// (subqueries, aggregates, windows, placeholders).
pub(super) fn call_of(expr: &Expr, schema: &DFSchema) -> Result<Option<(ModelCall, CallOutput)>> {
    let (Some(ModelFunction { family, output }), Expr::ScalarFunction(function)) = (function_of(expr), expr) else {
        return Ok(None);
    };
    if function.args.iter().any(|arg| arg.is_volatile() || !is_plain(arg)) {
        return Ok(None);
    }
    let expected = match output {
        CallOutput::Score => DataType::Float32,
        CallOutput::Error => DataType::Utf8,
    };
    let content = &function.args[..function.args.len().min(MODEL_ARGUMENT)];
    let Some(args) = content.iter().map(|arg| qualified(arg, schema)).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    if function.args.len() > MODEL_ARGUMENT + 1 || expr.get_type(schema)? != expected {
        return Ok(None);
    }
    let model = function.args.get(MODEL_ARGUMENT).map(|arg| model_name(family, arg)).transpose()?;
    Ok(Some((ModelCall { family: family.into(), model, args }, output)))
}

/// The model function that `expr` calls, whether or not a node can make the call.
pub(super) fn function_of(expr: &Expr) -> Option<ModelFunction> {
    match expr {
        Expr::ScalarFunction(function) => model_function(function.func.name()),
        _ => None,
    }
}

/// `expr` with each column as `schema` names it; `None` if a column is not there.
pub(super) fn qualified(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    map_columns(expr, |column| resolve(column, schema))
}

/// Whether any plan node can evaluate `expr`.
pub(super) fn is_plain(expr: &Expr) -> bool {
    let foreign = expr.exists(|e| {
        #[expect(deprecated, reason = "a wildcard must be named to be refused")]
        Ok(matches!(
            e,
            Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::GroupingSet(_)
                | Expr::Unnest(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::ScalarSubquery(_)
                | Expr::OuterReferenceColumn(_, _)
                | Expr::Placeholder(_)
                | Expr::HigherOrderFunction(_)
                | Expr::Lambda(_)
                | Expr::LambdaVariable(_)
                | Expr::Wildcard { .. }
        ))
    });
    !foreign.unwrap_or(true)
}

fn model_name(family: &str, arg: &Expr) -> Result<String> {
    match arg {
        Expr::Literal(
            ScalarValue::Utf8(Some(name)) | ScalarValue::LargeUtf8(Some(name)) | ScalarValue::Utf8View(Some(name)),
            _,
        ) => Ok(name.clone()),
        // Type coercion wraps a literal of another string type in a cast.
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => model_name(family, expr),
        Expr::Alias(alias) => model_name(family, &alias.expr),
        other => {
            Err(PlannerError::ModelNotLiteral { family: family.into(), found: other.schema_name().to_string() }.into())
        }
    }
}
