//! Arrow's files and streams, and batches with the columns that are wanted.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::compute::CastOptions;
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::common::nested_struct::cast_column;
use datafusion::error::{DataFusionError, Result};

/// What a file begins with; a stream begins at once. Behind it, and what fills up to the next message, a file has the same
/// messages as a stream.
const MAGIC: &[u8] = b"ARROW1\0\0";

/// The batches of a file or stream.
pub(super) fn batches(reader: Box<dyn Read + Send>) -> Result<StreamReader<Box<dyn Read + Send>>> {
    let mut reader = BufReader::with_capacity(1 << 20, reader);
    let mut beginning = next(&mut reader)?;
    if beginning.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is empty").into());
    }
    if beginning == MAGIC {
        beginning = next(&mut reader)?;
        while beginning.len() == MAGIC.len() && beginning.iter().all(|byte| *byte == 0) {
            beginning = next(&mut reader)?;
        }
    }
    let rest: Box<dyn Read + Send> = Box::new(io::Cursor::new(beginning).chain(reader));
    Ok(StreamReader::try_new(rest, None)?)
}

/// The next few bytes; fewer at the end.
fn next(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    reader.take(MAGIC.len() as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The columns that are wanted of a batch, by name, in their types. One that is not there is NULL.
pub(super) fn adapt(batch: &RecordBatch, wanted: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = wanted.fields().iter().map(|field| column(batch, field)).collect::<Result<_, _>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(wanted), columns, &rows)
}

fn column(batch: &RecordBatch, field: &Field) -> Result<ArrayRef, ArrowError> {
    match batch.column_by_name(field.name()) {
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        Some(array) if array.data_type() == field.data_type() => Ok(Arc::clone(array)),
        Some(array) => {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            cast_column(array, field.data_type(), &options).map_err(|error| match error {
                DataFusionError::ArrowError(error, _) => *error,
                other => ArrowError::ExternalError(Box::new(other)),
            })
        }
    }
}
