//! AdamW (Loshchilov and Hutter, arXiv 1711.05101), as torch.optim has it.

use candle_core::{CpuStorage, Device, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var};
use rayon::prelude::*;
use tamis_models::simd::vectorise;

use super::{Settings, decays};
use crate::ops::{slice, slice_mut};

/// Numbers of a task.
const NUMBERS: usize = 1 << 14;

/// One step of a tensor.
#[expect(clippy::too_many_arguments, reason = "what AdamW is told of a tensor")]
pub(super) fn step(
    name: &str,
    variable: &Var,
    gradient: &Tensor,
    memory: &mut Vec<Tensor>,
    scale: f64,
    rate: f64,
    steps: usize,
    settings: &Settings,
) -> Result<()> {
    if memory.is_empty() {
        *memory = vec![variable.zeros_like()?, variable.zeros_like()?];
    }
    let decay = if decays(name) { 1. - rate * settings.weight_decay } else { 1. };
    let (beta1, beta2) = (settings.beta1, settings.beta2);
    let correction1 = 1. - beta1.powi(steps as i32);
    let correction2 = (1. - beta2.powi(steps as i32)).sqrt();
    let [mean, squares] = memory.as_slice() else { return Err(candle_core::Error::msg("AdamW remembers two tensors")) };
    if !matches!(variable.device(), Device::Cpu) {
        let gradient = (gradient.to_dtype(variable.dtype())? * scale)?;
        let mean = ((mean * beta1)? + (&gradient * (1. - beta1))?)?;
        let squares = ((squares * beta2)? + (gradient.sqr()? * (1. - beta2))?)?;
        let deviation = ((squares.sqrt()? / correction2)? + settings.epsilon)?;
        variable.set(&((variable.as_tensor() * decay)? - ((&mean / deviation)? * (rate / correction1))?)?)?;
        *memory = vec![mean, squares];
        return Ok(());
    }
    let gradient = gradient.contiguous()?;
    let (scale, beta1, beta2) = (scale as f32, beta1 as f32, beta2 as f32);
    mean.inplace_op2(&gradient, &Blend { beta: beta1, scale, squares: false })?;
    squares.inplace_op2(&gradient, &Blend { beta: beta2, scale, squares: true })?;
    let change = Change {
        decay: decay as f32,
        step: (rate / correction1) as f32,
        correction: correction2 as f32,
        epsilon: settings.epsilon as f32,
    };
    variable.inplace_op3(mean, squares, &change)?;
    Ok(())
}

/// `mean = beta * mean + (1 - beta) * gradient`, or the same of its squares.
struct Blend {
    beta: f32,
    scale: f32,
    squares: bool,
}

impl InplaceOp2 for Blend {
    fn name(&self) -> &'static str {
        "a running mean"
    }

    fn cpu_fwd(&self, mean: &mut CpuStorage, lm: &Layout, gradient: &CpuStorage, lg: &Layout) -> Result<()> {
        let (means, gradient) = (slice_mut(mean, lm)?, slice(gradient, lg)?);
        means.par_chunks_mut(NUMBERS).zip(gradient.par_chunks(NUMBERS)).for_each(|(means, gradient)| {
            vectorise(
                #[inline(always)]
                || {
                    for (mean, gradient) in means.iter_mut().zip(gradient) {
                        let gradient = gradient * self.scale;
                        let term = if self.squares { gradient * gradient } else { gradient };
                        *mean = self.beta * *mean + (1. - self.beta) * term;
                    }
                },
            );
        });
        Ok(())
    }
}

/// `number = decay * number - step * mean / (sqrt(squares) / correction + epsilon)`.
struct Change {
    decay: f32,
    step: f32,
    correction: f32,
    epsilon: f32,
}

impl InplaceOp3 for Change {
    fn name(&self) -> &'static str {
        "a step of AdamW"
    }

    fn cpu_fwd(
        &self,
        numbers: &mut CpuStorage,
        ln: &Layout,
        means: &CpuStorage,
        lm: &Layout,
        squares: &CpuStorage,
        ls: &Layout,
    ) -> Result<()> {
        let (numbers, means, squares) = (slice_mut(numbers, ln)?, slice(means, lm)?, slice(squares, ls)?);
        let tasks = numbers.par_chunks_mut(NUMBERS).zip(means.par_chunks(NUMBERS)).zip(squares.par_chunks(NUMBERS));
        tasks.for_each(|((numbers, means), squares)| {
            vectorise(
                #[inline(always)]
                || {
                    for ((number, mean), square) in numbers.iter_mut().zip(means).zip(squares) {
                        let deviation = square.sqrt() / self.correction + self.epsilon;
                        *number = *number * self.decay - self.step * mean / deviation;
                    }
                },
            );
        });
        Ok(())
    }
}
