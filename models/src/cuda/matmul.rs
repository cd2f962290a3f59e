//! Matrix products by cuBLASLt, with the bias, GELU or sum that follows fused into them.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ops::Range;
use std::sync::Arc;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys::{
    self, cublasComputeType_t, cublasLtEpilogue_t, cublasLtMatmulDescAttributes_t as Attribute,
    cublasLtMatmulPreferenceAttributes_t as Preference, cudaDataType_t as DataType,
};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DevicePtrMut};
use half::{bf16, f16};
use parking_lot::Mutex;
use rayon::prelude::*;

use super::gpu::Gpu;
use super::{Error, Numbers, while_doing};
use crate::kernels::{Source, Stored};

/// Bytes that a product may use for itself: what NVIDIA recommends for Hopper.
const WORKSPACE: usize = 32 << 20;
/// Bytes at whose multiples fast copies want rows and matrices to begin.
const ALIGNMENT: usize = 16;
const MULTIPLYING: &str = "multiplying matrices on the GPU";
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

/// Addresses on the device.
struct Operands {
    weight: u64,
    bias: Option<u64>,
    x: u64,
    out: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    outputs: usize,
    width: usize,
    rows: usize,
    numbers: Numbers,
    yields: Yields,
    has_bias: bool,
    alignment: u32,
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

    fn run(&self, shape: Shape, operands: &Operands, stream: &CudaStream) -> Result<(), Error> {
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
