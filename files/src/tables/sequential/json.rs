//! JSON values as batches.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::ReaderBuilder;
use datafusion::arrow::json::reader::Decoder;

use super::arrow;
use super::error::shortened;
use super::exact::{self, WholeNumbers};
use super::pool::Pool;
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
    wanted: SchemaRef,
    batch_size: usize,
    /// Decoders of whole numbers as they are, and as text.
    plain: Pool<Decoder>,
    exact: Pool<Decoder>,
    whole_numbers: WholeNumbers,
}

impl JsonDecoder {
    /// Reads these columns. A key that a value lacks is NULL.
    pub(super) fn new(wanted: SchemaRef, batch_size: usize) -> Self {
        let whole_numbers = WholeNumbers::of(&wanted);
        Self { wanted, batch_size, plain: Pool::default(), exact: Pool::default(), whole_numbers }
    }

    /// The values of a block.
    pub(super) fn decode(&self, block: &Block) -> Result<Vec<RecordBatch>, ArrowError> {
        if let Some(certain) = self.whole_numbers.certain(&block.text) {
            let plain = |batch: RecordBatch| arrow::adapt(&batch, &self.wanted);
            let batches = self.decode_with(block, &self.plain, exact::nullable, plain)?;
            if batches.iter().map(RecordBatch::num_rows).sum::<usize>() <= certain {
                return Ok(batches);
            }
        }
        self.decode_with(block, &self.exact, exact::as_text, |batch| exact::as_numbers(&batch, &self.wanted))
    }

    fn decode_with(
        &self,
        block: &Block,
        decoders: &Pool<Decoder>,
        schema: impl FnOnce(&Schema) -> Schema,
        finish: impl Fn(RecordBatch) -> Result<RecordBatch, ArrowError>,
    ) -> Result<Vec<RecordBatch>, ArrowError> {
        let mut decoder = decoders.take(|| {
            let builder = ReaderBuilder::new(Arc::new(schema(&self.wanted))).with_batch_size(self.batch_size);
            builder.with_coerce_primitive(true).build_decoder()
        })?;
        let mut batches = vec![];
        let mut text = block.text.as_slice();
        loop {
            let read = decoder.decode(text)?;
            text = &text[read..];
            match decoder.flush()? {
                Some(batch) => batches.push(finish(batch)?),
                None if text.is_empty() => {
                    decoders.give(decoder);
                    return Ok(batches);
                }
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
