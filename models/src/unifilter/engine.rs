//! What computes: the same model on different devices.

use std::fmt::Debug;

use crate::prepared::Embeddings;
use crate::{ModelError, Prepared};

/// A model's arithmetic on one kind of device.
pub(super) trait Engine: Debug + Send + Sync {
    /// Embeddings of resized images (uint8, HWC, RGB): [tokens, hidden] each.
    fn encode(&self, images: &[&[u8]]) -> Result<Vec<Embeddings>, ModelError>;

    /// States of the samples' last positions after the final norm, [samples, hidden] in f32. Every image of the samples
    /// has its embeddings.
    fn last_states(&self, batch: &[Prepared]) -> Result<Vec<f32>, ModelError>;

    /// The vision tower's features [images, patches, vision hidden].
    fn vision_features(&self, images: &[&[u8]]) -> Result<Vec<f32>, ModelError>;
}
