//! A column of images: encoded files as bytes, or the paths and URLs where they lie.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, FixedSizeBinaryArray, LargeBinaryArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields};

use super::dictionary::Keys;
use super::text::TextColumn;
use crate::fetch::{self, FetchError};
use crate::reach::Reach;

/// One image, borrowed from its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageRef<'a> {
    /// The encoded file.
    Bytes(&'a [u8]),
    /// A path or URL of the encoded file.
    Path(&'a str),
}

/// Why the file of an image could not be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unreadable(FetchError);

impl<'a> ImageRef<'a> {
    /// The encoded file: as it stands in the column, or read from where it lies, if that is within `reach`. Blocks.
    pub fn file(&self, reach: &Reach) -> Result<Cow<'a, [u8]>, Unreadable> {
        match self {
            Self::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::Path(name) => fetch::read(name, reach).map(Cow::Owned).map_err(Unreadable),
        }
    }
}

/// Images of any Arrow form; a row's bytes are borrowed.
#[derive(Debug, Clone)]
pub(crate) enum ImageColumn {
    Binary(BinaryArray),
    LargeBinary(LargeBinaryArray),
    View(BinaryViewArray),
    FixedSize(FixedSizeBinaryArray),
    /// The form of Hugging Face data sets: bytes, else a path.
    Struct {
        nulls: Option<NullBuffer>,
        bytes: Option<Box<ImageColumn>>,
        path: Option<Box<ImageColumn>>,
    },
    Path(TextColumn),
    Dictionary(Keys, Box<ImageColumn>),
    Null,
}

impl ImageColumn {
    /// The types accepted, for error messages.
    pub(crate) const ACCEPTED: &'static str =
        "binary (the encoded file), a struct of bytes and path, or a string (path or URL)";

    /// Whether a column of this type holds images (or NULLs alone).
    pub(crate) fn accepts(data_type: &DataType) -> bool {
        match data_type {
            DataType::Struct(fields) => Self::accepts_struct(fields),
            DataType::Dictionary(_, values) => !matches!(**values, DataType::Struct(_)) && Self::accepts(values),
            other => Self::is_binary(other) || TextColumn::accepts(other),
        }
    }

    fn is_binary(data_type: &DataType) -> bool {
        use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
        matches!(data_type, Binary | LargeBinary | BinaryView | FixedSizeBinary(_))
    }

    fn accepts_struct(fields: &Fields) -> bool {
        let bytes = fields.find("bytes").map(|(_, f)| Self::is_binary(f.data_type()) || f.data_type().is_null());
        let path = fields.find("path").map(|(_, f)| TextColumn::accepts(f.data_type()));
        match (bytes, path) {
            (None, None) => false,
            (bytes, path) => bytes.unwrap_or(true) && path.unwrap_or(true),
        }
    }

    /// The column of an array whose type is accepted; `None` for another.
    pub(crate) fn try_new(array: &ArrayRef) -> Option<Self> {
        if !Self::accepts(array.data_type()) {
            return None;
        }
        Some(match array.data_type() {
            DataType::Binary => Self::Binary(array.as_binary().clone()),
            DataType::LargeBinary => Self::LargeBinary(array.as_binary().clone()),
            DataType::BinaryView => Self::View(array.as_binary_view().clone()),
            DataType::FixedSizeBinary(_) => Self::FixedSize(array.as_fixed_size_binary().clone()),
            DataType::Null => Self::Null,
            DataType::Struct(_) => {
                let array = array.as_struct();
                let field = |name| array.column_by_name(name).and_then(Self::try_new).map(Box::new);
                Self::Struct { nulls: array.nulls().cloned(), bytes: field("bytes"), path: field("path") }
            }
            DataType::Dictionary(_, values) if !TextColumn::accepts(values) => {
                let dictionary = array.as_any_dictionary_opt()?;
                Self::Dictionary(Keys::new(dictionary), Box::new(Self::try_new(dictionary.values())?))
            }
            _ => Self::Path(TextColumn::try_new(array)?),
        })
    }

    /// Whether a row can be a path or URL.
    pub(crate) fn may_name_files(&self) -> bool {
        match self {
            Self::Binary(_) | Self::LargeBinary(_) | Self::View(_) | Self::FixedSize(_) | Self::Null => false,
            Self::Struct { path, .. } => path.is_some(),
            Self::Path(_) => true,
            Self::Dictionary(_, values) => values.may_name_files(),
        }
    }

    /// The image of a row; `None` for NULL.
    pub(crate) fn get(&self, row: usize) -> Option<ImageRef<'_>> {
        match self {
            Self::Binary(a) => a.is_valid(row).then(|| ImageRef::Bytes(a.value(row))),
            Self::LargeBinary(a) => a.is_valid(row).then(|| ImageRef::Bytes(a.value(row))),
            Self::View(a) => a.is_valid(row).then(|| ImageRef::Bytes(a.value(row))),
            Self::FixedSize(a) => a.is_valid(row).then(|| ImageRef::Bytes(a.value(row))),
            Self::Struct { nulls, bytes, path } => {
                if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                    return None;
                }
                let bytes = bytes.as_ref().and_then(|column| column.get(row));
                bytes.or_else(|| path.as_ref().and_then(|column| column.get(row)))
            }
            Self::Path(texts) => texts.get(row).map(ImageRef::Path),
            Self::Dictionary(keys, values) => values.get(keys.get(row)?),
            Self::Null => None,
        }
    }
}
