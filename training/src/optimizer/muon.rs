//! Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024): the momentum of a matrix, made
//! orthogonal by Newton and Schulz' iteration, in steps as large as AdamW's (Liu et al., "Muon is Scalable for LLM Training", arXiv
//! 2502.16982).

use candle_core::{D, Result, Tensor, Var};

use super::Settings;

/// How much of the momentum stays.
const MOMENTUM: f64 = 0.95;
/// Steps of the iteration.
const ITERATIONS: usize = 5;
/// The root mean square of AdamW's steps, in learning rates.
const ADAMW_SIZE: f64 = 0.2;
/// Its coefficients: they bring singular values near 1 quickly, not exactly.
const COEFFICIENTS: (f64, f64, f64) = (3.4445, -4.7750, 2.0315);

/// Whether a tensor is one for it: a matrix of a block.
pub(super) fn is_for(name: &str, variable: &Var) -> bool {
    name.contains("layers.") && variable.rank() == 2
}

/// One step of a matrix.
pub(super) fn step(
    variable: &Var,
    gradient: &Tensor,
    memory: &mut Vec<Tensor>,
    scale: f64,
    rate: f64,
    settings: &Settings,
) -> Result<()> {
    let gradient = (gradient.to_dtype(variable.dtype())? * scale)?;
    let momentum = match memory.first() {
        Some(momentum) => ((momentum * MOMENTUM)? + (&gradient * (1. - MOMENTUM))?)?,
        None => (&gradient * (1. - MOMENTUM))?,
    };
    // Nesterov's: a look ahead.
    let ahead = ((&momentum * MOMENTUM)? + (gradient * (1. - MOMENTUM))?)?;
    let (rows, columns) = ahead.dims2()?;
    let size = ADAMW_SIZE * (rows.max(columns) as f64).sqrt();
    let orthogonal = orthogonal(&ahead)?;
    let decayed = (variable.as_tensor() * (1. - rate * settings.weight_decay))?;
    variable.set(&(decayed - (orthogonal * (rate * size))?)?)?;
    *memory = vec![momentum];
    Ok(())
}

/// The nearest matrix whose singular values are all about 1.
fn orthogonal(matrix: &Tensor) -> Result<Tensor> {
    let (a, b, c) = COEFFICIENTS;
    let (rows, columns) = matrix.dims2()?;
    let is_tall = rows > columns;
    let mut x = if is_tall { matrix.t()?.contiguous()? } else { matrix.clone() };
    let norm = (x.sqr()?.sum_keepdim(D::Minus1)?.sum_keepdim(0)?.sqrt()? + 1e-7)?;
    x = x.broadcast_div(&norm)?;
    for _ in 0..ITERATIONS {
        let square = x.matmul(&x.t()?)?;
        let polynomial = ((&square * b)? + (square.matmul(&square)? * c)?)?;
        x = ((&x * a)? + polynomial.matmul(&x)?)?;
    }
    if is_tall { x.t()?.contiguous() } else { Ok(x) }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn singular_values_come_near_one() -> Result<()> {
        for shape in [(6, 20), (20, 6)] {
            let x = orthogonal(&Tensor::randn(0f32, 1., shape, &Device::Cpu)?)?;
            let x = if shape.0 > shape.1 { x.t()?.contiguous()? } else { x };
            let square: Vec<Vec<f32>> = x.matmul(&x.t()?)?.to_vec2()?;
            for (row, values) in square.iter().enumerate() {
                assert!((0.4..1.6).contains(&values[row]), "{values:?}");
                assert!(values.iter().enumerate().all(|(column, value)| column == row || value.abs() < 0.45));
            }
        }
        Ok(())
    }
}
