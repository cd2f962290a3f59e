//! Binary columns as text, in results that are text.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, GenericListArray, OffsetSizeTrait, RecordBatch, StringArray, StructArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;

/// How a binary value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryForm {
    /// Its first bytes and its size, for people: `0x89504e470d0a1a0a... (2048 bytes)`.
    Short,
    /// All of it in base64, for programs.
    Base64,
}

/// How many bytes the short form shows.
const SHOWN: usize = 8;

/// The schema of a result whose binary columns became text.
pub fn text_schema(schema: &Schema) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(text_field).collect();
    Arc::new(Schema::new(fields))
}

/// A batch whose binary columns became text.
pub fn text_batch(batch: &RecordBatch, schema: &SchemaRef, form: BinaryForm) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| text_array(column, form)).collect::<Result<Vec<_>, _>>()?;
    let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn text_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), text_type(field.data_type()), field.is_nullable()))
}

fn text_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Utf8
        }
        DataType::List(item) => DataType::List(text_field(item)),
        DataType::LargeList(item) => DataType::LargeList(text_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(text_field).collect()),
        DataType::Dictionary(_, value) => text_type(value),
        other => other.clone(),
    }
}

fn text_array(array: &ArrayRef, form: BinaryForm) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Binary => Arc::new(text_strings(array.as_binary(), form)),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            Arc::new(text_strings(cast(array, &DataType::Binary)?.as_binary(), form))
        }
        DataType::List(item) => Arc::new(text_list(array.as_list::<i32>(), item, form)?),
        DataType::LargeList(item) => Arc::new(text_list(array.as_list::<i64>(), item, form)?),
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let columns = array.columns().iter().map(|c| text_array(c, form)).collect::<Result<Vec<_>, _>>()?;
            let fields: Fields = fields.iter().map(text_field).collect();
            Arc::new(StructArray::try_new_with_length(fields, columns, array.nulls().cloned(), array.len())?)
        }
        DataType::Dictionary(_, value) => text_array(&cast(array, value)?, form)?,
        _ => Arc::clone(array),
    })
}

fn text_list<O: OffsetSizeTrait>(
    list: &GenericListArray<O>,
    item: &FieldRef,
    form: BinaryForm,
) -> Result<GenericListArray<O>, ArrowError> {
    let values = text_array(list.values(), form)?;
    GenericListArray::try_new(text_field(item), list.offsets().clone(), values, list.nulls().cloned())
}

fn text_strings(values: &BinaryArray, form: BinaryForm) -> StringArray {
    values.iter().map(|value| value.map(|bytes| text(bytes, form))).collect()
}

fn text(bytes: &[u8], form: BinaryForm) -> String {
    match form {
        BinaryForm::Base64 => BASE64_STANDARD.encode(bytes),
        BinaryForm::Short => {
            let mut text = String::from("0x");
            for byte in bytes.iter().take(SHOWN) {
                let _ = write!(text, "{byte:02x}");
            }
            let dots = if bytes.len() > SHOWN { "..." } else { "" };
            let _ = write!(text, "{dots} ({} bytes)", bytes.len());
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Int64Array, LargeBinaryArray};
    use datafusion::arrow::buffer::OffsetBuffer;

    #[test]
    fn the_short_form_tells_the_size() {
        assert_eq!(text(&[0x89, 0x50], BinaryForm::Short), "0x8950 (2 bytes)");
        assert_eq!(text(&[1; 2000], BinaryForm::Short), "0x0101010101010101... (2000 bytes)");
    }

    #[test]
    fn nested_binary_becomes_text_and_nulls_stay() {
        let bytes: ArrayRef = Arc::new(LargeBinaryArray::from_opt_vec(vec![Some(&b"foo"[..]), None, Some(b"f")]));
        let item = Arc::new(Field::new("item", DataType::LargeBinary, true));
        let offsets = OffsetBuffer::from_lengths([2, 0, 1]);
        let list: ArrayRef = Arc::new(GenericListArray::<i32>::new(item, offsets, Arc::clone(&bytes), None));
        let fields = Fields::from(vec![Field::new("bytes", DataType::LargeBinary, true)]);
        let record: ArrayRef = Arc::new(StructArray::new(fields, vec![bytes], None));
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("images", list), ("image", record), ("id", ids)]).unwrap();

        let schema = text_schema(&batch.schema());
        let text = text_batch(&batch, &schema, BinaryForm::Base64).unwrap();
        let images = text.column(0).as_list::<i32>().value(0);
        assert_eq!(images.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("Zm9v"), None]);
        assert_eq!(text.column(1).as_struct().column(0).as_string::<i32>().value(2), "Zg==");
        assert_eq!(text.column(2).as_ref(), batch.column(2).as_ref());
    }
}
