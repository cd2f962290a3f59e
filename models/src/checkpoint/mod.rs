//! A model's files: where they lie, fetching them, reading them.
//!
//! [`Location`] is what a user names; [`Checkpoint`] is an opened one, in the layout that Hugging Face's
//! `save_pretrained` writes: `config.json`, one or several `*.safetensors`, the tokenizer's files.

mod blocking;
mod cache_folder;
mod embedded;
mod files;
mod fingerprint;
mod hub;
mod inspect;
mod location;
mod store;
mod weights;

pub use cache_folder::cache_folder;
pub use files::{Checkpoint, PREPARATION};
pub use fingerprint::fingerprint;
pub(crate) use fingerprint::of_parts;
pub use inspect::{Inspection, inspect};
pub use location::Location;
pub(crate) use weights::{Matrix, Scope};
pub use weights::{StoredTensor, Weights, WeightsFile};
