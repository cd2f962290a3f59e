//! Samples that are ready for a device.

use std::sync::{Arc, OnceLock};

/// A sample that is ready for a device: resized pixels and token ids.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Resized images, in the order of their image tokens. Samples with the same image share it.
    pub images: Vec<Arc<PreparedImage>>,
    /// Token ids; `None` stands for an image.
    pub ids: Vec<Option<u32>>,
    /// Positions of the language model's sequence: text ids plus image tokens (144 an image).
    pub positions: usize,
}

impl Prepared {
    /// Bytes of memory that this sample holds, alone or together with others.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + self.images.iter().map(|image| image.size_bytes()).sum::<usize>()
            + self.ids.capacity() * size_of::<Option<u32>>()
    }
}

/// What the vision tower and the projector made of an image: [tokens, hidden].
#[derive(Debug)]
pub(crate) enum Embeddings {
    /// Of a model on a CPU.
    Host(Vec<f32>),
    /// Of a model on a GPU.
    #[cfg(feature = "cuda")]
    Device(crate::cuda::Values),
    /// Of a model in candle.
    #[cfg(test)]
    Candle(candle_core::Tensor),
}

impl Embeddings {
    fn size_bytes(&self) -> usize {
        match self {
            Self::Host(values) => size_of_val(values.as_slice()),
            #[cfg(feature = "cuda")]
            Self::Device(values) => values.bytes(),
            #[cfg(test)]
            Self::Candle(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
        }
    }
}

/// A resized image, and what the vision tower has made of it.
#[derive(Debug)]
pub struct PreparedImage {
    pixels: Vec<u8>,
    embeddings: OnceLock<Embeddings>,
}

impl PreparedImage {
    /// An image that no vision tower has seen: uint8, HWC, RGB.
    pub fn new(pixels: Vec<u8>) -> Self {
        Self { pixels, embeddings: OnceLock::new() }
    }

    /// Its pixels: uint8, HWC, RGB.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Its embeddings on the model's device, once a forward pass has needed them.
    pub(crate) fn embeddings(&self) -> Option<&Embeddings> {
        self.embeddings.get()
    }

    /// Keeps the embeddings for the forward passes to come; those that are there already stay.
    pub(crate) fn set_embeddings(&self, embeddings: Embeddings) {
        let _ = self.embeddings.set(embeddings);
    }

    fn size_bytes(&self) -> usize {
        let embeddings = self.embeddings().map_or(0, Embeddings::size_bytes);
        size_of::<Self>() + self.pixels.capacity() + embeddings
    }
}
