//! Where a model is trained, and what it computes in.

use candle_core::{DType, Device};
use tamis_models::{DeviceChoice, DtypeChoice};

use crate::TrainingError;

/// The device of this choice, and the type of states: f32 on a CPU, bf16 on a GPU, unless chosen otherwise.
pub fn device(device: DeviceChoice, dtype: DtypeChoice) -> Result<(Device, DType), TrainingError> {
    let found = match device {
        DeviceChoice::Cpu => Device::Cpu,
        DeviceChoice::Auto if cfg!(feature = "cuda") => {
            Device::cuda_if_available(0).map_err(TrainingError::compute("opening a GPU"))?
        }
        DeviceChoice::Auto => Device::Cpu,
        DeviceChoice::Cuda(_) if !cfg!(feature = "cuda") => {
            let message = "--device: this build of tamis trains on CPUs alone; build it with --features cuda-training";
            return Err(TrainingError::Usage(message.into()));
        }
        DeviceChoice::Cuda(number) => Device::new_cuda(number).map_err(TrainingError::compute("opening a GPU"))?,
    };
    let dtype = match dtype {
        DtypeChoice::Auto if found.is_cpu() => DType::F32,
        DtypeChoice::Auto | DtypeChoice::Bf16 => DType::BF16,
        DtypeChoice::F32 => DType::F32,
        DtypeChoice::F16 | DtypeChoice::Int8 => {
            let message = "--dtype: training computes in f32 or bf16; gradients are too small for the others";
            return Err(TrainingError::Usage(message.into()));
        }
    };
    Ok((found, dtype))
}
