//! The device itself: finding it, its memory, copies to and from it.

use std::sync::Arc;

use bytemuck::Pod;
use cudarc::driver::result as driver;
use cudarc::driver::sys::CUdevice_attribute_enum as Attribute;
use cudarc::driver::{CudaContext, CudaEvent, CudaSlice, CudaStream, DevicePtr, DeviceRepr, PinnedHostSlice};

use super::products::Products;
use super::{Error, while_doing};

/// One GPU.
#[derive(Debug)]
pub(crate) struct Gpu {
    pub(super) context: Arc<CudaContext>,
    pub(super) stream: Arc<CudaStream>,
    pub(super) products: Products,
}

/// The oldest compute capability whose instructions the kernels use: bf16, asynchronous copies.
const CAPABILITY: (i32, i32) = (8, 0);

/// Whether there is a GPU that models can run on, the first one. Where there is one that they cannot, the log says why.
pub(crate) fn is_available() -> bool {
    // SAFETY: opens the driver's library and closes it again; it runs nothing but its own initialisation.
    let has_driver = unsafe { cudarc::driver::sys::is_culib_present() };
    let has_gpu = has_driver && driver::init().is_ok() && CudaContext::device_count().is_ok_and(|count| count > 0);
    has_gpu
        && check_libraries()
            .and_then(|()| check_capability(0))
            .inspect_err(|error| log::warn!("the GPU is left alone, models run on the CPU: {error}"))
            .is_ok()
}

/// That the GPU of this number has the instructions which the kernels use.
fn check_capability(number: i32) -> Result<(), Error> {
    let doing = "asking for the GPU's capability";
    let device = driver::device::get(number).map_err(while_doing(doing))?;
    let attribute = |attribute| {
        // SAFETY: the device was just found.
        unsafe { driver::device::get_attribute(device, attribute) }.map_err(while_doing(doing))
    };
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    if (major, minor) >= CAPABILITY {
        return Ok(());
    }
    let reason = format!("compute capability {major}.{minor} is older than 8.0 (Ampere); use --device cpu");
    Err(Error::new("opening the GPU", reason))
}

/// That CUDA's libraries can be opened: the bindings would panic where they cannot.
fn check_libraries() -> Result<(), Error> {
    // SAFETY: opens libraries and closes them again; they run nothing but their own initialisation.
    let present = unsafe {
        [
            ("libcuda", "the NVIDIA driver", cudarc::driver::sys::is_culib_present()),
            ("libnvrtc", "CUDA's runtime compiler", cudarc::nvrtc::sys::is_culib_present()),
            ("libcublasLt", "cuBLAS", cudarc::cublaslt::sys::is_culib_present()),
        ]
    };
    match present.into_iter().find(|(_, _, present)| !present) {
        None => Ok(()),
        Some((library, name, _)) => {
            let hint = "install CUDA 13's libraries or name their folders in LD_LIBRARY_PATH (docs/gpu.md)";
            Err(Error::new("opening CUDA", format!("no {library} ({name}); {hint}")))
        }
    }
}

impl Gpu {
    /// The GPU of this number.
    pub(crate) fn open(number: usize) -> Result<Self, Error> {
        check_libraries()?;
        let context = CudaContext::new(number).map_err(while_doing("opening the GPU"))?;
        check_capability(i32::try_from(number).unwrap_or(i32::MAX))?;
        let stream = context.default_stream();
        let products = Products::new(&stream)?;
        Ok(Self { context, stream, products })
    }

    /// `90` for compute capability 9.0.
    pub(super) fn architecture(&self) -> Result<i32, Error> {
        let (major, minor) =
            self.context.compute_capability().map_err(while_doing("asking for the GPU's capability"))?;
        Ok(major * 10 + minor)
    }

    /// Bytes of shared memory that a block may have.
    pub(super) fn shared_bytes(&self) -> Result<usize, Error> {
        let attribute = Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        let bytes = self.context.attribute(attribute).map_err(while_doing("asking for the GPU's shared memory"))?;
        Ok(usize::try_from(bytes).unwrap_or_default())
    }

    /// Makes this thread one of the device's: whoever begins a pass calls it. What failed when memory was given back
    /// elsewhere is logged; it concerns no pass.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        if let Err(error) = self.context.check_err() {
            log::warn!("giving memory back to the GPU: {error}");
        }
        self.context.bind_to_thread().map_err(while_doing("turning to the GPU"))
    }

    /// A copy of `values` on the device.
    pub(crate) fn upload<T: DeviceRepr>(&self, values: &[T]) -> Result<CudaSlice<T>, Error> {
        self.stream.clone_htod(values).map_err(while_doing("copying to the GPU"))
    }

    /// A copy of the first `count` values. Waits for all that was asked for before.
    pub(crate) fn download(&self, values: &CudaSlice<f32>, count: usize) -> Result<Vec<f32>, Error> {
        let doing = "copying from the GPU";
        let values = self.stream.clone_dtoh(&values.slice(..count)).map_err(while_doing(doing))?;
        self.stream.synchronize().map_err(while_doing(doing))?;
        Ok(values)
    }

    /// A copy of `count` values from `start`, on the device.
    pub(crate) fn copy(&self, values: &CudaSlice<f32>, start: usize, count: usize) -> Result<Values, Error> {
        let copy = self.stream.clone_dtod(&values.slice(start..start + count));
        copy.map(Values).map_err(while_doing("copying on the GPU"))
    }

    /// Where `values` lie on the device.
    pub(super) fn address<T>(&self, values: &CudaSlice<T>) -> u64 {
        values.device_ptr(&self.stream).0
    }

    /// Where an image's embeddings lie.
    pub(crate) fn address_of(&self, values: &Values) -> u64 {
        self.address(&values.0)
    }

    /// Memory for `count` values, whatever they are.
    pub(super) fn alloc<T: DeviceRepr + Pod>(&self, count: usize) -> Result<CudaSlice<T>, Error> {
        // SAFETY: every pattern of bits is a `T`.
        let memory = unsafe { self.stream.alloc::<T>(count.max(1)) };
        memory.map_err(|e| Error::new("allocating GPU memory", format!("{} bytes: {e}", count * size_of::<T>())))
    }
}

/// Values that anybody may drop, on any thread: giving memory back to the default stream wants a current context.
#[derive(Debug)]
pub(crate) struct Values(pub(super) CudaSlice<f32>);

impl Values {
    pub(crate) fn bytes(&self) -> usize {
        self.0.num_bytes()
    }

    /// A copy on the host.
    #[cfg(test)]
    pub(crate) fn to_vec(&self) -> Result<Vec<f32>, Error> {
        self.0.stream().clone_dtoh(&self.0).map_err(while_doing("copying from the GPU"))
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        if let Err(error) = self.0.context().bind_to_thread() {
            log::warn!("giving memory back to the GPU: {error}");
        }
    }
}

/// Device memory that is kept from pass to pass, and grows.
#[derive(Debug)]
pub(crate) struct Buffer<T>(Option<CudaSlice<T>>);

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: DeviceRepr + Pod> Buffer<T> {
    /// At least `count` values.
    pub(crate) fn of(&mut self, gpu: &Gpu, count: usize) -> Result<&mut CudaSlice<T>, Error> {
        match &mut self.0 {
            Some(memory) if memory.len() >= count => {}
            // The old memory goes first: it is free for the new.
            memory => {
                *memory = None;
                *memory = Some(gpu.alloc(count)?);
            }
        }
        self.0.as_mut().ok_or_else(|| Error::new("allocating GPU memory", "none"))
    }
}

/// Page-locked memory through which copies go to the device while the CPU and the device go on.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    slots: [Option<Slot>; 2],
    next: usize,
}

#[derive(Debug)]
struct Slot {
    memory: PinnedHostSlice<u8>,
    /// When the last copy from here was done.
    copied: CudaEvent,
}

impl Staging {
    /// A copy of `values` on the device.
    pub(crate) fn send<T: DeviceRepr + Pod>(&mut self, gpu: &Gpu, values: &[T]) -> Result<CudaSlice<T>, Error> {
        let mut memory = gpu.alloc::<T>(values.len())?;
        let bytes: &[u8] = bytemuck::cast_slice(values);
        self.copy(gpu, bytes.len(), &mut memory, |to| to.copy_from_slice(bytes))?;
        Ok(memory)
    }

    /// Copies into `to` what `fill` writes, `count` bytes. Waits only until the copy before the last is done.
    pub(crate) fn copy<T>(
        &mut self,
        gpu: &Gpu,
        count: usize,
        to: &mut CudaSlice<T>,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), Error> {
        let doing = "copying to the GPU";
        let slot = &mut self.slots[self.next];
        self.next = 1 - self.next;
        if let Some(slot) = slot {
            slot.copied.synchronize().map_err(while_doing(doing))?;
        }
        if slot.as_ref().is_none_or(|slot| slot.memory.len() < count) {
            *slot = None;
            // SAFETY: every pattern of bits is bytes.
            let memory = unsafe { gpu.context.alloc_pinned::<u8>(count) }
                .map_err(|e| Error::new("locking memory for copies", format!("{count} bytes: {e}")))?;
            *slot = Some(Slot { memory, copied: gpu.context.new_event(None).map_err(while_doing(doing))? });
        }
        let Some(Slot { memory, copied }) = slot else { return Err(Error::new(doing, "no memory")) };
        let bytes = &mut memory.as_mut_slice().map_err(while_doing(doing))?[..count];
        fill(bytes);
        // SAFETY: plain values, as all that are copied; a view beyond the buffer's end is `None`.
        let view = unsafe { to.transmute_mut::<u8>(count) };
        let mut view = view.ok_or_else(|| Error::new(doing, format!("{count} bytes do not fit their memory")))?;
        gpu.stream.memcpy_htod(&*bytes, &mut view).map_err(while_doing(doing))?;
        copied.record(&gpu.stream).map_err(while_doing(doing))
    }
}
