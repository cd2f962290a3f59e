//! Samples of four levels of quality from raw images: what classifiers of quality are trained with.
//!
//! For an image, or a document of images and texts, one text for each [`Level`]: by [`rules`], which need no model, or from
//! a model behind an API. Knows neither Arrow nor DataFusion: whoever calls it reads and writes tables.

mod level;
mod random;
pub mod rules;

pub use level::Level;
