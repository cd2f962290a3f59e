//! The left side of a product: activations, as the numbers that the product computes with.

use super::short::{to_bf16, to_i8};
use super::tile::Numbers;

/// Activations [rows, inputs] as groups, row by row; what is beyond the last input is zero.
#[derive(Debug)]
pub(crate) struct Operand {
    pub(super) numbers: Numbers,
    inputs: usize,
    pub(super) groups: Vec<u32>,
    /// One a row: what a step is worth, where numbers are whole.
    pub(super) scales: Vec<f32>,
}

impl Operand {
    pub(crate) fn new(numbers: Numbers) -> Self {
        Self { numbers, inputs: 0, groups: Vec::new(), scales: Vec::new() }
    }

    /// Makes room for [rows, inputs]; the content is whatever it was.
    pub(crate) fn resize(&mut self, rows: usize, inputs: usize) {
        self.inputs = inputs;
        self.groups.resize(rows * self.groups_per_row(), 0);
        self.scales.resize(rows, 1.);
    }

    pub(crate) fn rows(&self) -> usize {
        self.scales.len()
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn groups_per_row(&self) -> usize {
        self.inputs.div_ceil(self.numbers.per_group())
    }

    pub(super) fn row(&self, row: usize) -> &[u32] {
        let width = self.groups_per_row();
        &self.groups[row * width..][..width]
    }
}

/// Writes a row's values as groups; what a step is worth.
#[inline(always)]
pub(super) fn encode(numbers: Numbers, values: &[f32], groups: &mut [u32]) -> f32 {
    match numbers {
        Numbers::F32 => {
            for (group, value) in groups.iter_mut().zip(values) {
                *group = value.to_bits();
            }
            1.
        }
        Numbers::Bf16 => {
            let (pairs, rest) = values.as_chunks::<2>();
            for (group, [first, second]) in groups.iter_mut().zip(pairs) {
                *group = to_bf16(*first) | to_bf16(*second) << 16;
            }
            if let ([last], Some(group)) = (rest, groups.last_mut()) {
                *group = to_bf16(*last);
            }
            1.
        }
        Numbers::I16 | Numbers::U8I8 => {
            let largest = magnitude(values);
            // A row of zeros, and one that is not finite: the latter must not pass for numbers.
            let scale = if largest > 0. { largest / 127. } else { 1. };
            let inverse = 1. / scale;
            if numbers == Numbers::I16 {
                pairs(values, inverse, groups)
            } else {
                quads(values, inverse, groups)
            }
            if largest.is_finite() { scale } else { f32::NAN }
        }
    }
}

/// The largest magnitude; no number if one of the values is none. Magnitudes are ordered as their bits are, with what is not
/// a number above all.
#[inline(always)]
pub(super) fn magnitude(values: &[f32]) -> f32 {
    f32::from_bits(values.iter().fold(0, |most: u32, value| most.max(value.abs().to_bits())))
}

#[inline(always)]
fn pairs(values: &[f32], inverse: f32, groups: &mut [u32]) {
    let number = |value: &f32| (to_i8(value * inverse) as i8 as i16 as u16).into();
    let (whole, rest) = values.as_chunks::<2>();
    for (group, [first, second]) in groups.iter_mut().zip(whole) {
        let (first, second): (u32, u32) = (number(first), number(second));
        *group = first | second << 16;
    }
    if let ([last], Some(group)) = (rest, groups.last_mut()) {
        *group = number(last);
    }
}

#[inline(always)]
fn quads(values: &[f32], inverse: f32, groups: &mut [u32]) {
    const OFFSET: u32 = 0x8080_8080;
    let number = |value: &f32| to_i8(value * inverse);
    let (whole, rest) = values.as_chunks::<4>();
    for (group, [a, b, c, d]) in groups.iter_mut().zip(whole) {
        *group = (number(a) | number(b) << 8 | number(c) << 16 | number(d) << 24) ^ OFFSET;
    }
    if !rest.is_empty()
        && let Some(group) = groups.last_mut()
    {
        let word = rest.iter().enumerate().fold(0, |word, (place, value)| word | number(value) << (8 * place));
        *group = word ^ OFFSET;
    }
}
