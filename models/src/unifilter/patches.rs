//! From resized uint8 pixels to the vision tower's patches.

use candle_core::{Device, Result, Tensor};

use super::config::VisionConfig;
use crate::preprocess::Normaliser;

/// Cuts normalised images into patches, as a convolution whose stride is its kernel's size would read them: row by
/// row, each patch channel first. Pixels to the right of and below the last whole patch are never read.
#[derive(Debug)]
pub(crate) struct Patches {
    side: usize,
    patch: usize,
    width: usize,
    normaliser: Normaliser,
}

impl Patches {
    pub(crate) fn new(config: &VisionConfig, normaliser: &Normaliser) -> Self {
        Self { side: config.side(), patch: config.patch_size, width: config.image_size, normaliser: normaliser.clone() }
    }

    /// Images (uint8, HWC, RGB) as f32 patches [images, patches, 3 * patch * patch].
    pub(crate) fn of(&self, images: &[&[u8]], device: &Device) -> Result<Tensor> {
        let (side, patch) = (self.side, self.patch);
        let depth = 3 * patch * patch;
        let mut values = Vec::with_capacity(images.len() * side * side * depth);
        for image in images {
            for (row, column) in (0..side * side).map(|i| (i / side, i % side)) {
                for channel in 0..3 {
                    let table = self.normaliser.table(channel);
                    for y in 0..patch {
                        let start = ((row * patch + y) * self.width + column * patch) * 3;
                        let line = image.get(start..start + patch * 3).ok_or_else(|| short(image, self.width))?;
                        values.extend(line.iter().skip(channel).step_by(3).map(|v| table[usize::from(*v)]));
                    }
                }
            }
        }
        Tensor::from_vec(values, (images.len(), side * side, depth), device)
    }
}

fn short(image: &[u8], width: usize) -> candle_core::Error {
    candle_core::Error::msg(format!("an image of {} bytes, expected {width} x {width} x 3", image.len()))
}
