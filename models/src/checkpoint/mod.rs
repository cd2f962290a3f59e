//! A model's files: where they lie, fetching them, reading them.
//!
//! [`Location`] is what a user names; [`Checkpoint`] is an opened one, in the layout that Hugging Face's
//! `save_pretrained` writes: `config.json`, one or several `*.safetensors`, the tokenizer's files.

mod embedded;
mod files;
mod fingerprint;
mod hub;
mod inspect;
mod location;
mod store;
mod weights;

pub use files::Checkpoint;
pub(crate) use fingerprint::fingerprint;
pub use inspect::{Inspection, inspect};
pub use location::Location;
pub(crate) use weights::Scope;
pub use weights::{Weights, WeightsFile};
