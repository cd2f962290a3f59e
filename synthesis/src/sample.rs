//! What comes out: samples, and rows that none could be made of.

use serde::{Deserialize, Serialize};

use crate::Level;
use crate::rules::Document;

/// A text of one level for a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The level.
    pub level: Level,
    /// Which of the row's texts of this level it is, from 0.
    pub variant: u32,
    /// The text, or the document.
    pub words: Words,
    /// What was made wrong, where that is known.
    pub changed: Option<String>,
    /// What it took.
    pub usage: Usage,
}

/// A sample's text. Images of documents are known by their number.
#[derive(Debug, Clone, PartialEq)]
pub enum Words {
    /// A caption of the row's image.
    Text(String),
    /// A document.
    Document(Document<usize>),
}

/// What texts took to make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens that a model read.
    pub input_tokens: u64,
    /// Tokens that a model wrote.
    pub output_tokens: u64,
    /// Money, in US dollars.
    pub cost_usd: f64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cost_usd += other.cost_usd;
    }
}

/// A row, or one level of it, that has no text, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quarantined {
    /// The row's name.
    pub uid: String,
    /// The level, if it is not all of them.
    pub level: Option<i32>,
    /// The reason.
    pub reason: String,
}
