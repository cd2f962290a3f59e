//! Devices: what arithmetic a choice of device and dtype comes to.

use std::fmt;

use crate::kernels::{Isa, Storage};
use crate::{DeviceChoice, DtypeChoice};

/// Counts changes of the kernels that change scores by more than the order of additions does.
const KERNELS_VERSION: u32 = 2;
/// The same of what int8 computes.
const INT8_KERNELS_VERSION: u32 = 3;
/// The same of the kernels for a GPU.
const CUDA_KERNELS_VERSION: u32 = 1;

/// The type of a model's weights, and of its activations where the device computes in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    F32,
    Bf16,
    F16,
    Int8,
}

impl Dtype {
    fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }

    /// What the kernels keep such weights as.
    pub(crate) fn storage(self) -> Storage {
        match self {
            Self::F32 => Storage::F32,
            Self::Bf16 => Storage::Bf16,
            Self::F16 => Storage::F16,
            Self::Int8 => Storage::I8,
        }
    }
}

/// What a model computes in: scores of different arithmetic differ in their last digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arithmetic {
    pub(crate) dtype: Dtype,
    pub(crate) is_cuda: bool,
    isa: Isa,
}

impl Arithmetic {
    /// The arithmetic that these choices come to, without opening the device.
    pub(crate) fn of(device: DeviceChoice, dtype: DtypeChoice) -> Self {
        let is_cuda = device.is_cuda();
        let dtype = match dtype {
            DtypeChoice::Auto if !is_cuda => Dtype::F32,
            DtypeChoice::Auto | DtypeChoice::Bf16 => Dtype::Bf16,
            DtypeChoice::F32 => Dtype::F32,
            DtypeChoice::F16 => Dtype::F16,
            DtypeChoice::Int8 => Dtype::Int8,
        };
        Self { dtype, is_cuda, isa: Isa::detect() }
    }

    /// On a CPU, with the instructions that it has.
    pub(crate) fn isa(self) -> Isa {
        self.isa
    }

    /// Whether activations are rounded to bf16 before products: only where the CPU multiplies bf16.
    fn rounds_activations(self) -> bool {
        matches!(self.dtype, Dtype::Bf16 | Dtype::Int8) && self.isa.has_bf16()
    }
}

/// `f32 on cpu`: the class of device and the dtype, as a fingerprint has them.
impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dtype = self.dtype.as_str();
        match self.is_cuda {
            true => write!(f, "{dtype} on cuda"),
            false if self.rounds_activations() => write!(f, "{dtype} on cpu with bf16 products"),
            false => write!(f, "{dtype} on cpu"),
        }
    }
}

impl Arithmetic {
    /// What a score depends on, besides the model's files and the preprocessing.
    pub(crate) fn identity(self) -> String {
        match self.is_cuda {
            true => format!("{self}, kernels {CUDA_KERNELS_VERSION}"),
            false if self.dtype == Dtype::Int8 => format!("{self}, kernels {INT8_KERNELS_VERSION}"),
            false => format!("{self}, kernels {KERNELS_VERSION}"),
        }
    }
}

/// Whether this build knows of GPUs and this machine has one that it can use. Asked once: opening the driver takes a while.
pub(crate) fn has_cuda() -> bool {
    #[cfg(feature = "cuda")]
    {
        static HAS_CUDA: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *HAS_CUDA.get_or_init(crate::cuda::is_available)
    }
    #[cfg(not(feature = "cuda"))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_automatic_dtype_is_the_one_it_comes_to() {
        assert_eq!(
            Arithmetic::of(DeviceChoice::Cpu, DtypeChoice::Auto),
            Arithmetic::of(DeviceChoice::Cpu, DtypeChoice::F32)
        );
        assert_eq!(
            Arithmetic::of(DeviceChoice::Cuda(0), DtypeChoice::Auto),
            Arithmetic::of(DeviceChoice::Cuda(1), DtypeChoice::Bf16)
        );
        assert_eq!(Arithmetic::of(DeviceChoice::Cpu, DtypeChoice::F16).to_string(), "f16 on cpu");
    }
}
