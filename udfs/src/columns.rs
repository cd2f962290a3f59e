//! The arguments of a model call as columns, and their rows as samples.
//!
//! A call has one of two forms: an image and a text, or a document of two parallel lists. Whatever Arrow type an argument
//! has, a row is borrowed from where it lies; no bytes are copied and nothing is cast.

mod dictionary;
mod image;
mod list;
mod text;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

use crate::error::Error;
pub(crate) use image::ImageColumn;
pub use image::{ImageRef, Unreadable};
use list::ListRows;
use text::TextColumn;

/// Which of its two forms a model call has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallForm {
    /// An image and its text.
    Pair,
    /// Two parallel lists: images and texts.
    Document,
}

const EXPECTED_IMAGE: &str =
    "binary (the encoded file), a struct of bytes and path, a string (path or URL), or a list of one of these";
const EXPECTED_TEXT: &str = "a string";
const EXPECTED_TEXTS: &str = "a list of strings, as argument 1 is a list";

/// Checks the types of a model call's image and text arguments (the first two) and tells its form.
///
/// The error is a planning error that names the function, the argument, the type found and the types accepted.
pub fn check_argument_types(function: &str, types: &[DataType]) -> Result<CallForm> {
    Ok(form(function, types)?)
}

fn form(function: &str, types: &[DataType]) -> Result<CallForm, Error> {
    let [image, text, ..] = types else {
        let expected = "an image and a text, or a list of images and a list of texts";
        return Err(Error::ArgumentCount { function: function.to_string(), expected, found: types.len() });
    };
    let wrong = |position, argument, found: &DataType, expected| {
        Err(Error::ArgumentType { function: function.to_string(), position, argument, found: found.clone(), expected })
    };
    match ListRows::item_type(image) {
        Some(item) if !ImageColumn::accepts(item) => wrong(1, "images", image, EXPECTED_IMAGE),
        Some(_) => match ListRows::item_type(text) {
            Some(item) if TextColumn::accepts(item) => Ok(CallForm::Document),
            None if text.is_null() => Ok(CallForm::Document),
            _ => wrong(2, "texts", text, EXPECTED_TEXTS),
        },
        None if !ImageColumn::accepts(image) => wrong(1, "image", image, EXPECTED_IMAGE),
        None if image.is_null() && ListRows::item_type(text).is_some_and(TextColumn::accepts) => Ok(CallForm::Document),
        None if TextColumn::accepts(text) => Ok(CallForm::Pair),
        None => wrong(2, "text", text, EXPECTED_TEXT),
    }
}

/// One row of a model call, borrowed from its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row<'a> {
    /// An argument is NULL, or the row is not selected.
    Null,
    /// An image and its text.
    Pair {
        /// The image.
        image: ImageRef<'a>,
        /// The text.
        text: &'a str,
    },
    /// Two lists, parallel if the row is as it should be.
    Document {
        /// The images; `None` where a text stands.
        images: Vec<Option<ImageRef<'a>>>,
        /// The texts; `None` where an image stands.
        texts: Vec<Option<&'a str>>,
    },
}

/// The arguments of one model call for a batch of rows, checked for type once.
#[derive(Debug, Clone)]
pub struct SampleColumns {
    rows: usize,
    columns: Columns,
    /// Whether the image, and the text, is one value for all rows.
    constant: [bool; 2],
    /// The rows that are wanted; `None`: all.
    selection: Option<BooleanArray>,
}

#[derive(Debug, Clone)]
enum Columns {
    Pair(Box<PairColumns>),
    Document(Box<DocumentColumns>),
}

#[derive(Debug, Clone)]
struct PairColumns {
    images: ImageColumn,
    texts: TextColumn,
}

#[derive(Debug, Clone)]
struct DocumentColumns {
    image_lists: ListRows,
    images: ImageColumn,
    text_lists: ListRows,
    texts: TextColumn,
}

impl SampleColumns {
    /// Takes the image and text arguments (without the model's name), each an array of the batch's length.
    pub fn try_new(args: &[ArrayRef]) -> Result<Self> {
        let columns = Columns::try_new(args)?;
        if args[0].len() != args[1].len() {
            return Err(Error::UnequalColumns { left: args[0].len(), right: args[1].len() }.into());
        }
        Ok(Self { rows: args[0].len(), columns, constant: [false; 2], selection: None })
    }

    /// Takes the arguments as a function receives them; a constant is not repeated for each row.
    pub fn try_from_values(values: &[ColumnarValue], rows: usize) -> Result<Self> {
        let arrays = values
            .iter()
            .map(|value| match value {
                ColumnarValue::Array(array) => Ok(array.clone()),
                ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(1),
            })
            .collect::<Result<Vec<_>>>()?;
        let columns = Columns::try_new(&arrays)?;
        let constant = [0, 1].map(|i| matches!(values[i], ColumnarValue::Scalar(_)));
        for (array, constant) in arrays.iter().zip(constant) {
            if !constant && array.len() != rows {
                return Err(Error::UnequalColumns { left: rows, right: array.len() }.into());
            }
        }
        Ok(Self { rows, columns, constant, selection: None })
    }

    /// Rows for which `selection` is not true count as NULL: they are not scored. Rows beyond its end count as not
    /// selected; a second selection narrows the first.
    pub fn with_selection(self, selection: BooleanArray) -> Self {
        let wanted = |row| is_true(&selection, row) && self.is_selected(row);
        let selection = (0..self.rows).map(|row| Some(wanted(row))).collect();
        Self { selection: Some(selection), ..self }
    }

    fn is_selected(&self, row: usize) -> bool {
        self.selection.as_ref().is_none_or(|selection| is_true(selection, row))
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether an argument of this row is NULL, or the row is not selected.
    pub fn is_null(&self, row: usize) -> bool {
        if !self.is_selected(row) {
            return true;
        }
        let [image, text] = self.places(row);
        match &self.columns {
            Columns::Pair(pair) => pair.images.get(image).is_none() || pair.texts.get(text).is_none(),
            Columns::Document(lists) => lists.image_lists.get(image).is_none() || lists.text_lists.get(text).is_none(),
        }
    }

    /// A row's content, borrowed.
    pub fn row(&self, row: usize) -> Row<'_> {
        if !self.is_selected(row) {
            return Row::Null;
        }
        let [image, text] = self.places(row);
        match &self.columns {
            Columns::Pair(pair) => match (pair.images.get(image), pair.texts.get(text)) {
                (Some(image), Some(text)) => Row::Pair { image, text },
                _ => Row::Null,
            },
            Columns::Document(lists) => match (lists.image_lists.get(image), lists.text_lists.get(text)) {
                (Some(images), Some(texts)) => Row::Document {
                    images: images.map(|at| lists.images.get(at)).collect(),
                    texts: texts.map(|at| lists.texts.get(at)).collect(),
                },
                _ => Row::Null,
            },
        }
    }

    /// Whether a row's images, or some of them, lie in files that must be fetched.
    pub fn names_files(&self, row: usize) -> bool {
        let images = match &self.columns {
            Columns::Pair(pair) => &pair.images,
            Columns::Document(lists) => &lists.images,
        };
        let is_path = |image: &ImageRef<'_>| matches!(image, ImageRef::Path(_));
        images.may_name_files()
            && match self.row(row) {
                Row::Null => false,
                Row::Pair { image, .. } => is_path(&image),
                Row::Document { images, .. } => images.iter().flatten().any(is_path),
            }
    }

    fn places(&self, row: usize) -> [usize; 2] {
        self.constant.map(|constant| if constant { 0 } else { row })
    }
}

fn is_true(selection: &BooleanArray, row: usize) -> bool {
    row < selection.len() && selection.is_valid(row) && selection.value(row)
}

impl Columns {
    fn try_new(arrays: &[ArrayRef]) -> Result<Self, Error> {
        const CALL: &str = "model call";
        let types: Vec<_> = arrays.iter().map(|a| a.data_type().clone()).collect();
        let call = form(CALL, &types)?;
        let wrong = |i: usize, argument, expected| Error::ArgumentType {
            function: CALL.to_string(),
            position: i + 1,
            argument,
            found: types[i].clone(),
            expected,
        };
        let (image, text) = (|| wrong(0, "image", EXPECTED_IMAGE), || wrong(1, "text", EXPECTED_TEXT));
        Ok(match call {
            CallForm::Pair => Self::Pair(Box::new(PairColumns {
                images: ImageColumn::try_new(&arrays[0]).ok_or_else(image)?,
                texts: TextColumn::try_new(&arrays[1]).ok_or_else(text)?,
            })),
            CallForm::Document => {
                let (image_lists, images) = match ListRows::try_new(&arrays[0]) {
                    Some((rows, values)) => (rows, ImageColumn::try_new(&values).ok_or_else(image)?),
                    None => (ListRows::null(), ImageColumn::Null),
                };
                let (text_lists, texts) = match ListRows::try_new(&arrays[1]) {
                    Some((rows, values)) => (rows, TextColumn::try_new(&values).ok_or_else(text)?),
                    None => (ListRows::null(), TextColumn::Null),
                };
                Self::Document(Box::new(DocumentColumns { image_lists, images, text_lists, texts }))
            }
        })
    }
}

#[cfg(test)]
mod tests;
