//! What a training leaves: models in the released layout, and states to go on from.

mod model;
mod state;

pub(crate) use model::save_model;
pub use model::{SavedAs, read_projector};
pub(crate) use state::{Progress, read_state, write_state};
