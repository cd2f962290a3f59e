//! Functions of single values that the compiler vectorises, for the instructions of the CPU at hand.
//!
//! ```
//! use tamis_models::simd::{exp, vectorise};
//!
//! let mut values = vec![0.0, 1.0];
//! vectorise(|| values.iter_mut().for_each(|value| *value = exp(*value)));
//! assert!((values[1] - std::f32::consts::E).abs() < 1e-6);
//! ```

use crate::kernels::{Isa, exp2, largest};

pub use crate::kernels::{gelu_erf, gelu_tanh, sigmoid};

/// Runs `f` compiled for this CPU: what is inlined into it is vectorised with its widest instructions.
#[inline]
pub fn vectorise<R>(f: impl FnOnce() -> R) -> R {
    Isa::detect().vectorise(f)
}

/// `e^x` of an `x` that is not above 87, to about one unit in the last place.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    exp2::<false>(x * std::f32::consts::LOG2_E)
}

/// The largest of some values; minus infinity of none.
#[inline(always)]
pub fn maximum(values: &[f32]) -> f32 {
    largest(values)
}
