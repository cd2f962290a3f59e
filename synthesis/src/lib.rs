//! Samples of four levels of quality from raw images: what classifiers of quality are trained with.
//!
//! For an image, or a document of images and texts, one text for each [`Level`]: by [`rules`], which need no model, or from
//! a model behind an API ([`asking`]). Knows neither Arrow nor DataFusion: whoever calls it reads and writes tables.

mod api;
pub mod asking;
mod budget;
pub mod clusters;
pub mod duplicates;
mod error;
mod journal;
mod level;
mod phash;
mod prompt;
mod question;
mod random;
pub mod rules;
mod sample;
pub mod sheet;
pub mod sources;
pub mod split;
mod spool;
mod validation;

pub use api::{ApiSettings, Provider, Secret};
pub use budget::{Limits, Price};
pub use error::SynthesisError;
pub use journal::{Identity, JournalError};
pub use level::Level;
pub use phash::perceptual_hash;
pub use prompt::{Kind, Prompt};
pub use sample::{Quarantined, Sample, Usage, Words};
pub use validation::Texts;
