//! Results as CSV, TSV, JSON and NDJSON.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::{self, writer::LineDelimited};

use super::binary::{BinaryForm, text_batch, text_schema};

/// The text formats that programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// Comma-separated, with a header.
    Csv,
    /// Tab-separated, with a header.
    Tsv,
    /// One array of objects.
    Json,
    /// One object a line.
    Ndjson,
}

/// Encodes batches, one after the other, as one text.
#[derive(Debug)]
pub struct TextEncoder {
    kind: TextKind,
    form: BinaryForm,
    schema: SchemaRef,
    is_first: bool,
}

impl TextEncoder {
    /// An encoder of batches of `schema`.
    pub fn new(kind: TextKind, schema: &Schema, form: BinaryForm) -> Self {
        Self { kind, form, schema: text_schema(schema), is_first: true }
    }

    /// The bytes of one more batch.
    pub fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        if batch.num_rows() == 0 {
            return Ok(vec![]);
        }
        let batch = text_batch(batch, &self.schema, self.form)?;
        let first = std::mem::replace(&mut self.is_first, false);
        match self.kind {
            TextKind::Csv => separated(&batch, b',', first),
            TextKind::Tsv => separated(&batch, b'\t', first),
            TextKind::Ndjson => lines(&batch),
            TextKind::Json => Ok(array_items(&lines(&batch)?, first)),
        }
    }

    /// What follows the last batch; the header if there was no batch.
    pub fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        let empty = self.is_first;
        match self.kind {
            TextKind::Csv | TextKind::Tsv if empty => {
                let none = RecordBatch::new_empty(std::sync::Arc::clone(&self.schema));
                separated(&none, if self.kind == TextKind::Csv { b',' } else { b'\t' }, true)
            }
            TextKind::Csv | TextKind::Tsv | TextKind::Ndjson => Ok(vec![]),
            TextKind::Json if empty => Ok(b"[]\n".to_vec()),
            TextKind::Json => Ok(b"\n]\n".to_vec()),
        }
    }
}

fn separated(batch: &RecordBatch, delimiter: u8, header: bool) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = vec![];
    let mut writer = csv::WriterBuilder::new().with_delimiter(delimiter).with_header(header).build(&mut bytes);
    writer.write(batch)?;
    drop(writer);
    Ok(bytes)
}

/// One object a line; a NULL is written as `null`, so that every line has every key.
fn lines(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = vec![];
    let mut writer = json::WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut bytes);
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

/// Lines of objects as items of an array: JSON text holds no raw line feed, so each line is one item.
fn array_items(lines: &[u8], first: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(lines.len() + 16);
    bytes.extend_from_slice(if first { b"[\n" } else { b"" });
    for (index, line) in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        if index > 0 || !first {
            bytes.extend_from_slice(b",\n");
        }
        bytes.extend_from_slice(line);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, BinaryArray, Float32Array, StringArray};
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a\n\"b\","), None]));
        let quality: ArrayRef = Arc::new(Float32Array::from(vec![None, Some(2.5)]));
        let image: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(&b"foo"[..]), None]));
        RecordBatch::try_from_iter([("text", text), ("quality", quality), ("image", image)]).unwrap()
    }

    fn encoded(kind: TextKind, batches: &[RecordBatch]) -> String {
        let mut encoder = TextEncoder::new(kind, &batch().schema(), BinaryForm::Base64);
        let mut bytes = vec![];
        for batch in batches {
            bytes.extend(encoder.encode(batch).unwrap());
        }
        bytes.extend(encoder.finish().unwrap());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_one_array_over_batches() {
        let text = encoded(TextKind::Json, &[batch(), batch()]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[3], serde_json::json!({"text": null, "quality": 2.5, "image": null}));
        assert_eq!(rows[0]["image"], "Zm9v");
        assert_eq!(encoded(TextKind::Json, &[]), "[]\n");
        let empty = batch().slice(0, 0);
        let text = encoded(TextKind::Json, &[empty.clone(), batch(), empty]);
        assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap().len(), 2);
    }

    #[test]
    fn ndjson_has_every_key_on_every_line() {
        let text = encoded(TextKind::Ndjson, &[batch()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], r#"{"text":"a\n\"b\",","quality":null,"image":"Zm9v"}"#);
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn the_header_comes_once_and_always() {
        assert_eq!(encoded(TextKind::Csv, &[]), "text,quality,image\n");
        assert_eq!(encoded(TextKind::Tsv, &[batch(), batch()]).matches("text\tquality\timage").count(), 1);
        assert!(encoded(TextKind::Csv, &[batch()]).contains("\"a\n\"\"b\"\",\",,Zm9v\n,2.5,\n"));
    }
}
