//! Matrix products by cuBLASLt, with the bias, GELU or sum that follows fused into them.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys::{
    self, cublasComputeType_t, cublasLtEpilogue_t, cublasLtMatmulDescAttributes_t as Attribute,
    cublasLtMatmulPreferenceAttributes_t as Preference, cudaDataType_t as DataType,
};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr};
use parking_lot::Mutex;

use super::{Error, Numbers, while_doing};

/// Bytes that a product may use for itself: what NVIDIA recommends for Hopper.
const WORKSPACE: usize = 32 << 20;
/// Bytes at whose multiples fast copies want rows and matrices to begin.
pub(super) const ALIGNMENT: usize = 16;
/// What is being done when a product fails.
pub(super) const MULTIPLYING: &str = "multiplying matrices on the GPU";
/// Shapes whose plans are kept.
const PLANS: usize = 4096;

/// What comes out of a linear map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Yields {
    /// Numbers, for the kernel that follows.
    Numbers,
    /// The same, after GELU by tanh; of f32 without it, see [`Kernels::rest_of_gelu`](super::Kernels::rest_of_gelu).
    Gelu,
    /// f32.
    Floats,
    /// f32, added to what is there.
    Sum,
}

/// Addresses on the device.
pub(super) struct Operands {
    pub(super) weight: u64,
    pub(super) bias: Option<u64>,
    pub(super) x: u64,
    pub(super) out: u64,
}

/// A product's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) outputs: usize,
    pub(super) width: usize,
    pub(super) rows: usize,
    pub(super) numbers: Numbers,
    pub(super) yields: Yields,
    pub(super) has_bias: bool,
    pub(super) alignment: u32,
}

impl Shape {
    fn epilogue(self) -> cublasLtEpilogue_t {
        // How exact its GELU is, is not documented: f32, which is for comparing, has a kernel of ours instead.
        match (self.yields == Yields::Gelu && self.numbers != Numbers::F32, self.has_bias) {
            (true, true) => cublasLtEpilogue_t::CUBLASLT_EPILOGUE_GELU_BIAS,
            (true, false) => cublasLtEpilogue_t::CUBLASLT_EPILOGUE_GELU,
            (false, true) => cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
            (false, false) => cublasLtEpilogue_t::CUBLASLT_EPILOGUE_DEFAULT,
        }
    }

    fn types(self) -> (DataType, DataType) {
        let input = match self.numbers {
            Numbers::F32 => DataType::CUDA_R_32F,
            Numbers::Bf16 => DataType::CUDA_R_16BF,
            Numbers::F16 => DataType::CUDA_R_16F,
        };
        match self.yields {
            Yields::Numbers | Yields::Gelu => (input, input),
            Yields::Floats | Yields::Sum => (input, DataType::CUDA_R_32F),
        }
    }
}

/// How a shape is multiplied: cuBLASLt's descriptions of it, and the algorithm that it chose.
#[derive(Debug)]
struct Plan {
    operation: sys::cublasLtMatmulDesc_t,
    /// Of the weights, the left side, the result.
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
}

// SAFETY: descriptions on the host that belong to nobody else; used under the lock of `Products`.
unsafe impl Send for Plan {}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: they were created by `Plan::new` and are destroyed once. An error means only that memory is lost.
        unsafe {
            for layout in self.layouts {
                let _ = result::destroy_matrix_layout(layout);
            }
            let _ = result::destroy_matmul_desc(self.operation);
        }
    }
}

/// cuBLASLt on one device, and the plans of the shapes that were multiplied.
#[derive(Debug)]
pub(super) struct Products {
    handle: Handle,
    workspace: CudaSlice<u8>,
    plans: Mutex<HashMap<Shape, Plan>>,
}

#[derive(Debug)]
struct Handle(sys::cublasLtHandle_t);

// SAFETY: cuBLASLt's handle may be used from several threads at once (its documentation, "Thread Safety").
unsafe impl Send for Handle {}
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: created by `Products::new`, destroyed once.
        let _ = unsafe { result::destroy_handle(self.0) };
    }
}

impl Products {
    pub(super) fn new(stream: &Arc<CudaStream>) -> Result<Self, Error> {
        let handle = Handle(result::create_handle().map_err(while_doing("opening cuBLASLt"))?);
        // SAFETY: every pattern of bits is bytes.
        let workspace = unsafe { stream.alloc::<u8>(WORKSPACE) }.map_err(while_doing("allocating GPU memory"))?;
        Ok(Self { handle, workspace, plans: Mutex::default() })
    }

    pub(super) fn run(&self, shape: Shape, operands: &Operands, stream: &CudaStream) -> Result<(), Error> {
        let mut plans = self.plans.lock();
        if plans.len() >= PLANS && !plans.contains_key(&shape) {
            plans.clear();
        }
        let plan = match plans.entry(shape) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(self.plan(shape).map_err(|error| {
                let Shape { outputs, width, rows, numbers, .. } = shape;
                Error::new(MULTIPLYING, format!("[{rows}, {width}] by [{width}, {outputs}] in {numbers:?}: {error}"))
            })?),
        };
        let (one, add) = (1f32, if shape.yields == Yields::Sum { 1f32 } else { 0. });
        let [a, b, d] = plan.layouts;
        // SAFETY: the plan's descriptions live; the addresses name memory of the lengths that `Linear::run` checked, which is
        // freed in the order of the stream.
        let multiplied = unsafe {
            if let Some(bias) = operands.bias {
                set(plan.operation, Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias)
                    .map_err(while_doing(MULTIPLYING))?;
            }
            result::matmul(
                self.handle.0,
                plan.operation,
                (&raw const one).cast(),
                (&raw const add).cast(),
                operands.weight as *const c_void,
                a,
                operands.x as *const c_void,
                b,
                operands.out as *const c_void,
                d,
                operands.out as *mut c_void,
                d,
                &raw const plan.algorithm,
                self.workspace.device_ptr(stream).0 as *mut c_void,
                WORKSPACE,
                stream.cu_stream().cast(),
            )
        };
        multiplied.map_err(while_doing(MULTIPLYING))
    }

    /// cuBLASLt counts by columns: the result's transpose [outputs, rows] is the weights' transpose, turned, by the left side's.
    fn plan(&self, shape: Shape) -> Result<Plan, CublasError> {
        let (input, output) = shape.types();
        let operation = result::create_matmul_desc(cublasComputeType_t::CUBLAS_COMPUTE_32F, DataType::CUDA_R_32F)?;
        let layout = |kind, rows: usize, columns: usize| {
            result::create_matrix_layout(kind, rows as u64, columns as u64, rows as i64)
        };
        let layouts = [
            layout(input, shape.width, shape.outputs)?,
            layout(input, shape.width, shape.rows)?,
            layout(output, shape.outputs, shape.rows)?,
        ];
        // From here on `plan` owns what was created.
        // SAFETY: an algorithm is plain integers, for which zeros are a value; it is replaced before use.
        let mut plan = Plan { operation, layouts, algorithm: unsafe { std::mem::zeroed() } };
        let preference = result::create_matmul_pref()?;
        // SAFETY: all handles were just created; each attribute has the type that cuBLASLt's documentation gives.
        let found = unsafe {
            let prepared = set(operation, Attribute::CUBLASLT_MATMUL_DESC_TRANSA, &1_i32)
                .and_then(|()| set(operation, Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, &(shape.epilogue() as u32)))
                .and_then(|()| {
                    let workspace = Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
                    let bytes = &raw const WORKSPACE_BYTES;
                    result::set_matmul_pref_attribute(preference, workspace, bytes.cast(), size_of::<usize>())
                })
                .and_then(|()| {
                    let alignment = Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
                    let bytes = &raw const shape.alignment;
                    result::set_matmul_pref_attribute(preference, alignment, bytes.cast(), size_of::<u32>())
                });
            let [a, b, d] = layouts;
            let found = prepared
                .and_then(|()| result::get_matmul_algo_heuristic(self.handle.0, operation, a, b, d, d, preference));
            result::destroy_matmul_pref(preference)?;
            found
        };
        plan.algorithm = found?.algo;
        Ok(plan)
    }
}

static WORKSPACE_BYTES: usize = WORKSPACE;

/// # Safety
/// `operation` lives, and `value` has the attribute's type.
unsafe fn set<T>(operation: sys::cublasLtMatmulDesc_t, attribute: Attribute, value: &T) -> Result<(), CublasError> {
    // SAFETY: the caller's.
    unsafe { result::set_matmul_desc_attribute(operation, attribute, std::ptr::from_ref(value).cast(), size_of::<T>()) }
}
