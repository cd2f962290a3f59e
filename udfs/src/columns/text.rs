//! A column of strings, whatever its physical form.

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray};
use arrow::datatypes::DataType;

use super::dictionary::Keys;

/// Strings of any Arrow form; a row's text is borrowed.
#[derive(Debug, Clone)]
pub(crate) enum TextColumn {
    Utf8(StringArray),
    LargeUtf8(LargeStringArray),
    View(StringViewArray),
    Dictionary(Keys, Box<TextColumn>),
    Null,
}

impl TextColumn {
    /// Whether a column of this type holds strings (or NULLs alone).
    pub(super) fn accepts(data_type: &DataType) -> bool {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
            DataType::Dictionary(_, values) => Self::accepts(values),
            _ => false,
        }
    }

    /// The column of an array whose type is accepted; `None` for another.
    pub(super) fn try_new(array: &ArrayRef) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Utf8 => Self::Utf8(array.as_string().clone()),
            DataType::LargeUtf8 => Self::LargeUtf8(array.as_string().clone()),
            DataType::Utf8View => Self::View(array.as_string_view().clone()),
            DataType::Null => Self::Null,
            DataType::Dictionary(_, _) => {
                let dictionary = array.as_any_dictionary_opt()?;
                Self::Dictionary(Keys::new(dictionary), Box::new(Self::try_new(dictionary.values())?))
            }
            _ => return None,
        })
    }

    /// The text of a row; `None` for NULL.
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Utf8(a) => a.is_valid(row).then(|| a.value(row)),
            Self::LargeUtf8(a) => a.is_valid(row).then(|| a.value(row)),
            Self::View(a) => a.is_valid(row).then(|| a.value(row)),
            Self::Dictionary(keys, values) => values.get(keys.get(row)?),
            Self::Null => None,
        }
    }
}
