//! The cross-entropy of classes.

use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use tamis_models::simd::{exp, maximum, vectorise};

use super::is_ours;
use super::values::{Values, result, rows, shaped, slice};

/// The mean over rows of `-log softmax(logits)[target]`, in f32: logits [rows, classes].
pub(crate) fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let logits = logits.contiguous()?;
    if is_ours(&logits) {
        return logits.apply_op1(CrossEntropy { targets: targets.to_vec() });
    }
    let logits = logits.to_dtype(DType::F32)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_sums = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let targets = Tensor::new(targets, logits.device())?.unsqueeze(1)?;
    (log_sums - shifted.gather(&targets, 1)?)?.mean_all()
}

#[derive(Debug)]
struct CrossEntropy {
    targets: Vec<u32>,
}

/// A row's softmax in place; the logarithm of what it gives the target.
#[inline(always)]
fn softmax(row: &mut [f32], target: usize) -> f32 {
    let most = maximum(row);
    let of_target = row[target] - most;
    row.iter_mut().for_each(|value| *value = exp(*value - most));
    let mut lanes = [0f32; 16];
    let (whole, rest) = row.as_chunks::<16>();
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += value);
    }
    let total = lanes.iter().sum::<f32>() + rest.iter().sum::<f32>();
    row.iter_mut().for_each(|value| *value /= total);
    of_target - total.ln()
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (logits, (count, classes)) = (slice(logits, layout)?, rows(layout.shape()));
        let logs: Vec<f32> = logits
            .par_chunks(classes)
            .zip(&self.targets)
            .map(|(row, target)| {
                vectorise(
                    #[inline(always)]
                    || softmax(&mut row.to_vec(), *target as usize),
                )
            })
            .collect();
        let sum: f64 = logs.iter().map(|log| f64::from(*log)).sum();
        Ok(result(vec![(-sum / count.max(1) as f64) as f32], ()))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad: f32 = grad.to_scalar()?;
        let (count, classes) = rows(logits.shape());
        let mut of_logits = Values::of(logits)?.to_vec();
        let scale = grad / count.max(1) as f32;
        of_logits.par_chunks_mut(classes).zip(&self.targets).for_each(|(row, target)| {
            vectorise(
                #[inline(always)]
                || {
                    softmax(row, *target as usize);
                    row[*target as usize] -= 1.;
                    row.iter_mut().for_each(|value| *value *= scale);
                },
            );
        });
        Ok(Some(shaped(of_logits, logits)?))
    }
}
