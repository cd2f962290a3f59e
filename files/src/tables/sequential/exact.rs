//! Whole numbers of JSON, none of them cut.
//!
//! Arrow's decoder reads 1599.5 as the whole number 1599. So where a block may hold such a number in a column of whole ones
//! ([`WholeNumbers`] looks), whole numbers are decoded as text and cast, which refuses what is not one.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::CastOptions;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::nested_struct::cast_column;
use datafusion::error::DataFusionError;
use memchr::memmem::Finder;

/// The columns of whole numbers of a table.
#[derive(Debug)]
pub(super) struct WholeNumbers {
    /// `"key"` for each of them.
    keys: Vec<Finder<'static>>,
    /// Whether some lie in lists or structs, where they are not looked for.
    are_nested: bool,
}

impl WholeNumbers {
    /// Those of a schema.
    pub(super) fn of(schema: &Schema) -> Self {
        let whole = schema.fields().iter().filter(|field| field.data_type().is_integer());
        let quoted = |field: &FieldRef| serde_json::to_string(field.name()).unwrap_or_default();
        let keys = whole.map(|field| Finder::new(quoted(field).as_bytes()).into_owned()).collect();
        let is_nested =
            |field: &FieldRef| !field.data_type().is_integer() && type_as_text(field.data_type()) != *field.data_type();
        Self { keys, are_nested: schema.fields().iter().any(is_nested) }
    }

    /// How many values of a text certainly have no fraction in these columns: each has each key, as it is written here, and a
    /// number of digits alone behind it. `None`: there may be one that has.
    pub(super) fn certain(&self, text: &[u8]) -> Option<usize> {
        if self.are_nested {
            return None;
        }
        let mut least = usize::MAX;
        for key in &self.keys {
            let mut found = 0;
            for place in key.find_iter(text) {
                if !is_whole(&text[place + key.needle().len()..]) {
                    return None;
                }
                found += 1;
            }
            least = least.min(found);
        }
        Some(least)
    }
}

/// Whether a key's value is a number of digits alone, or null.
fn is_whole(after_key: &[u8]) -> bool {
    let value = after_key.trim_ascii_start();
    let Some(value) = value.strip_prefix(b":").map(<[u8]>::trim_ascii_start) else { return false };
    let value = value.strip_prefix(b"-").unwrap_or(value);
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match value.get(digits) {
        _ if digits == 0 => value.starts_with(b"null"),
        Some(next) => matches!(next, b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n'),
        None => false,
    }
}

/// The schema with columns that may be NULL.
pub(super) fn nullable(schema: &Schema) -> Schema {
    Schema::new(schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>())
}

/// The schema with text in the places of whole numbers.
pub(super) fn as_text(schema: &Schema) -> Schema {
    nullable(&Schema::new(schema.fields().iter().map(field_as_text).collect::<Vec<_>>()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_fractions_is_known_to_be_so() {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("x", DataType::Float64, true),
            Field::new("w", DataType::Utf8, true),
        ]);
        let numbers = WholeNumbers::of(&schema);
        for (text, values) in [
            ("{\"n\": 1, \"x\": 1.5}\n", 1),
            ("{\"w\":\"3.5\",\"n\":-12}\n{\"n\":null}", 2),
            ("{\"n\" : 0 }\r\n", 1),
            ("{\"x\": 1.5}\n", 0),
            ("{\"n\": 1}\n{\"\\u006e\": 1.5}\n", 1),
        ] {
            assert_eq!(numbers.certain(text.as_bytes()), Some(values), "{text}");
        }
        for text in ["{\"n\": 1.5}\n", "{\"n\": 1e3}\n", "{\"n\": \"1\"}\n", "{\"n\": 1"] {
            assert_eq!(numbers.certain(text.as_bytes()), None, "{text}");
        }
        let list = Schema::new(vec![Field::new("l", DataType::new_list(DataType::Int64, true), true)]);
        assert_eq!(WholeNumbers::of(&list).certain(b"{}\n"), None);
    }
}
