//! Texts that are not UTF-8: what stands for them, and which columns they are in.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, GenericStringArray, OffsetSizeTrait, RecordBatch, RecordBatchOptions,
};
use datafusion::arrow::datatypes::DataType;
use tamis_planner::marked;

use super::error::TextError;

/// Stands for what cannot be read while a text is decoded: no character, and in no text.
const UNREADABLE: char = '\u{FDD1}';

/// What becomes of such texts.
#[derive(Debug)]
pub(super) struct Invalid {
    /// Whether U+FFFD stands for what cannot be read.
    pub(super) replaces: bool,
    /// The columns in which a model is told.
    pub(super) marked: Arc<[String]>,
    /// The file.
    pub(super) file: String,
}

impl Invalid {
    /// What stands for what cannot be read; `None`: it is an error.
    pub(super) fn stands_for(&self) -> Option<char> {
        match self.replaces {
            true => Some(char::REPLACEMENT_CHARACTER),
            false => (!self.marked.is_empty()).then_some(UNREADABLE),
        }
    }

    /// The batches of a text in which that stands, the first time at `place`: marks in columns that are read by a model, an
    /// error for others.
    pub(super) fn finished(&self, batches: Vec<RecordBatch>, place: TextError) -> Result<Vec<RecordBatch>, TextError> {
        if self.replaces {
            return Ok(batches);
        }
        let reason = match &place {
            TextError::NotUtf8 { line, .. } => format!("not UTF-8 (in line {line} of {} or behind)", self.file),
            other => other.to_string(),
        };
        let told: Option<Vec<RecordBatch>> = batches.iter().map(|batch| self.told(batch, &reason)).collect();
        told.ok_or(place)
    }

    /// `None`: what cannot be read is where no model is told.
    fn told(&self, batch: &RecordBatch, reason: &str) -> Option<RecordBatch> {
        let columns = batch.columns().iter().zip(batch.schema_ref().fields()).map(|(column, field)| {
            let is_told = self.marked.contains(field.name()).then(|| marked(&format!("{}: {reason}", field.name())));
            match column.data_type() {
                DataType::Utf8 => with_marks::<i32>(column, is_told.as_deref()),
                DataType::LargeUtf8 => with_marks::<i64>(column, is_told.as_deref()),
                // It might be in there.
                nested if nested.is_nested() || matches!(nested, DataType::Dictionary(_, _)) => None,
                _ => Some(Arc::clone(column)),
            }
        });
        let columns = columns.collect::<Option<Vec<_>>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(batch.schema(), columns, &rows).ok()
    }
}

fn with_marks<O: OffsetSizeTrait>(column: &ArrayRef, mark: Option<&str>) -> Option<ArrayRef> {
    let texts = column.as_string::<O>();
    let is_unreadable = |text: &str| text.contains(UNREADABLE);
    if !texts.iter().flatten().any(is_unreadable) {
        return Some(Arc::clone(column));
    }
    let mark = mark?;
    let told = texts.iter().map(|text| text.map(|text| if is_unreadable(text) { mark } else { text }));
    Some(Arc::new(told.collect::<GenericStringArray<O>>()))
}

/// A text with a character in the places of what is not UTF-8.
pub(super) fn replaced(text: &[u8], stands_for: char) -> Vec<u8> {
    let mut whole = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        whole.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            whole.push(stands_for);
        }
    }
    whole.into_bytes()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::StringArray;

    use super::*;

    #[test]
    fn a_model_is_told_and_others_are_refused() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("caf\u{FDD1}"), None]));
        let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
        let place = || TextError::NotUtf8 { line: 3, byte: 7 };
        let told = Invalid { replaces: false, marked: ["text".to_string()].into(), file: "x.csv".into() };
        let batches = told.finished(vec![batch.clone()], place()).unwrap();
        let column = batches[0].column(0).as_string::<i32>().clone();
        assert_eq!((column.value(0), column.is_null(2)), ("a", true));
        assert_eq!(column.value(1), marked("text: not UTF-8 (in line 3 of x.csv or behind)"));
        let other = Invalid { marked: ["other".to_string()].into(), ..told };
        assert!(matches!(other.finished(vec![batch], place()), Err(TextError::NotUtf8 { line: 3, .. })));
    }

    #[test]
    fn one_character_stands_for_what_cannot_be_read() {
        assert_eq!(replaced(b"a\xffb\xe2\x82c", '?'), b"a?b?c");
    }
}
