//! Devices: opening one, and what arithmetic it does.

use std::fmt;

use candle_core::{DType, Device};

use crate::{DeviceChoice, DtypeChoice, LoadError};

/// Opens the device that was asked for.
pub(crate) fn open(choice: DeviceChoice) -> Result<Device, LoadError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto => {
            Device::cuda_if_available(0).map_err(|e| LoadError::Device { device: "auto".into(), reason: e.to_string() })
        }
        DeviceChoice::Cuda(n) => Device::new_cuda(n).map_err(|e| {
            let reason = match candle_core::utils::cuda_is_available() {
                true => e.to_string(),
                false => "this build of tamis has no CUDA; use cpu or auto".into(),
            };
            LoadError::Device { device: format!("cuda:{n}"), reason }
        }),
    }
}

/// What a model computes in: scores of different arithmetic differ in their last digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arithmetic {
    pub(crate) dtype: DType,
    is_cuda: bool,
}

impl Arithmetic {
    /// The arithmetic that these choices come to, without opening the device.
    pub(crate) fn of(device: DeviceChoice, dtype: DtypeChoice) -> Self {
        let is_cuda = match device {
            DeviceChoice::Cpu => false,
            DeviceChoice::Cuda(_) => true,
            DeviceChoice::Auto => candle_core::utils::cuda_is_available(),
        };
        let dtype = match dtype {
            DtypeChoice::Auto if !is_cuda => DType::F32,
            DtypeChoice::Auto | DtypeChoice::Bf16 => DType::BF16,
            DtypeChoice::F32 => DType::F32,
            DtypeChoice::F16 => DType::F16,
        };
        Self { dtype, is_cuda }
    }
}

/// `f32 on cpu`: the class of device and the dtype, as a fingerprint has them.
impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.dtype.as_str(), if self.is_cuda { "cuda" } else { "cpu" })
    }
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
