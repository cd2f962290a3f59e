//! Texts of four levels without a model: from facts, from a true caption, and from documents.
//!
//! For each level and variant the wording is drawn first, independent of the level; then it is decided what is wrong.

mod captions;
mod colours;
mod corpus;
mod documents;
mod edits;
mod english;
mod facts;
mod foreign;
mod lexicon;
mod places;
mod scene;
#[cfg(test)]
mod text_only;
mod texts;
mod wording;
mod world;

pub use captions::captions;
pub use corpus::{Rules, VERSION, true_caption};
pub use documents::{Document, Library, Part, documents};
pub use facts::{Facts, Object};
pub use texts::{Texts, rewritten};
pub use world::World;

use crate::Level;

/// A text that was made for a level.
#[derive(Debug, Clone, PartialEq)]
pub struct Made<T = String> {
    /// The level.
    pub level: Level,
    /// Which of the texts of this level it is, from 0.
    pub variant: u32,
    /// The text, or the document.
    pub content: T,
    /// What was made wrong, for levels 1 and 2: names of properties, joined by commas.
    pub changed: Option<String>,
}

/// A level for which nothing could be made, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct NotMade {
    /// The level.
    pub level: Level,
    /// Which of its texts it would have been.
    pub variant: u32,
    /// The reason.
    pub reason: String,
}
