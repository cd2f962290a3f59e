//! Printing a result batch by batch.

mod table;

use std::io::Write;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use tamis_files::output::{BinaryForm, TextEncoder, TextKind};

use crate::error::CommandError;
use table::TableWriter;

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PrintFormat {
    /// A table with borders, for people.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// One JSON array.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// Prints the batches of one result.
#[derive(Debug)]
pub(crate) struct Printer {
    layout: Layout,
}

#[derive(Debug)]
enum Layout {
    Table(TableWriter),
    Text(TextEncoder),
}

impl Printer {
    /// A printer for results of `schema`.
    pub(crate) fn new(format: PrintFormat, schema: &Schema, form: BinaryForm) -> Self {
        let kind = match format {
            PrintFormat::Table => return Self { layout: Layout::Table(TableWriter::new(schema)) },
            PrintFormat::Csv => TextKind::Csv,
            PrintFormat::Tsv => TextKind::Tsv,
            PrintFormat::Json => TextKind::Json,
            PrintFormat::Ndjson => TextKind::Ndjson,
        };
        Self { layout: Layout::Text(TextEncoder::new(kind, schema, form)) }
    }

    /// Prints one batch. A table holds its first rows back until the columns' widths are known.
    pub(crate) fn print(&mut self, batch: &RecordBatch, sink: &mut impl Write) -> Result<(), CommandError> {
        let bytes = match &mut self.layout {
            Layout::Table(table) => table.encode(batch),
            Layout::Text(text) => text.encode(batch),
        };
        emit(bytes, sink)
    }

    /// Prints what is left.
    pub(crate) fn finish(mut self, sink: &mut impl Write) -> Result<(), CommandError> {
        let bytes = match &mut self.layout {
            Layout::Table(table) => Ok(table.finish()),
            Layout::Text(text) => text.finish(),
        };
        emit(bytes, sink)
    }
}

fn emit(bytes: Result<Vec<u8>, ArrowError>, sink: &mut impl Write) -> Result<(), CommandError> {
    let bytes = bytes.map_err(DataFusionError::from)?;
    sink.write_all(&bytes).and_then(|()| sink.flush()).map_err(CommandError::Print)
}
