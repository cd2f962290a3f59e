//! Activations.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use tamis_models::simd::{self, exp, vectorise};

use super::is_ours;
use super::values::{Values, result, shaped, slice};

/// Values of a task.
const VALUES: usize = 1 << 14;

/// `x Phi(x)` by its tanh approximation: `gelu_pytorch_tanh` (Hendrycks and Gimpel, arXiv 1606.08415).
pub(crate) fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    if is_ours(x) { x.contiguous()?.apply_op1(Gelu::Tanh) } else { x.gelu() }
}

/// `x Phi(x)` by the error function.
pub(crate) fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    if is_ours(x) { x.contiguous()?.apply_op1(Gelu::Erf) } else { x.gelu_erf() }
}

/// `silu(gate) * value` (Shazeer, arXiv 2002.05202).
pub(crate) fn swiglu(gate: &Tensor, value: &Tensor) -> Result<Tensor> {
    match is_ours(gate) {
        true => gate.contiguous()?.apply_op2(&value.contiguous()?, SwiGlu),
        false => gate.silu()? * value,
    }
}

/// `to[i] = f(a[i], b[i])` on all threads.
fn map(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    let mut to = vec![0.; a.len()];
    to.par_chunks_mut(VALUES).zip(a.par_chunks(VALUES)).zip(b.par_chunks(VALUES)).for_each(|((to, a), b)| {
        vectorise(
            #[inline(always)]
            || {
                for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
                    *to = f(*a, *b);
                }
            },
        );
    });
    to
}

#[derive(Debug, Clone, Copy)]
enum Gelu {
    Tanh,
    Erf,
}

/// d/dx of x sigmoid(2 y), y = sqrt(2 / pi) (x + 0.044715 x^3).
#[inline(always)]
fn gelu_tanh_slope(x: f32) -> f32 {
    const SQRT_8_OVER_PI: f32 = 1.595_769;
    let s = simd::sigmoid::<false>(SQRT_8_OVER_PI * x * (0.044_715 * x * x + 1.));
    s + x * s * (1. - s) * SQRT_8_OVER_PI * (3. * 0.044_715 * x * x + 1.)
}

/// Phi(x) + x phi(x).
#[inline(always)]
fn gelu_erf_slope(x: f32) -> f32 {
    const ONE_OVER_SQRT_2_PI: f32 = 0.398_942_3;
    let below = if x == 0. { 0.5 } else { simd::gelu_erf(x) / x };
    below + x * ONE_OVER_SQRT_2_PI * exp(-0.5 * x * x)
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, layout)?;
        let y = match self {
            Self::Tanh => map(
                x,
                x,
                #[inline(always)]
                |x, _| simd::gelu_tanh::<false>(x),
            ),
            Self::Erf => map(
                x,
                x,
                #[inline(always)]
                |x, _| simd::gelu_erf(x),
            ),
        };
        Ok(result(y, layout.shape()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (values, grad) = (Values::of(x)?, Values::of(&grad)?);
        let of_x = match self {
            Self::Tanh => map(
                &values,
                &grad,
                #[inline(always)]
                |x, grad| grad * gelu_tanh_slope(x),
            ),
            Self::Erf => map(
                &values,
                &grad,
                #[inline(always)]
                |x, grad| grad * gelu_erf_slope(x),
            ),
        };
        Ok(Some(shaped(of_x, x)?))
    }
}

#[derive(Debug, Clone, Copy)]
struct SwiGlu;

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, gate: &CpuStorage, lg: &Layout, value: &CpuStorage, lv: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = map(
            slice(gate, lg)?,
            slice(value, lv)?,
            #[inline(always)]
            |gate, value| gate * simd::sigmoid::<false>(gate) * value,
        );
        Ok(result(y, lg.shape()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        value: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (gates, values, grad) = (Values::of(gate)?, Values::of(value)?, Values::of(&grad)?);
        let of_value = map(
            &gates,
            &grad,
            #[inline(always)]
            |gate, grad| grad * gate * simd::sigmoid::<false>(gate),
        );
        let along = map(
            &values,
            &grad,
            #[inline(always)]
            |value, grad| value * grad,
        );
        let of_gate = map(
            &gates,
            &along,
            #[inline(always)]
            |gate, along| {
                let s = simd::sigmoid::<false>(gate);
                along * s * (1. + gate * (1. - s))
            },
        );
        Ok((Some(shaped(of_gate, gate)?), Some(shaped(of_value, value)?)))
    }
}
