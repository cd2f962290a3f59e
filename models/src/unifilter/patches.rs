//! From resized uint8 pixels to the vision tower's patches.

use super::config::VisionConfig;
use crate::ModelError;
use crate::preprocess::Normaliser;

/// Cuts normalised images into patches, as a convolution whose stride is its kernel's size would read them: row by
/// row, each patch channel first. Pixels to the right of and below the last whole patch are never read.
#[derive(Debug)]
pub struct Patches {
    side: usize,
    patch: usize,
    width: usize,
    normaliser: Normaliser,
}

impl Patches {
    /// How images of this tower are cut.
    pub fn new(config: &VisionConfig, normaliser: &Normaliser) -> Self {
        Self { side: config.side(), patch: config.patch_size, width: config.image_size, normaliser: normaliser.clone() }
    }

    /// Patches of an image.
    pub fn count(&self) -> usize {
        self.side * self.side
    }

    /// Values of a patch.
    pub fn depth(&self) -> usize {
        3 * self.patch * self.patch
    }

    /// Patches of a side, pixels of a patch's side, and of an image's.
    #[cfg(feature = "cuda")]
    pub(crate) fn grid(&self) -> crate::cuda::Grid {
        crate::cuda::Grid { size: self.width, side: self.side, patch: self.patch }
    }

    /// What the levels of each channel are after normalisation: [3, 256].
    #[cfg(feature = "cuda")]
    pub(crate) fn levels(&self) -> Vec<f32> {
        (0..3).flat_map(|channel| *self.normaliser.table(channel)).collect()
    }

    /// Whether `image` (uint8, HWC, RGB) has the size that the tower reads.
    pub fn check(&self, image: &[u8]) -> Result<(), ModelError> {
        if image.len() == self.width * self.width * 3 {
            return Ok(());
        }
        let reason = format!("an image of {} bytes, expected {width} x {width} x 3", image.len(), width = self.width);
        Err(ModelError::Sample { reason })
    }

    /// Writes one patch of an image that was checked: [3 * patch * patch].
    #[inline]
    pub fn write(&self, image: &[u8], number: usize, to: &mut [f32]) {
        let (row, column) = (number / self.side, number % self.side);
        let size = self.patch * self.patch;
        for y in 0..self.patch {
            let start = ((row * self.patch + y) * self.width + column * self.patch) * 3;
            let pixels = image[start..start + self.patch * 3].as_chunks::<3>().0;
            for channel in 0..3 {
                let table = self.normaliser.table(channel);
                let line = &mut to[channel * size + y * self.patch..][..self.patch];
                line.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = table[usize::from(pixel[channel])]);
            }
        }
    }
}
