//! Linear maps.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use tamis_models::simd::vectorise;

use super::is_ours;
use super::product::{Matrix, multiplied};
use super::values::{Values, result, rows, slice};

/// Rows of a task.
const ROWS: usize = 64;

/// `x * weight^T + bias`: x [..., inputs], weight [outputs, inputs], bias [outputs]. A weight that is not trained costs no
/// gradient.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let map = Map { wants_x: x.track_op(), wants_weight: weight.track_op() };
    let x = &x.contiguous()?;
    if is_ours(x) {
        return match bias {
            Some(bias) => x.apply_op3(weight, bias, map),
            None => x.apply_op2(weight, map),
        };
    }
    let (count, inputs) = rows(x.shape());
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = weight.dim(0)?;
    }
    let y = x.reshape((count, inputs))?.matmul(&weight.t()?)?.reshape(shape)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

/// The map, and which gradients are wanted.
#[derive(Debug, Clone, Copy)]
struct Map {
    wants_x: bool,
    wants_weight: bool,
}

impl Map {
    fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, shapes: (&Shape, &Shape)) -> (CpuStorage, Shape) {
        let ((count, inputs), (outputs, _)) = (rows(shapes.0), rows(shapes.1));
        let mut y = multiplied(Matrix::new(x, count, inputs), Matrix::new(weight, outputs, inputs).t());
        if let Some(bias) = bias {
            y.par_chunks_mut(ROWS * outputs).for_each(|rows| {
                vectorise(
                    #[inline(always)]
                    || {
                        for row in rows.chunks_exact_mut(outputs) {
                            row.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
                        }
                    },
                );
            });
        }
        let mut shape = shapes.0.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        result(y, shape)
    }

    /// Gradients of x and weight.
    fn backward(self, x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((count, inputs), (outputs, _)) = (rows(x.shape()), rows(weight.shape()));
        let grad = Values::of(grad)?;
        let of_y = Matrix::new(&grad, count, outputs);
        let of_x = match self.wants_x {
            true => {
                let weight = Values::of(weight)?;
                let values = multiplied(of_y, Matrix::new(&weight, outputs, inputs));
                Some(Tensor::from_vec(values, x.shape(), x.device())?)
            }
            false => None,
        };
        let of_weight = match self.wants_weight {
            true => {
                let x = Values::of(x)?;
                let values = multiplied(of_y.t(), Matrix::new(&x, count, inputs));
                Some(Tensor::from_vec(values, weight.shape(), weight.device())?)
            }
            false => None,
        };
        Ok((of_x, of_weight))
    }
}

/// Sums of columns.
pub(super) fn column_sums(values: &[f32], width: usize) -> Vec<f32> {
    let parts: Vec<Vec<f32>> = values
        .par_chunks(ROWS * width)
        .map(|rows| {
            let mut sums = vec![0f32; width];
            vectorise(
                #[inline(always)]
                || {
                    for row in rows.chunks_exact(width) {
                        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                    }
                },
            );
            sums
        })
        .collect();
    // One after the other: the order, and so the last digit, does not hang on threads.
    let mut sums = vec![0f32; width];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    sums
}

impl CustomOp2 for Map {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, weight: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(Self::forward(slice(x, lx)?, slice(weight, lw)?, None, (lx.shape(), lw.shape())))
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, weight, &grad.contiguous()?)
    }
}

impl CustomOp3 for Map {
    fn name(&self) -> &'static str {
        "linear with a bias"
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
        Ok(Self::forward(slice(x, lx)?, slice(weight, lw)?, Some(slice(bias, lb)?), (lx.shape(), lw.shape())))
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
        let of_bias = match self.wants_weight {
            true => {
                let sums = column_sums(&Values::of(&grad)?, bias.elem_count());
                Some(Tensor::from_vec(sums, bias.shape(), bias.device())?)
            }
            false => None,
        };
        let (of_x, of_weight) = self.backward(x, weight, &grad)?;
        Ok((of_x, of_weight, of_bias))
    }
}
