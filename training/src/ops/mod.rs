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

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

pub(crate) use activation::{gelu_erf, gelu_tanh, swiglu};
pub(crate) use attention::{Groups, attention};
pub(crate) use cross_entropy::cross_entropy;
pub(crate) use linear::linear;
pub(crate) use norm::{layer_norm, rms_norm};
pub(crate) use rotary::{Rotation, rotate};
use values::Values;
pub(crate) use values::{slice, slice_mut};

/// The sum of a tensor's squares; on a CPU the same whatever the number of threads.
pub(crate) fn sum_of_squares(x: &Tensor) -> Result<f64> {
    if !is_ours(x) {
        return Ok(f64::from(x.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_scalar::<f32>()?));
    }
    let x = x.contiguous()?;
    let values = Values::of(&x)?;
    let parts: Vec<f64> =
        values.par_chunks(1 << 14).map(|part| f64::from(norm::sum(part.len(), |i| part[i] * part[i]))).collect();
    Ok(parts.into_iter().sum())
}

/// Whether a tensor is where the operations' own form is.
fn is_ours(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

#[cfg(test)]
mod tests;
