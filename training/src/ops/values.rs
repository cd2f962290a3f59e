//! The numbers of tensors on a CPU as slices.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, DType, Error, Layout, Result, Shape, Storage, Tensor};
use parking_lot::RwLockReadGuard;

/// The numbers that an operation is given: contiguous, in f32.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(Error::RequiresContiguous { op: "an operation of training" }.bt());
    };
    storage.as_slice::<f32>()?.get(start..end).ok_or_else(|| Error::msg("a tensor is larger than its storage"))
}

/// The same, to be changed in place.
pub(crate) fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) if end <= values.len() => Ok(&mut values[start..end]),
        _ => Err(Error::RequiresContiguous { op: "an operation of training in place" }.bt()),
    }
}

/// A contiguous tensor's numbers, as long as this is held.
pub(super) struct Values<'a> {
    storage: RwLockReadGuard<'a, Storage>,
    range: Range<usize>,
}

impl<'a> Values<'a> {
    /// The numbers of a contiguous tensor in f32 on a CPU.
    pub(super) fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) if end <= values.len() => {
                Ok(Self { storage, range: start..end })
            }
            _ => Err(Error::UnsupportedDTypeForOp(tensor.dtype(), "a gradient on a CPU").bt()),
        }
    }
}

impl Deref for Values<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            _ => &[],
        }
    }
}

/// An operation's result.
pub(super) fn result(values: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.into())
}

/// A tensor of these numbers, shaped as `like`.
pub(super) fn shaped(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    debug_assert_eq!(like.dtype(), DType::F32);
    Tensor::from_vec(values, like.shape(), like.device())
}

/// The width of rows, and how many there are.
pub(super) fn rows(shape: &Shape) -> (usize, usize) {
    let width = shape.dims().last().copied().unwrap_or(1).max(1);
    (shape.elem_count() / width, width)
}
