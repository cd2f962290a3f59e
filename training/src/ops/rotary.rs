//! Rotary positions (Su et al., arXiv 2104.09864), halves rotated against each other.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use tamis_models::simd::vectorise;

use super::is_ours;
use super::values::{Values, result, shaped, slice};

/// Rows of a task.
const ROWS: usize = 64;

/// Cosines and sines of the rows' positions: [rows, head / 2] each.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    head: usize,
    cos: Arc<Vec<f32>>,
    sin: Arc<Vec<f32>>,
}

impl Rotation {
    /// Of heads `head` wide whose rows stand at these positions. Wavelengths and angles in f32, as the reference has them.
    pub(crate) fn new(positions: &[u32], head: usize, theta: f64) -> Self {
        let frequencies: Vec<f32> =
            (0..head).step_by(2).map(|i| 1. / (theta as f32).powf(i as f32 / head as f32)).collect();
        let angles: Vec<f32> = positions.iter().flat_map(|p| frequencies.iter().map(move |f| *p as f32 * f)).collect();
        let cos = angles.iter().map(|angle| angle.cos()).collect();
        let sin = angles.iter().map(|angle| angle.sin()).collect();
        Self { head, cos: Arc::new(cos), sin: Arc::new(sin) }
    }

    /// `sign` of -1 turns back, which is what a gradient wants.
    fn turn(&self, x: &[f32], width: usize, sign: f32) -> Vec<f32> {
        let (head, half) = (self.head, self.head / 2);
        let mut y = vec![0.; x.len()];
        let angles = self.cos.par_chunks(ROWS * half).zip(self.sin.par_chunks(ROWS * half));
        y.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).zip(angles).for_each(|((y, x), (cos, sin))| {
            vectorise(
                #[inline(always)]
                || {
                    let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
                    for ((y, x), (cos, sin)) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(angles) {
                        for (y, x) in y.chunks_exact_mut(head).zip(x.chunks_exact(head)) {
                            let ((y1, y2), (x1, x2)) = (y.split_at_mut(half), x.split_at(half));
                            for i in 0..half {
                                y1[i] = x1[i] * cos[i] - x2[i] * sin[i] * sign;
                                y2[i] = x2[i] * cos[i] + x1[i] * sin[i] * sign;
                            }
                        }
                    }
                },
            );
        });
        y
    }
}

/// Rotates each head of x [rows, heads * head] by its row's angles.
pub(crate) fn rotate(x: &Tensor, rotation: &Rotation) -> Result<Tensor> {
    let x = x.contiguous()?;
    if is_ours(&x) {
        return x.apply_op1(rotation.clone());
    }
    let (rows, width) = x.dims2()?;
    let (head, half) = (rotation.head, rotation.head / 2);
    let angles = |values: &Vec<f32>| Tensor::from_slice(values, (rows, 1, half), x.device())?.to_dtype(x.dtype());
    let (cos, sin) = (angles(&rotation.cos)?, angles(&rotation.sin)?);
    let heads = x.reshape((rows, width / head, head))?;
    let (first, second) = (heads.narrow(2, 0, half)?, heads.narrow(2, half, half)?);
    let turned = Tensor::cat(
        &[
            (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?,
            (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?,
        ],
        2,
    )?;
    turned.reshape((rows, width))
}

impl CustomOp1 for Rotation {
    fn name(&self) -> &'static str {
        "rotary positions"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = layout.shape().dims().last().copied().unwrap_or(1);
        Ok(result(self.turn(slice(x, layout)?, width, 1.), layout.shape()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let of_x = self.turn(&Values::of(&grad)?, x.dim(1)?, -1.);
        Ok(Some(shaped(of_x, x)?))
    }
}
