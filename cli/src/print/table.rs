//! A result as a table with borders.

use std::fmt::Write as _;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use unicode_width::UnicodeWidthStr;

use tamis_files::output::{BinaryForm, text_batch, text_schema};

/// So many rows decide the columns' widths; later rows that are wider stick out.
const SAMPLE_ROWS: usize = 1000;

/// A cell's lines.
type Cell = Vec<String>;

/// Lays rows out as a table.
#[derive(Debug)]
pub(super) struct TableWriter {
    schema: SchemaRef,
    widths: Vec<usize>,
    /// The first rows, until the widths are settled.
    sample: Vec<Vec<Cell>>,
    is_settled: bool,
}

impl TableWriter {
    pub(super) fn new(schema: &Schema) -> Self {
        let schema = text_schema(schema);
        let widths = schema.fields().iter().map(|field| field.name().width()).collect();
        Self { schema, widths, sample: vec![], is_settled: false }
    }

    /// The text of a batch, empty while rows are held back.
    pub(super) fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let batch = text_batch(batch, &self.schema, BinaryForm::Short)?;
        let mut text = String::new();
        for row in rows(&batch)? {
            if self.is_settled {
                self.write_row(&row, &mut text);
            } else {
                self.sample.push(row);
            }
        }
        if self.sample.len() >= SAMPLE_ROWS {
            self.settle(&mut text);
        }
        Ok(text.into_bytes())
    }

    /// The rows that were held back and the last border.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut text = String::new();
        if !self.is_settled {
            self.settle(&mut text);
        }
        self.write_border(&mut text);
        text.into_bytes()
    }

    fn settle(&mut self, text: &mut String) {
        self.is_settled = true;
        let sample = std::mem::take(&mut self.sample);
        for row in &sample {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.iter().map(|line| line.width()).fold(*width, usize::max);
            }
        }
        let header: Vec<Cell> = self.schema.fields().iter().map(|field| vec![field.name().clone()]).collect();
        self.write_border(text);
        self.write_row(&header, text);
        self.write_border(text);
        for row in &sample {
            self.write_row(row, text);
        }
    }

    fn write_border(&self, text: &mut String) {
        for width in &self.widths {
            let _ = write!(text, "+{:-<1$}", "", width + 2);
        }
        text.push_str("+\n");
    }

    fn write_row(&self, row: &[Cell], text: &mut String) {
        let height = row.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            for (cell, width) in row.iter().zip(&self.widths) {
                let part = cell.get(line).map_or("", String::as_str);
                let padding = width.saturating_sub(part.width());
                let _ = write!(text, "| {part}{:padding$} ", "");
            }
            text.push_str("|\n");
        }
    }
}

fn rows(batch: &RecordBatch) -> Result<Vec<Vec<Cell>>, ArrowError> {
    let options = FormatOptions::new().with_null("NULL").with_display_error(true);
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()?;
    let rows = (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| cell(&column.value(row).to_string())).collect())
        .collect();
    Ok(rows)
}

/// A value's lines. Control characters are shown, not sent to the terminal, where a caption could move the cursor.
fn cell(value: &str) -> Cell {
    let lines: Cell = value.lines().map(printable).collect();
    if lines.is_empty() { vec![String::new()] } else { lines }
}

fn printable(line: &str) -> String {
    if !line.contains(char::is_control) {
        return line.to_string();
    }
    line.chars().fold(String::new(), |mut text, c| {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, BinaryArray, Int64Array, StringArray};
    use std::sync::Arc;

    fn table(batches: &[RecordBatch]) -> String {
        let mut writer = TableWriter::new(&batches[0].schema());
        let mut bytes = vec![];
        for batch in batches {
            bytes.extend(writer.encode(batch).unwrap());
        }
        bytes.extend(writer.finish());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn nulls_wide_characters_lines_and_binary() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("日本"), None, Some("a\nb\u{1b}[2J")]));
        let image: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(&b"\x01"[..]), None, Some(b"")]));
        let batch = RecordBatch::try_from_iter([("text", text), ("image", image)]).unwrap();
        let expected = "\
+------------+----------------+
| text       | image          |
+------------+----------------+
| 日本       | 0x01 (1 bytes) |
| NULL       | NULL           |
| a          | 0x (0 bytes)   |
| b\\u{1b}[2J |                |
+------------+----------------+
";
        assert_eq!(table(&[batch]), expected);
    }

    #[test]
    fn rows_beyond_the_sample_are_printed_as_they_come() {
        let numbers = |range: std::ops::Range<i64>| {
            let column: ArrayRef = Arc::new(Int64Array::from_iter_values(range));
            RecordBatch::try_from_iter([("n", column)]).unwrap()
        };
        let mut writer = TableWriter::new(&numbers(0..1).schema());
        assert!(writer.encode(&numbers(0..999)).unwrap().is_empty());
        assert!(!writer.encode(&numbers(999..1000)).unwrap().is_empty());
        assert_eq!(writer.encode(&numbers(123_456..123_457)).unwrap(), b"| 123456 |\n");
        assert_eq!(writer.finish(), b"+-----+\n");
    }
}
