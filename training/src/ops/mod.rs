//! What the model is made of, with gradients.
//!
//! Each operation has two forms of the same arithmetic. On a CPU, in f32, it is one pass over memory on all threads, with its
//! gradient beside it. Anywhere else it is composed of candle's own operations, which bring theirs; the tests hold the two
//! against each other.

mod activation;
mod attention;
mod cross_entropy;
mod linear;
mod norm;
mod product;
mod rotary;
mod values;

use candle_core::{DType, Tensor};

pub(crate) use activation::{gelu_erf, gelu_tanh, swiglu};
pub(crate) use attention::{Groups, attention};
pub(crate) use cross_entropy::cross_entropy;
pub(crate) use linear::linear;
pub(crate) use norm::{layer_norm, rms_norm};
pub(crate) use rotary::{Rotation, rotate};

/// Whether a tensor is where the operations' own form is.
fn is_ours(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

#[cfg(test)]
mod tests;
