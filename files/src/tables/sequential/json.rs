//! JSON values as batches.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::ReaderBuilder;

use super::error::shortened;
use super::exact;
use super::records::{Block, Ends};

/// How the values of a JSON file are separated, and the beginning of its text without the bracket that opens an array.
///
/// A value a line is the rule; others are one array, or values of several lines one after the other.
pub(super) fn ends(beginning: &mut [u8]) -> Ends {
    let first = beginning.iter().position(|byte| !byte.is_ascii_whitespace());
    match first.map(|first| (first, beginning[first])) {
        Some((first, b'[')) => {
            beginning[first] = b' ';
            Ends::Values { in_array: true }
        }
        Some((first, b'{')) if !ends_in_line(&beginning[first..]) => Ends::Values { in_array: false },
        _ => Ends::Lines,
    }
}

/// Whether the first line is a value, or one too long to tell.
fn ends_in_line(text: &[u8]) -> bool {
    match memchr::memchr(b'\n', text) {
        Some(end) => serde_json::from_slice::<serde::de::IgnoredAny>(&text[..end]).is_ok(),
        None => true,
    }
}

/// Decodes blocks of JSON values.
#[derive(Debug)]
pub(super) struct JsonDecoder {
    /// The columns as they are decoded.
    decoded: SchemaRef,
    wanted: SchemaRef,
    batch_size: usize,
}

impl JsonDecoder {
    /// Reads these columns. A key that a value lacks is NULL.
    pub(super) fn new(wanted: SchemaRef, batch_size: usize) -> Self {
        let fields: Vec<_> = wanted.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        Self { decoded: Arc::new(exact::as_text(&Schema::new(fields))), wanted, batch_size }
    }

    /// The values of a block.
    pub(super) fn decode(&self, block: &Block) -> Result<Vec<RecordBatch>, ArrowError> {
        let builder = ReaderBuilder::new(Arc::clone(&self.decoded)).with_batch_size(self.batch_size);
        let mut decoder = builder.with_coerce_primitive(true).build_decoder()?;
        let mut batches = vec![];
        let mut text = block.text.as_slice();
        loop {
            let read = decoder.decode(text)?;
            text = &text[read..];
            match decoder.flush()? {
                Some(batch) => batches.push(exact::as_numbers(&batch, &self.wanted)?),
                None if text.is_empty() => return Ok(batches),
                None => {}
            }
        }
    }

    /// Why a value was refused.
    pub(super) fn reason(&self, error: &ArrowError) -> String {
        let text = match error {
            ArrowError::JsonError(text) | ArrowError::CastError(text) | ArrowError::ParseError(text) => text.clone(),
            other => other.to_string(),
        };
        if text.contains("valid JSON") || text.contains("EOF") || text.contains("Truncated") {
            return shortened(&text);
        }
        format!(
            "{}, as was inferred or declared; SET tamis.files.sample_bytes to more, or declare the columns in CREATE \
             EXTERNAL TABLE",
            shortened(&text)
        )
    }
}
