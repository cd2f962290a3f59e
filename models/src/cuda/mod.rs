//! An NVIDIA GPU: its memory, kernels that are compiled when the program runs, matrix products by cuBLASLt.
//!
//! CUDA's libraries are opened when a model asks for a GPU, not linked: the same program runs where there is none. Everything
//! goes into one stream, so that what is asked for later sees what was asked for before, and the CPU waits for results alone.
//!
//! `unsafe` stands around the calls of the driver and of cuBLASLt. That a buffer is as long as the kernel's rows need is checked
//! before each. What lies in device memory and names places there (tiles, rows to take, tokens, addresses) is not looked at again:
//! the engine makes it from the same sequences as the buffers.
#![expect(unsafe_code, reason = "calls of the driver, NVRTC and cuBLASLt, and kernels")]

mod gpu;
mod kernels;
mod linear;
mod module;
mod products;

pub(crate) use gpu::{Buffer, Gpu, Staging, Values, is_available};
pub(crate) use kernels::{Grid, Kernels, Norm, Part, Tile, Turn};
pub(crate) use linear::Linear;
pub(crate) use products::Yields;

/// Numbers of a tower's weights, and of activations between its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Numbers {
    F32,
    Bf16,
    F16,
}

impl Numbers {
    /// Bytes of one.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }
}

/// What a GPU refused.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {reason}")]
pub(crate) struct Error {
    doing: &'static str,
    reason: String,
}

impl Error {
    fn new(doing: &'static str, reason: impl std::fmt::Display) -> Self {
        Self { doing, reason: reason.to_string() }
    }
}

/// For `map_err`: what was being done when this failed.
fn while_doing<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> Error {
    move |reason| Error::new(doing, reason)
}
