//! A result written to a file or an object store.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::ipc::writer::FileWriter;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::schema::types::ColumnPath;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use tokio::io::AsyncWriteExt;
use url::Url;

use super::binary::BinaryForm;
use super::text::{TextEncoder, TextKind};
use crate::describe::{describe, message};

/// The extensions that can be written, for messages.
const KNOWN: &str = ".parquet, .csv, .tsv, .json, .jsonl, .ndjson, .arrow, .feather";

/// A row group of images is written out at this size, long before it has a million rows.
const ROW_GROUP_BYTES: usize = 128 << 20;

/// Why a result was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The file's extension is not one of a format that can be written.
    #[error("{location}: cannot tell the format to write; use one of {KNOWN}")]
    Format {
        /// The output as the user named it.
        location: String,
    },
    /// The query whose result it is failed.
    #[error("{}", message(.0))]
    Query(#[source] Box<DataFusionError>),
    /// The file or the object store refused.
    #[error("writing {location}: {}", describe(.source).1)]
    Refused {
        /// The output as the user named it.
        location: String,
        /// The cause.
        #[source]
        source: Box<DataFusionError>,
    },
}

/// The format of a result file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputKind {
    Parquet,
    Arrow,
    Text(TextKind),
}

/// Where a result is written, and in what format.
///
/// The file appears under its name when it is whole: on disk it is written under a temporary name and renamed, in an
/// object store it is a multipart upload, which is aborted on failure.
#[derive(Debug, Clone)]
pub struct FileOutput {
    location: String,
    kind: OutputKind,
}

impl FileOutput {
    /// Takes a path or URL whose extension tells the format.
    pub fn parse(location: &str) -> Result<Self, WriteError> {
        let extension = location.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, e)| e);
        let kind = match extension.to_ascii_lowercase().as_str() {
            "parquet" | "parq" | "pq" => OutputKind::Parquet,
            "arrow" | "feather" | "ipc" => OutputKind::Arrow,
            "csv" => OutputKind::Text(TextKind::Csv),
            "tsv" => OutputKind::Text(TextKind::Tsv),
            "json" => OutputKind::Text(TextKind::Json),
            "jsonl" | "ndjson" => OutputKind::Text(TextKind::Ndjson),
            _ => return Err(WriteError::Format { location: location.to_string() }),
        };
        Ok(Self { location: location.to_string(), kind })
    }

    /// The path or URL as the user gave it.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Writes a result; returns its number of rows. Reports each batch's rows to `written`.
    pub async fn write(&self, context: &SessionContext, stream: SendableRecordBatchStream) -> Result<u64, WriteError> {
        let (store, path) = self.target(context).map_err(|e| self.refused(e))?;
        let mut upload = BufWriter::new(store, path);
        match self.fill(&mut upload, stream).await {
            Ok(rows) => {
                upload.shutdown().await.map_err(|e| self.refused(e.into()))?;
                Ok(rows)
            }
            Err(error) => {
                if let Err(left) = upload.abort().await {
                    log::warn!("{}: could not abort the upload: {left}", self.location);
                }
                Err(error)
            }
        }
    }

    async fn fill(&self, upload: &mut BufWriter, mut stream: SendableRecordBatchStream) -> Result<u64, WriteError> {
        let mut encoder = Encoder::try_new(self.kind, stream.schema()).map_err(|e| self.refused(e))?;
        let mut rows = 0;
        while let Some(batch) = stream.try_next().await.map_err(|e| WriteError::Query(Box::new(e)))? {
            rows += batch.num_rows() as u64;
            let bytes = encoder.encode(&batch).map_err(|e| self.refused(e))?;
            upload.write_all(&bytes).await.map_err(|e| self.refused(e.into()))?;
        }
        let bytes = encoder.finish().map_err(|e| self.refused(e))?;
        upload.write_all(&bytes).await.map_err(|e| self.refused(e.into()))?;
        Ok(rows)
    }

    fn target(&self, context: &SessionContext) -> Result<(Arc<dyn ObjectStore>, Path)> {
        let url = if self.location.contains("://") {
            Url::parse(&self.location).map_err(|e| DataFusionError::External(Box::new(e)))?
        } else {
            let absolute = std::path::absolute(&self.location)?;
            Url::from_file_path(&absolute)
                .map_err(|()| DataFusionError::Plan(format!("{} is not a path", absolute.display())))?
        };
        let store = context.runtime_env().object_store_registry.get_store(&url)?;
        let path = Path::from_url_path(url.path()).map_err(object_store::Error::from)?;
        Ok((store, path))
    }

    fn refused(&self, source: DataFusionError) -> WriteError {
        WriteError::Refused { location: self.location.clone(), source: Box::new(source) }
    }
}

/// Encodes batches into bytes that are taken away after each batch.
enum Encoder {
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    Arrow(Box<FileWriter<Vec<u8>>>),
    Text(TextEncoder),
}

impl Encoder {
    fn try_new(kind: OutputKind, schema: SchemaRef) -> Result<Self> {
        Ok(match kind {
            OutputKind::Parquet => {
                let options = ArrowWriterOptions::new().with_properties(parquet_properties(&schema));
                Self::Parquet(Box::new(ArrowWriter::try_new_with_options(vec![], schema, options)?))
            }
            OutputKind::Arrow => Self::Arrow(Box::new(FileWriter::try_new(vec![], &schema)?)),
            OutputKind::Text(kind) => Self::Text(TextEncoder::new(kind, &schema, BinaryForm::Base64)),
        })
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Parquet(writer) => {
                writer.write(batch)?;
                std::mem::take(writer.inner_mut())
            }
            Self::Arrow(writer) => {
                writer.write(batch)?;
                std::mem::take(writer.get_mut())
            }
            Self::Text(encoder) => encoder.encode(batch)?,
        })
    }

    fn finish(self) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Parquet(writer) => writer.into_inner()?,
            Self::Arrow(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
            Self::Text(mut encoder) => encoder.finish()?,
        })
    }
}

/// Row groups are bounded by bytes. Binary columns get small pages and no dictionary: whoever reads a few rows of them
/// then reads no more than those rows' pages.
fn parquet_properties(schema: &Schema) -> WriterProperties {
    let level = ZstdLevel::try_new(3).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES));
    let binary: Vec<_> = schema.fields().iter().filter(|field| holds_binary(field.data_type())).collect();
    if !binary.is_empty() {
        // The page's size is checked once in so many values.
        properties = properties.set_write_batch_size(16);
    }
    for field in binary {
        let column = ColumnPath::from(field.name().as_str());
        properties = properties.set_column_dictionary_enabled(column, false);
    }
    properties.build()
}

fn holds_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, BinaryArray, Int64Array};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::stream;

    fn batch(rows: usize, size: usize) -> RecordBatch {
        let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
        let image: ArrayRef = Arc::new(BinaryArray::from_iter_values((0..rows).map(|row| vec![row as u8; size])));
        RecordBatch::try_from_iter([("id", id), ("image", image)]).unwrap()
    }

    fn stream_of(items: Vec<Result<RecordBatch>>) -> SendableRecordBatchStream {
        Box::pin(RecordBatchStreamAdapter::new(batch(1, 1).schema(), stream::iter(items)))
    }

    #[tokio::test]
    async fn every_format_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let session = crate::test_session::session(&[]);
        for extension in ["parquet", "csv", "tsv", "json", "jsonl", "ndjson", "arrow", "feather"] {
            let path = folder.path().join(format!("out.{extension}")).display().to_string();
            let output = FileOutput::parse(&path).unwrap();
            let items = vec![Ok(batch(3, 2)), Ok(batch(2, 5))];
            assert_eq!(output.write(&session, stream_of(items)).await.unwrap(), 5);
            if extension == "json" {
                let rows: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                assert_eq!(rows.len(), 5);
                continue;
            }
            let rows = session.sql(&format!("SELECT id FROM '{path}'")).await.unwrap().count().await.unwrap();
            assert_eq!(rows, 5, "{extension}");
        }
    }

    #[tokio::test]
    async fn a_failed_result_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let session = crate::test_session::session(&[]);
        let path = folder.path().join("out.parquet").display().to_string();
        std::fs::write(&path, "what was there before").unwrap();
        // Enough bytes for the upload to have begun.
        let items = vec![Ok(batch(300, 1 << 20)), Err(DataFusionError::Execution("the query broke".into()))];
        let error = FileOutput::parse(&path).unwrap().write(&session, stream_of(items)).await.unwrap_err();
        assert_eq!(error.to_string(), "the query broke");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "what was there before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_unknown_extension_is_refused() {
        for location in ["out.xlsx", "a.b/out"] {
            assert!(matches!(FileOutput::parse(location), Err(WriteError::Format { .. })), "{location}");
        }
    }
}
