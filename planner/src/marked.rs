//! Texts that are none, on their way from a scan to the model that would have read them.
//!
//! A file may hold a text that is not UTF-8. A query that reads it fails; but of a row that a model scores only the score shall
//! be missing, with a reason. So a scan below a score node gives a [`marked`] text in such a place, which tells the reason,
//! and the node makes NULL of it, of the text as of the score.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::nullif;
use arrow::datatypes::DataType;
use datafusion::error::Result;

/// What a marked text begins with. U+FDD0 is no character, and in no text.
const MARK: &str = "\u{FDD0}tamis:not-a-text:";

/// What stands for a text that cannot be read, and why it cannot.
pub fn marked(reason: &str) -> String {
    format!("{MARK}{reason}")
}

/// The marked texts of a column: their rows and reasons.
pub(crate) fn marks(texts: &ArrayRef) -> Vec<(usize, Arc<str>)> {
    let reason = |(row, text): (usize, Option<&str>)| Some((row, Arc::from(text?.strip_prefix(MARK)?)));
    match texts.data_type() {
        DataType::Utf8 => texts.as_string::<i32>().iter().enumerate().filter_map(reason).collect(),
        DataType::LargeUtf8 => texts.as_string::<i64>().iter().enumerate().filter_map(reason).collect(),
        _ => vec![],
    }
}

/// A column with NULL in the place of its marked texts.
pub(crate) fn without_marks(texts: &ArrayRef, marks: &[(usize, Arc<str>)]) -> Result<ArrayRef> {
    let mut is_marked = vec![false; texts.len()];
    marks.iter().for_each(|(row, _)| is_marked[*row] = true);
    Ok(nullif(texts, &BooleanArray::from(is_marked))?)
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    #[test]
    fn marks_are_found_and_become_null() {
        let texts: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a"), Some(&marked("why")), None, Some("\u{FDD0}")]));
        let found = marks(&texts);
        assert_eq!(found, [(1, Arc::from("why"))]);
        let plain = without_marks(&texts, &found).unwrap();
        let expected: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, None, Some("\u{FDD0}")]));
        assert_eq!(&plain, &expected);
    }
}
