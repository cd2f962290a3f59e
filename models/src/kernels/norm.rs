//! Norms over the last dimension, written as the left side of the product that follows.

use rayon::prelude::*;

use super::activation::sum;
use super::isa::Isa;
use super::operand::{Operand, encode};

/// A norm of rows of `weight.len()` values.
#[derive(Debug, Clone)]
pub(crate) enum Norm {
    /// Ba et al., "Layer Normalization", arXiv 1607.06450.
    Layer {
        /// What the normalised value is multiplied by.
        weight: Vec<f32>,
        /// What is added then.
        bias: Vec<f32>,
        /// Added to the variance.
        eps: f32,
    },
    /// Zhang and Sennrich, "Root Mean Square Layer Normalization", arXiv 1910.07467.
    Rms {
        /// What the normalised value is multiplied by.
        weight: Vec<f32>,
        /// Added to the mean square.
        eps: f32,
    },
}

/// Rows of a task.
const ROWS: usize = 16;

impl Norm {
    /// One row, `to` as long as `from`.
    #[inline(always)]
    pub(crate) fn row(&self, from: &[f32], to: &mut [f32]) {
        let count = from.len() as f32;
        to.copy_from_slice(from);
        match self {
            Self::Layer { weight, bias, eps } => {
                let mean = sum(to, |value| *value) / count;
                let variance = sum(to, |value| (*value - mean) * (*value - mean)) / count;
                let scale = 1. / (variance + eps).sqrt();
                for ((value, weight), bias) in to.iter_mut().zip(weight).zip(bias) {
                    *value = (*value - mean) * scale * weight + bias;
                }
            }
            Self::Rms { weight, eps } => {
                let scale = 1. / (sum(to, |value| *value * *value) / count + eps).sqrt();
                for (value, weight) in to.iter_mut().zip(weight) {
                    *value = *value * scale * weight;
                }
            }
        }
    }

    /// All rows of `values` [rows, width].
    pub(crate) fn run(&self, isa: Isa, values: &[f32], out: &mut Operand) {
        let (Self::Layer { weight, .. } | Self::Rms { weight, .. }) = self;
        let width = weight.len();
        out.resize(values.len() / width, width);
        fill(isa, out, |row, to| self.row(&values[row * width..][..width], to));
    }
}

/// Fills `out`, whose size is set, row by row: `row` gets a row's number and its place as f32.
pub(crate) fn fill(isa: Isa, out: &mut Operand, row: impl Fn(usize, &mut [f32]) + Sync) {
    let (numbers, inputs, width) = (out.numbers, out.inputs(), out.groups_per_row());
    let groups = out.groups.par_chunks_mut(ROWS * width);
    groups.zip(out.scales.par_chunks_mut(ROWS)).enumerate().for_each(|(block, (groups, scales))| {
        let mut values = vec![0.; inputs];
        isa.vectorise(
            #[inline(always)]
            || {
                for (number, (groups, scale)) in groups.chunks_mut(width).zip(scales).enumerate() {
                    row(block * ROWS + number, &mut values);
                    *scale = encode(numbers, &values, groups);
                }
            },
        );
    });
}
