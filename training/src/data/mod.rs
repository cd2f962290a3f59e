//! Samples: token ids, images and labels, made of rows of any source.

mod images;
mod json;
mod order;
mod rows;

pub use images::Store;
pub use json::{JsonRow, read_json};
pub(crate) use order::Order;
pub use rows::{Aspect, Content, DataSet, Reader, Refused, Row, Wanted};

/// One text over its images, and what it should be given.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its token ids; `None` is an image's place.
    pub ids: Vec<Option<u32>>,
    /// Its images: numbers of the data's [`Store`].
    pub images: Vec<u32>,
    /// Its level, or its class.
    pub label: f32,
    /// What it is called.
    pub uid: String,
}
