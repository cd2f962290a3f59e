//! Norms over the last dimension.
//!
//! Layer norm: Ba et al., arXiv 1607.06450. Root-mean-square norm: Zhang and Sennrich, arXiv 1910.07467.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use tamis_models::simd::vectorise;

use super::is_ours;
use super::values::{Values, result, shaped, slice};

/// Rows of a task.
const ROWS: usize = 32;

/// `(x - mean) / sqrt(variance + eps) * weight + bias` over rows of x [..., width]; weight and bias [width].
pub(crate) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let x = &x.contiguous()?;
    if is_ours(x) {
        return x.apply_op3(weight, bias, Norm { eps: eps as f32, is_centred: true });
    }
    // The mean and the variance in f32, whatever the states are in.
    let wide = x.to_dtype(DType::F32)?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    centred.broadcast_div(&deviation)?.to_dtype(x.dtype())?.broadcast_mul(weight)?.broadcast_add(bias)
}

/// `x / sqrt(mean of squares + eps) * weight` over rows of x [..., width]; weight [width].
pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let x = &x.contiguous()?;
    if is_ours(x) {
        return x.apply_op2(weight, Norm { eps: eps as f32, is_centred: false });
    }
    let wide = x.to_dtype(DType::F32)?;
    let root = (wide.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    wide.broadcast_div(&root)?.to_dtype(x.dtype())?.broadcast_mul(weight)
}

/// Either norm: the root-mean-square norm takes the mean for zero.
#[derive(Debug, Clone, Copy)]
struct Norm {
    eps: f32,
    is_centred: bool,
}

/// A sum in 16 lanes, which the compiler vectorises.
#[inline(always)]
pub(super) fn sum(count: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0f32; 16];
    let whole = count / 16 * 16;
    for start in (0..whole).step_by(16) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    (whole..count).map(term).sum::<f32>() + lanes.iter().sum::<f32>()
}

impl Norm {
    /// A row's mean, and the inverse of its deviation.
    #[inline(always)]
    fn moments(self, x: &[f32]) -> (f32, f32) {
        let count = x.len() as f32;
        let mean = if self.is_centred { sum(x.len(), |i| x[i]) / count } else { 0. };
        let variance = sum(x.len(), |i| (x[i] - mean) * (x[i] - mean)) / count;
        (mean, 1. / (variance + self.eps).sqrt())
    }

    fn forward(self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let width = weight.len();
        let mut y = vec![0.; x.len()];
        y.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).for_each(|(y, x)| {
            vectorise(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                        let (mean, scale) = self.moments(x);
                        for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
                            *y = (x - mean) * scale * weight;
                        }
                        if let Some(bias) = bias {
                            y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
                        }
                    }
                },
            );
        });
        y
    }

    /// Gradients of x, weight and bias.
    fn backward(self, x: &[f32], weight: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let width = weight.len();
        let mut of_x = vec![0.; x.len()];
        let tasks =
            of_x.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).zip(grad.par_chunks(ROWS * width));
        let sums: Vec<(Vec<f32>, Vec<f32>)> = tasks
            .map(|((of_x, x), grad)| {
                let (mut of_weight, mut of_bias) = (vec![0f32; width], vec![0f32; width]);
                vectorise(
                    #[inline(always)]
                    || {
                        let rows =
                            of_x.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(grad.chunks_exact(width));
                        for ((of_x, x), grad) in rows {
                            self.row(of_x, x, grad, weight, &mut of_weight, &mut of_bias);
                        }
                    },
                );
                (of_weight, of_bias)
            })
            .collect();
        // One after the other: the order, and so the last digit, does not hang on threads.
        let (mut of_weight, mut of_bias) = (vec![0f32; width], vec![0f32; width]);
        for (weights, biases) in sums {
            of_weight.iter_mut().zip(weights).for_each(|(sum, value)| *sum += value);
            of_bias.iter_mut().zip(biases).for_each(|(sum, value)| *sum += value);
        }
        (of_x, of_weight, of_bias)
    }

    /// With n = (x - mean) * scale and g = grad * weight: scale * (g - mean(g) - n * mean(g * n)).
    #[inline(always)]
    fn row(
        self,
        of_x: &mut [f32],
        x: &[f32],
        grad: &[f32],
        weight: &[f32],
        of_weight: &mut [f32],
        of_bias: &mut [f32],
    ) {
        let (width, count) = (x.len(), x.len() as f32);
        let (mean, scale) = self.moments(x);
        let (grad, weight) = (&grad[..width], &weight[..width]);
        let along = sum(width, |i| grad[i] * weight[i] * (x[i] - mean)) * scale / count;
        let level = if self.is_centred { sum(width, |i| grad[i] * weight[i]) / count } else { 0. };
        let (of_x, of_weight, of_bias) = (&mut of_x[..width], &mut of_weight[..width], &mut of_bias[..width]);
        for i in 0..width {
            let normed = (x[i] - mean) * scale;
            of_x[i] = scale * (grad[i] * weight[i] - level - normed * along);
            of_weight[i] += grad[i] * normed;
            of_bias[i] += grad[i];
        }
    }
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, weight: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(result(self.forward(slice(x, lx)?, slice(weight, lw)?, None), lx.shape()))
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (of_x, of_weight, _) = self.backward(&Values::of(x)?, &Values::of(weight)?, &Values::of(&grad)?);
        Ok((Some(shaped(of_x, x)?), weight.track_op().then(|| shaped(of_weight, weight)).transpose()?))
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        weight: &CpuStorage,
        lw: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(result(self.forward(slice(x, lx)?, slice(weight, lw)?, Some(slice(bias, lb)?)), lx.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (of_x, of_weight, of_bias) = self.backward(&Values::of(x)?, &Values::of(weight)?, &Values::of(&grad)?);
        let if_wanted = |values, like: &Tensor| like.track_op().then(|| shaped(values, like)).transpose();
        Ok((Some(shaped(of_x, x)?), if_wanted(of_weight, weight)?, if_wanted(of_bias, bias)?))
    }
}
