//! What all model functions do alike: checking the arguments, and running the model where the planner made no node.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};

use crate::calls::{CallOutput, SAMPLE_ARGUMENTS};
use crate::columns::{SampleColumns, check_argument_types};
use crate::error::Error;
use crate::runtime::{Outcome, Scoring, ScoringMetrics};

/// Checks number and types of a model call's arguments; they stay as they are, nothing is cast.
pub(super) fn check_types(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let expected = "2 or 3 arguments (image, text [, model])";
    if !(2..=3).contains(&types.len()) {
        return Err(Error::ArgumentCount { function: function.to_string(), expected, found: types.len() }.into());
    }
    check_argument_types(function, &types[..SAMPLE_ARGUMENTS])?;
    if let Some(model) = types.get(SAMPLE_ARGUMENTS).filter(|t| !t.is_string()) {
        return Err(Error::ArgumentType {
            function: function.to_string(),
            position: 3,
            argument: "model",
            found: model.clone(),
            expected: "a string literal",
        }
        .into());
    }
    Ok(types.to_vec())
}

/// The field of a model function's result. Refuses a model's name that could vary by row.
pub(super) fn return_field(function: &str, data_type: DataType, args: &ReturnFieldArgs) -> Result<FieldRef> {
    if args.arg_fields.len() > SAMPLE_ARGUMENTS {
        let model = args.scalar_arguments.get(SAMPLE_ARGUMENTS).copied().flatten();
        literal(function, model)?;
    }
    Ok(Arc::new(Field::new(function, data_type, true)))
}

fn literal<'a>(function: &str, model: Option<&'a ScalarValue>) -> Result<&'a str, Error> {
    let name = model.and_then(|value| value.try_as_str().flatten());
    name.ok_or_else(|| Error::ModelNotLiteral { function: function.to_string() })
}

/// Runs the model for one batch of rows. Used only where the planner could not make a node of the call.
pub(super) fn invoke(
    function: &str,
    family: &str,
    output: CallOutput,
    args: &ScalarFunctionArgs,
) -> Result<ColumnarValue> {
    let model = match args.args.get(SAMPLE_ARGUMENTS) {
        Some(ColumnarValue::Scalar(value)) => Some(literal(function, Some(value))?),
        Some(ColumnarValue::Array(_)) => Some(literal(function, None)?),
        None => None,
    };
    let samples = &args.args[..SAMPLE_ARGUMENTS];
    let constant = samples.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
    let rows = if constant { 1 } else { args.number_rows };
    let columns = SampleColumns::try_from_values(samples, rows)?;
    let outcomes = if (0..rows).all(|row| columns.is_null(row)) {
        vec![Outcome::Null; rows]
    } else {
        let scoring = Scoring::open(family, model, &args.config_options)?;
        let outcomes = scoring.submit(Arc::new(columns), Arc::new(ScoringMetrics::default())).wait()?;
        if scoring.fail_on_error() {
            refuse_failed(function, &outcomes)?;
        }
        outcomes
    };
    let array = to_array(&outcomes, output);
    match constant {
        true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)),
        false => Ok(ColumnarValue::Array(array)),
    }
}

fn refuse_failed(function: &str, outcomes: &[Outcome]) -> Result<(), Error> {
    for (row, outcome) in outcomes.iter().enumerate() {
        if let Outcome::Failed(reason) = outcome {
            return Err(Error::Row { function: function.to_string(), row, reason: reason.clone() });
        }
    }
    Ok(())
}

fn to_array(outcomes: &[Outcome], output: CallOutput) -> ArrayRef {
    match output {
        CallOutput::Score => Arc::new(Float32Array::from_iter(outcomes.iter().map(|outcome| match outcome {
            Outcome::Score(score) => Some(*score),
            Outcome::Null | Outcome::Failed(_) => None,
        }))),
        CallOutput::Error => Arc::new(StringArray::from_iter(outcomes.iter().map(|outcome| match outcome {
            Outcome::Failed(reason) => Some(reason.as_ref()),
            Outcome::Null | Outcome::Score(_) => None,
        }))),
    }
}
