//! Rows as they are sent: what the schema says is what comes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use tamis_files::describe::{panicked, said};

/// A schema as Flight sends it: dictionaries as their values, which drivers are told of and given.
pub(super) fn sent_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(sent_field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn sent_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(sent_type(field.data_type())))
}

fn sent_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => sent_type(value),
        // Flight's encoder says so of both.
        DataType::List(item) | DataType::LargeList(item) => DataType::List(sent_field(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(sent_field(item), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(sent_field).collect()),
        other => other.clone(),
    }
}

/// The rows in the schema that they are sent in. An operator that panics ends them with an error.
pub(super) fn sent(rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = sent_schema(&rows.schema());
    let as_sent = Arc::clone(&schema);
    let rows = AssertUnwindSafe(rows).catch_unwind().map(move |batch| match batch {
        Ok(batch) => sent_batch(&batch?, &as_sent),
        Err(panic) => Err(DataFusionError::Execution(panicked(&said(panic.as_ref())))),
    });
    // Nothing is asked of what has panicked.
    let rows = rows.scan(false, |is_over, batch| {
        let next = (!*is_over).then_some(batch);
        *is_over = next.as_ref().is_some_and(Result::is_err);
        std::future::ready(next)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

fn sent_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => cast(column, field.data_type()),
        }
    });
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<Result<_, _>>()?, &rows)?)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{DictionaryArray, StringArray};
    use datafusion::arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn dictionaries_are_sent_as_their_values() {
        let words: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
        let batch = RecordBatch::try_from_iter([("word", Arc::new(words) as _)]).unwrap();
        let schema = sent_schema(&batch.schema());
        assert_eq!(schema.field(0).data_type(), &DataType::Utf8);
        let sent = sent_batch(&batch, &schema).unwrap();
        let expected = StringArray::from(vec![Some("a"), None, Some("a")]);
        assert_eq!(sent.column(0).as_any().downcast_ref::<StringArray>(), Some(&expected));
    }
}
