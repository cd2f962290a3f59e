//! Linear maps on a device.

use std::ops::Range;

use cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut};
use half::{bf16, f16};
use rayon::prelude::*;

use super::gpu::Gpu;
use super::products::{ALIGNMENT, MULTIPLYING, Operands, Shape, Yields};
use super::{Error, Numbers, while_doing};
use crate::kernels::{Source, Stored};

/// Weights [outputs, inputs] on a device, with a bias or without one.
#[derive(Debug)]
pub(crate) struct Linear {
    numbers: Numbers,
    yields: Yields,
    weight: CudaSlice<u8>,
    bias: Option<CudaSlice<u8>>,
    outputs: usize,
    /// Columns of the left side: with zeros after the last input where those make no whole sixteen bytes.
    width: usize,
}

impl Linear {
    /// Matrices one below the other, as one.
    pub(crate) fn load(
        gpu: &Gpu,
        numbers: Numbers,
        sources: &[Source<'_>],
        bias: Option<&[f32]>,
        yields: Yields,
    ) -> Result<Self, Error> {
        let inputs = sources.first().map_or(0, Source::columns);
        let width = inputs.next_multiple_of(ALIGNMENT / numbers.bytes());
        let outputs = sources.iter().map(Source::rows).sum();
        let rows: Vec<Vec<u8>> = sources.iter().map(|source| encode(*source, numbers, width)).collect();
        let biases = match yields {
            Yields::Numbers | Yields::Gelu => numbers,
            Yields::Floats | Yields::Sum => Numbers::F32,
        };
        let bias = bias.map(|bias| gpu.upload(&short(bias, biases))).transpose()?;
        Ok(Self { numbers, yields, weight: gpu.upload(&rows.concat())?, bias, outputs, width })
    }

    /// A matrix alone, in `numbers`.
    pub(crate) fn numbers_of(gpu: &Gpu, numbers: Numbers, source: Source<'_>) -> Result<CudaSlice<u8>, Error> {
        gpu.upload(&encode(source, numbers, source.columns()))
    }

    /// Columns that the left side must have.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Numbers [rows, width] in, numbers [rows, outputs] out.
    pub(crate) fn numbers(
        &self,
        gpu: &Gpu,
        x: &CudaSlice<u8>,
        rows: usize,
        out: &mut CudaSlice<u8>,
    ) -> Result<(), Error> {
        self.part(gpu, 0..self.outputs, x, rows, out)
    }

    /// Of the outputs only these: [rows, outputs.len()].
    pub(crate) fn part(
        &self,
        gpu: &Gpu,
        outputs: Range<usize>,
        x: &CudaSlice<u8>,
        rows: usize,
        out: &mut CudaSlice<u8>,
    ) -> Result<(), Error> {
        debug_assert!(matches!(self.yields, Yields::Numbers | Yields::Gelu));
        self.run(gpu, outputs, x, rows, out, self.numbers.bytes())
    }

    /// Numbers [rows, width] in; [rows, outputs] in f32 is what comes out, or what it is added to.
    pub(crate) fn floats(
        &self,
        gpu: &Gpu,
        x: &CudaSlice<u8>,
        rows: usize,
        out: &mut CudaSlice<f32>,
    ) -> Result<(), Error> {
        debug_assert!(matches!(self.yields, Yields::Floats | Yields::Sum));
        self.run(gpu, 0..self.outputs, x, rows, out, 1)
    }

    /// `unit`: elements of `out` that make one output.
    fn run<T>(
        &self,
        gpu: &Gpu,
        outputs: Range<usize>,
        x: &CudaSlice<u8>,
        rows: usize,
        out: &mut CudaSlice<T>,
        unit: usize,
    ) -> Result<(), Error> {
        let fits = x.len() >= rows * self.width * self.numbers.bytes() && out.len() >= rows * outputs.len() * unit;
        if !fits || outputs.end > self.outputs {
            return Err(Error::new(MULTIPLYING, format!("{rows} rows do not fit their memory")));
        }
        if rows == 0 {
            return Ok(());
        }
        let stream = &gpu.stream;
        let biases = match self.yields {
            Yields::Numbers | Yields::Gelu => self.numbers.bytes(),
            Yields::Floats | Yields::Sum => Numbers::F32.bytes(),
        };
        let at = |slice: &CudaSlice<u8>, bytes: usize| slice.device_ptr(stream).0 + bytes as u64;
        let operands = Operands {
            weight: at(&self.weight, outputs.start * self.width * self.numbers.bytes()),
            bias: self.bias.as_ref().map(|bias| at(bias, outputs.start * biases)),
            x: at(x, 0),
            out: out.device_ptr_mut(stream).0,
        };
        let shape = Shape {
            outputs: outputs.len(),
            width: self.width,
            rows,
            numbers: self.numbers,
            yields: self.yields,
            has_bias: self.bias.is_some(),
            alignment: if operands.weight.is_multiple_of(256) { 256 } else { 16 },
        };
        gpu.context.bind_to_thread().map_err(while_doing(MULTIPLYING))?;
        gpu.products.run(shape, &operands, stream)
    }
}

/// A matrix's rows in `numbers`, each with zeros after it up to `width`.
fn encode(source: Source<'_>, numbers: Numbers, width: usize) -> Vec<u8> {
    let is_same = matches!(
        (source.stored(), numbers),
        (Stored::F32, Numbers::F32) | (Stored::Bf16, Numbers::Bf16) | (Stored::F16, Numbers::F16)
    );
    if is_same && source.columns() == width {
        return source.bytes().to_vec();
    }
    let mut bytes = vec![0; source.rows() * width * numbers.bytes()];
    bytes.par_chunks_mut(width.max(1) * numbers.bytes()).enumerate().for_each_init(
        || vec![0.; width],
        |row, (number, to)| {
            source.row(number, &mut row[..source.columns()]);
            to.copy_from_slice(&short(row, numbers));
        },
    );
    bytes
}

/// Little-endian bytes of `values`, rounded to nearest.
pub(super) fn short(values: &[f32], numbers: Numbers) -> Vec<u8> {
    match numbers {
        Numbers::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Numbers::Bf16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
        Numbers::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
    }
}
