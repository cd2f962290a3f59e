//! Kernels from source to functions: NVRTC compiles them for the GPU at hand.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::sync::Arc;

use cudarc::driver::{CudaFunction, CudaModule};
use cudarc::nvrtc::{Ptx, result, sys};

use super::gpu::Gpu;
use super::{Error, while_doing};

const COMPILING: &str = "compiling kernels for the GPU";

macro_rules! sources {
    ($($name:literal),+) => {
        concat!($("#line 1 \"", $name, "\"\n", include_str!(concat!("kernels/", $name))),+)
    };
}

/// The sources, one behind the other, with this way of attention.
pub(super) fn source(attention: Attention) -> &'static str {
    match attention {
        Attention::Plain => sources!("numbers.cuh", "rows.cu", "attention.cuh", "attention_plain.cu"),
        Attention::TensorCores => sources!("numbers.cuh", "rows.cu", "attention.cuh", "attention_mma.cu"),
    }
}

/// How attention is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attention {
    /// With tensor cores, for short numbers.
    TensorCores,
    /// Without, for any numbers and heads.
    Plain,
}

/// Machine code for `architecture` (90 for compute capability 9.0), with these macros defined.
pub(super) fn compile(source: &str, architecture: i32, macros: &[(&str, usize)]) -> Result<Vec<u8>, Error> {
    let name = c"numbers.cuh";
    let source = CString::new(source).map_err(while_doing(COMPILING))?;
    let mut options = vec![format!("--gpu-architecture=sm_{architecture}"), "--std=c++17".to_string()];
    options.extend(macros.iter().map(|(name, value)| format!("--define-macro={name}={value}")));
    let program = result::create_program(&source, Some(name)).map_err(while_doing(COMPILING))?;
    // SAFETY: `program` was just created and is destroyed at the end, after its last use.
    unsafe {
        let code = match result::compile_program(program, &options) {
            Ok(()) => machine_code(program),
            Err(error) => Err(Error::new(COMPILING, format!("{error}: {}", log(program)))),
        };
        result::destroy_program(program).map_err(while_doing(COMPILING))?;
        code
    }
}

/// # Safety
/// `program` is one that was compiled and not destroyed.
unsafe fn machine_code(program: sys::nvrtcProgram) -> Result<Vec<u8>, Error> {
    let mut size = 0;
    // SAFETY: the caller's; the buffer has the size that NVRTC named.
    unsafe {
        sys::nvrtcGetCUBINSize(program, &raw mut size).result().map_err(while_doing(COMPILING))?;
        let mut code = vec![0_u8; size];
        sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast::<c_char>()).result().map_err(while_doing(COMPILING))?;
        Ok(code)
    }
}

/// # Safety
/// `program` is one that was not destroyed.
unsafe fn log(program: sys::nvrtcProgram) -> String {
    // SAFETY: the caller's; a log ends with a zero.
    let log = unsafe { result::get_program_log(program) };
    log.map(|log| {
        let bytes: &[u8] = bytemuck::cast_slice(&log);
        CStr::from_bytes_until_nul(bytes).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
    })
    .unwrap_or_default()
}

/// Compiled kernels on a device.
#[derive(Debug)]
pub(super) struct Module(HashMap<&'static str, CudaFunction>);

impl Module {
    pub(super) fn load(
        gpu: &Gpu,
        source: &str,
        macros: &[(&str, usize)],
        names: &[&'static str],
    ) -> Result<Self, Error> {
        let doing = "loading kernels onto the GPU";
        let code = compile(source, gpu.architecture()?, macros)?;
        let module: Arc<CudaModule> = gpu.context.load_module(Ptx::from_binary(code)).map_err(while_doing(doing))?;
        let functions = names.iter().map(|name| Ok((*name, module.load_function(name).map_err(while_doing(doing))?)));
        functions.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn function(&self, name: &'static str) -> Result<&CudaFunction, Error> {
        self.0.get(name).ok_or_else(|| Error::new("running a kernel", format!("no {name}")))
    }
}
