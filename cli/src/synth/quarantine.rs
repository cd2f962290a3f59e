//! Rows that no samples could be made of, in a file beside the samples.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use tamis_engine::session::Session;
use tamis_files::output::FileOutput;
use tamis_synthesis::Quarantined;

use crate::error::CommandError;

/// Where they go: FILE.quarantine.jsonl for FILE.parquet.
pub(super) fn place(output: &str) -> String {
    let stem = output.rsplit_once('.').map_or(output, |(stem, _)| stem);
    format!("{stem}.quarantine.jsonl")
}

/// Writes them. Where there are none, those of an earlier run go.
pub(super) async fn write(session: &Session, place: &str, rows: &[Quarantined]) -> Result<(), CommandError> {
    if rows.is_empty() {
        return match std::fs::remove_file(place) {
            Err(source) if !place.contains("://") && source.kind() != std::io::ErrorKind::NotFound => {
                Err(CommandError::File { path: place.into(), source })
            }
            _ => Ok(()),
        };
    }
    let schema = Arc::new(Schema::new(vec![
        Field::new("uid", DataType::Utf8, false),
        Field::new("level", DataType::Int32, true),
        Field::new("reason", DataType::Utf8, false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.uid))),
        Arc::new(rows.iter().map(|row| row.level).collect::<Int32Array>()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.reason))),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(DataFusionError::from)?;
    let stream = RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(batch)]));
    FileOutput::parse(place)?.write(session.context(), Box::pin(stream)).await?;
    Ok(())
}
