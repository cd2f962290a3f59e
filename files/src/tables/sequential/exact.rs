//! Whole numbers of JSON, none of them cut.
//!
//! Arrow's decoder reads 1599.5 as the whole number 1599. So whole numbers are decoded as text and cast, which refuses what
//! is not one.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::CastOptions;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::nested_struct::cast_column;
use datafusion::error::DataFusionError;

/// The schema with text in the places of whole numbers.
pub(super) fn as_text(schema: &Schema) -> Schema {
    Schema::new(schema.fields().iter().map(field_as_text).collect::<Vec<_>>())
}

fn field_as_text(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(type_as_text(field.data_type())))
}

fn type_as_text(data_type: &DataType) -> DataType {
    match data_type {
        integer if integer.is_integer() => DataType::Utf8,
        DataType::List(item) => DataType::List(field_as_text(item)),
        DataType::LargeList(item) => DataType::LargeList(field_as_text(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field_as_text).collect()),
        other => other.clone(),
    }
}

/// The batch with whole numbers again where `wanted` has them.
pub(super) fn as_numbers(batch: &RecordBatch, wanted: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let number = |(array, field): (_, &Arc<Field>)| -> Result<_, ArrowError> {
        let array: &datafusion::arrow::array::ArrayRef = array;
        if array.data_type() == field.data_type() {
            return Ok(Arc::clone(array));
        }
        cast_column(array, field.data_type(), &options).map_err(|error| {
            let error = match error {
                DataFusionError::ArrowError(error, _) => error.to_string(),
                other => other.strip_backtrace(),
            };
            let error = error.strip_prefix("Cast error: ").unwrap_or(&error);
            ArrowError::CastError(format!("column {}: {error}", field.name()))
        })
    };
    let columns = batch.columns().iter().zip(wanted.fields()).map(number).collect::<Result<_, _>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(wanted), columns, &rows)
}
