//! AdamW (Loshchilov and Hutter, arXiv 1711.05101), as torch.optim has it.

use candle_core::{Device, Result, Tensor, Var};
use rayon::prelude::*;
use tamis_models::simd::vectorise;

use super::{Settings, decays};

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
    // One pass over all four.
    let mut numbers: Vec<f32> = variable.flatten_all()?.to_vec1()?;
    let (mut means, mut second): (Vec<f32>, Vec<f32>) =
        (mean.flatten_all()?.to_vec1()?, squares.flatten_all()?.to_vec1()?);
    let gradient: Vec<f32> = gradient.flatten_all()?.to_vec1()?;
    let (scale, decay, beta1, beta2) = (scale as f32, decay as f32, beta1 as f32, beta2 as f32);
    let (step, correction2, epsilon) = ((rate / correction1) as f32, correction2 as f32, settings.epsilon as f32);
    let tasks = numbers.par_chunks_mut(NUMBERS).zip(means.par_chunks_mut(NUMBERS));
    let tasks = tasks.zip(second.par_chunks_mut(NUMBERS)).zip(gradient.par_chunks(NUMBERS));
    tasks.for_each(|(((numbers, means), second), gradient)| {
        vectorise(
            #[inline(always)]
            || {
                for (((number, mean), square), gradient) in numbers.iter_mut().zip(means).zip(second).zip(gradient) {
                    let gradient = gradient * scale;
                    *mean = beta1 * *mean + (1. - beta1) * gradient;
                    *square = beta2 * *square + (1. - beta2) * gradient * gradient;
                    *number = *number * decay - step * *mean / (square.sqrt() / correction2 + epsilon);
                }
            },
        );
    });
    let shaped = |values: Vec<f32>| Tensor::from_vec(values, variable.shape(), variable.device());
    variable.set(&shaped(numbers)?)?;
    *memory = vec![shaped(means)?, shaped(second)?];
    Ok(())
}
