//! Our own kernels as functions that check what they are given. Their sources lie in the folder `kernels`.

use std::ops::Range;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use cudarc::driver::sys::CUfunction_attribute_enum as Attribute;
use cudarc::driver::{CudaSlice, DeviceRepr, LaunchConfig, PushKernelArg};

use super::gpu::Gpu;
use super::module::{Attention, Module, source};
use super::{Error, Numbers, while_doing};

const RUNNING: &str = "running a kernel";
/// Rows of a block where a warp takes a row.
const ROWS: usize = 4;
const WARP: u32 = 32;
const NAMES: &[&str] = &[
    "patches",
    "positions",
    "layer_norm",
    "rms_norm",
    "rms_norm_f32",
    "rotary",
    "swiglu",
    "gelu_erf",
    "gelu_tanh",
    "pool",
    "embed",
    "take",
    "attention",
];

/// The kernels for one tower: rows of `hidden` values, heads of `head`.
#[derive(Debug)]
pub(crate) struct Kernels {
    gpu: Arc<Gpu>,
    module: Module,
    numbers: Numbers,
    hidden: usize,
    head: usize,
    blocks: Blocks,
}

/// How attention's kernel cuts its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Blocks {
    /// Queries of a block.
    queries: usize,
    /// Bytes of shared memory that it takes.
    shared: usize,
    attention: Attention,
}

impl Blocks {
    /// The same as the kernels' sources compute, for a GPU whose blocks have `most` bytes of shared memory.
    fn of(numbers: Numbers, head: usize, most: usize) -> Self {
        let plain = Self { queries: 16, shared: 0, attention: Attention::Plain };
        if numbers == Numbers::F32 || !head.is_multiple_of(8) {
            return plain;
        }
        let queries = if head <= 80 { 128 } else { 64 };
        let pitch = if (head / 8).is_multiple_of(2) { head + 8 } else { head };
        let shared = (queries + 4 * 64) * pitch * numbers.bytes();
        if shared > most { plain } else { Self { queries, shared, attention: Attention::TensorCores } }
    }
}

/// A grid of patches over square images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    /// Pixels of an image's side.
    pub(crate) size: usize,
    /// Patches of a side.
    pub(crate) side: usize,
    /// Pixels of a patch's side.
    pub(crate) patch: usize,
}

/// Neighbouring queries of one span, and the keys that they see: the kernel's `Tile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Tile {
    pub(crate) query: i32,
    pub(crate) queries: i32,
    pub(crate) first: i32,
    pub(crate) seen: i32,
    pub(crate) shared: i32,
    pub(crate) shared_rows: i32,
    pub(crate) own: i32,
    pub(crate) own_rows: i32,
}

/// Some columns of rows of `stride` numbers: heads one behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) values: &'a CudaSlice<u8>,
    pub(crate) stride: usize,
    /// The first head's first column.
    pub(crate) offset: usize,
}

/// The kernel's `Heads`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Heads {
    values: u64,
    stride: i64,
}

// SAFETY: integers alone, without gaps, as in the kernel's declarations.
unsafe impl DeviceRepr for Heads {}
unsafe impl DeviceRepr for Tile {}
unsafe impl Zeroable for Tile {}
unsafe impl Pod for Tile {}

macro_rules! launch {
    ($self:expr, $name:literal, $blocks:expr, $threads:expr, $shared:expr, $($argument:expr),+ $(,)?) => {{
        let grid: (usize, usize) = $blocks;
        let config = LaunchConfig {
            grid_dim: (index(grid.0)?.cast_unsigned(), index(grid.1)?.cast_unsigned(), 1),
            block_dim: ($threads, 1, 1),
            shared_mem_bytes: index($shared)?.cast_unsigned(),
        };
        let mut arguments = $self.gpu.stream.launch_builder($self.module.function($name)?);
        $(arguments.arg(&$argument);)+
        // SAFETY: the arguments are those that the kernel declares, and its caller has checked that each buffer holds what
        // the kernel touches.
        unsafe { arguments.launch(config) }.map(|_| ()).map_err(while_doing(concat!("running the kernel ", $name)))
    }};
}

impl Kernels {
    /// Compiles them for this GPU.
    pub(crate) fn compile(gpu: &Arc<Gpu>, numbers: Numbers, hidden: usize, head: usize) -> Result<Self, Error> {
        if !hidden.is_multiple_of(8) || head == 0 || !head.is_multiple_of(2) {
            let reason = format!("{hidden} values a row in heads of {head}: rows must be multiples of 8, heads of 2");
            return Err(Error::new("preparing kernels for the GPU", reason));
        }
        let blocks = Blocks::of(numbers, head, gpu.shared_bytes()?);
        let module = Module::load(gpu, source(blocks.attention), &macros(numbers, hidden, head), NAMES)?;
        if blocks.attention == Attention::TensorCores {
            let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            module
                .function("attention")?
                .set_attribute(attribute, index(blocks.shared)?)
                .map_err(while_doing("preparing kernels for the GPU"))?;
        }
        Ok(Self { gpu: gpu.clone(), module, numbers, hidden, head, blocks })
    }

    /// Pixels [images, size, size, 3] to patches [images * side * side, width].
    pub(crate) fn patches(
        &self,
        pixels: &CudaSlice<u8>,
        levels: &CudaSlice<f32>,
        grid: Grid,
        images: usize,
        width: usize,
        out: &mut CudaSlice<u8>,
    ) -> Result<(), Error> {
        let rows = images * grid.side * grid.side;
        holds(pixels, images * grid.size * grid.size * 3)?;
        holds(levels, 3 * 256)?;
        holds(out, rows * width * self.numbers.bytes())?;
        if grid.side * grid.patch > grid.size {
            return Err(Error::new(RUNNING, "patches lie outside of the image"));
        }
        let (size, side, patch, width) = (index(grid.size)?, index(grid.side)?, index(grid.patch)?, index(width)?);
        let (pixels, levels, out) = (self.at(pixels), self.at(levels), self.at(out));
        launch!(self, "patches", (rows, 1), 128, 0, pixels, levels, out, size, side, patch, width)
    }

    /// Sets rows [rows, hidden] to embeddings [count, hidden], over and over.
    pub(crate) fn positions(
        &self,
        embeddings: &CudaSlice<f32>,
        count: usize,
        rows: usize,
        out: &mut CudaSlice<f32>,
    ) -> Result<(), Error> {
        holds(embeddings, count * self.hidden)?;
        holds(out, rows * self.hidden)?;
        let blocks = (rows * self.hidden / 4).div_ceil(256);
        let (embeddings, out, count, rows) = (self.at(embeddings), self.at(out), index(count)?, index(rows)?);
        launch!(self, "positions", (blocks, 1), 256, 0, embeddings, out, count, rows)
    }

    /// Rows [rows, hidden] normed: numbers.
    pub(crate) fn norm(
        &self,
        norm: &Norm,
        x: &CudaSlice<f32>,
        rows: usize,
        out: &mut CudaSlice<u8>,
    ) -> Result<(), Error> {
        holds(x, rows * self.hidden)?;
        holds(out, rows * self.hidden * self.numbers.bytes())?;
        let (blocks, threads) = (rows.div_ceil(ROWS), WARP * ROWS as u32);
        let (x, out, rows, eps) = (self.at(x), self.at(out), index(rows)?, norm.eps);
        holds(&norm.weight, self.hidden)?;
        let weight = self.at(&norm.weight);
        match &norm.bias {
            Some(bias) => {
                holds(bias, self.hidden)?;
                let bias = self.at(bias);
                launch!(self, "layer_norm", (blocks, 1), threads, 0, x, weight, bias, out, eps, rows)
            }
            None => launch!(self, "rms_norm", (blocks, 1), threads, 0, x, weight, out, eps, rows),
        }
    }

    /// The same of a root-mean-square norm, in f32.
    pub(crate) fn norm_f32(
        &self,
        norm: &Norm,
        x: &CudaSlice<f32>,
        rows: usize,
        out: &mut CudaSlice<f32>,
    ) -> Result<(), Error> {
        holds(x, rows * self.hidden)?;
        holds(out, rows * self.hidden)?;
        holds(&norm.weight, self.hidden)?;
        let (blocks, threads) = (rows.div_ceil(ROWS), WARP * ROWS as u32);
        let (x, weight, out, rows, eps) = (self.at(x), self.at(&norm.weight), self.at(out), index(rows)?, norm.eps);
        launch!(self, "rms_norm_f32", (blocks, 1), threads, 0, x, weight, out, eps, rows)
    }

    /// Norms, where there are norms, and rotates the first `heads` heads of each row of `stride` numbers. `norms` are of the first
    /// `first` heads, and of the others.
    pub(crate) fn rotary(
        &self,
        x: &mut CudaSlice<u8>,
        rows: usize,
        stride: usize,
        turn: &Turn<'_>,
    ) -> Result<(), Error> {
        holds(x, rows * stride * self.numbers.bytes())?;
        holds(turn.positions, rows)?;
        if turn.heads * self.head > stride {
            return Err(Error::new(RUNNING, "heads lie outside of their rows"));
        }
        let (blocks, threads) = ((rows * turn.heads).div_ceil(ROWS), WARP * ROWS as u32);
        let (mut norms, mut eps) = ([0, 0], 0f32);
        if let Some((first, second)) = turn.norms {
            holds(&first.weight, self.head)?;
            holds(&second.weight, self.head)?;
            (norms, eps) = ([self.at(&first.weight), self.at(&second.weight)], first.eps);
        }
        let (x, positions, angles) = (self.at(x), self.at(turn.positions), self.at(turn.angles));
        let (rows, stride, heads, first) = (index(rows)?, index(stride)?, index(turn.heads)?, index(turn.first)?);
        let [one, two] = norms;
        launch!(
            self,
            "rotary",
            (blocks, 1),
            threads,
            0,
            x,
            positions,
            angles,
            one,
            two,
            eps,
            rows,
            stride,
            heads,
            first
        )
    }

    /// silu(gate) * up: numbers [rows, 2 * inner] to [rows, inner].
    pub(crate) fn swiglu(
        &self,
        x: &CudaSlice<u8>,
        rows: usize,
        inner: usize,
        out: &mut CudaSlice<u8>,
    ) -> Result<(), Error> {
        holds(x, rows * 2 * inner * self.numbers.bytes())?;
        holds(out, rows * inner * self.numbers.bytes())?;
        if !inner.is_multiple_of(4) {
            return Err(Error::new(RUNNING, format!("an MLP of {inner} values: no multiple of 4")));
        }
        let blocks = (rows * inner / 4).div_ceil(256);
        let (x, out, inner, rows) = (self.at(x), self.at(out), index(inner)?, index(rows)?);
        launch!(self, "swiglu", (blocks, 1), 256, 0, x, out, inner, rows)
    }

    /// Exact GELU of numbers, in place.
    pub(crate) fn gelu_erf(&self, x: &mut CudaSlice<u8>, count: usize) -> Result<(), Error> {
        holds(x, count * self.numbers.bytes())?;
        let (x, number) = (self.at(x), index(count)?);
        launch!(self, "gelu_erf", (count.div_ceil(256), 1), 256, 0, x, number)
    }

    /// GELU by tanh in place, where the product before it has left that to us ([`Yields::Gelu`](super::Yields::Gelu) in f32).
    pub(crate) fn rest_of_gelu(&self, x: &mut CudaSlice<u8>, count: usize) -> Result<(), Error> {
        if self.numbers != Numbers::F32 {
            return Ok(());
        }
        holds(x, count * self.numbers.bytes())?;
        let (x, number) = (self.at(x), count as i64);
        launch!(self, "gelu_tanh", (count.div_ceil(256), 1), 256, 0, x, number)
    }

    /// Averages over bins: [images, side, side, hidden] in f32 to numbers [images, tokens, hidden]. `bins` has four numbers a token.
    pub(crate) fn pool(
        &self,
        x: &CudaSlice<f32>,
        bins: &CudaSlice<i32>,
        images: usize,
        side: usize,
        out: &mut CudaSlice<u8>,
    ) -> Result<(), Error> {
        let tokens = bins.len() / 4;
        holds(x, images * side * side * self.hidden)?;
        holds(out, images * tokens * self.hidden * self.numbers.bytes())?;
        let blocks = images * tokens;
        let (x, bins, out, side, tokens) = (self.at(x), self.at(bins), self.at(out), index(side)?, index(tokens)?);
        launch!(self, "pool", (blocks, 1), 256, 0, x, bins, out, side, tokens)
    }

    /// Rows [rows, hidden]: `images` are addresses of an image's rows, or zero; where zero, `tokens` are rows of `embeddings`.
    pub(crate) fn embed(
        &self,
        images: &CudaSlice<u64>,
        tokens: &CudaSlice<i32>,
        embeddings: &CudaSlice<u8>,
        rows: usize,
        out: &mut CudaSlice<f32>,
    ) -> Result<(), Error> {
        holds(images, rows)?;
        holds(tokens, rows)?;
        holds(out, rows * self.hidden)?;
        let (images, tokens, embeddings, out) = (self.at(images), self.at(tokens), self.at(embeddings), self.at(out));
        launch!(self, "embed", (rows, 1), 128, 0, images, tokens, embeddings, out)
    }

    /// The rows of these numbers, each below `x`'s rows.
    pub(crate) fn take(
        &self,
        x: &CudaSlice<f32>,
        rows: &CudaSlice<i32>,
        count: usize,
        out: &mut CudaSlice<f32>,
    ) -> Result<(), Error> {
        holds(rows, count)?;
        holds(out, count * self.hidden)?;
        let (x, rows, out) = (self.at(x), self.at(rows), self.at(out));
        launch!(self, "take", (count, 1), 128, 0, x, rows, out)
    }

    /// Attention of `heads` heads, `group` of which share a head of keys and values; out [queries, heads * head]. The tiles name
    /// rows that `q`, `k`, `v` and `out` have; keys and values have the same stride.
    pub(crate) fn attention(
        &self,
        tiles: &CudaSlice<Tile>,
        count: usize,
        [q, k, v]: [Part<'_>; 3],
        heads: usize,
        group: usize,
        out: &mut CudaSlice<u8>,
    ) -> Result<(), Error> {
        holds(tiles, count)?;
        let part = |part: Part<'_>| Heads {
            values: self.at(part.values) + (part.offset * self.numbers.bytes()) as u64,
            stride: part.stride as i64,
        };
        let (q, k, v) = (part(q), part(k), part(v));
        let scale = 1. / (self.head as f32).sqrt();
        let (tiles, out, number, group) = (self.at(tiles), self.at(out), index(heads)?, index(group)?);
        let shared = self.blocks.shared;
        launch!(self, "attention", (count, heads), 128, shared, tiles, q, k, v, out, number, group, scale)
    }

    /// Cuts a span into tiles: `queries` rows that see all of `shared`, and of `own` the first `seen`, each query one more.
    pub(crate) fn tiles(
        &self,
        queries: Range<usize>,
        shared: &Range<usize>,
        own: &Range<usize>,
        seen: usize,
    ) -> Vec<Tile> {
        let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let tile = |first: usize| Tile {
            query: number(queries.start + first),
            queries: number((queries.len() - first).min(self.blocks.queries)),
            first: number(first),
            seen: number(seen),
            shared: number(shared.start),
            shared_rows: number(shared.len()),
            own: number(own.start),
            own_rows: number(own.len()),
        };
        (0..queries.len()).step_by(self.blocks.queries).map(tile).collect()
    }

    /// Bytes of a number.
    pub(crate) fn bytes(&self) -> usize {
        self.numbers.bytes()
    }

    fn at<T>(&self, slice: &CudaSlice<T>) -> u64 {
        self.gpu.address(slice)
    }
}

/// A norm on a device.
#[derive(Debug)]
pub(crate) struct Norm {
    weight: CudaSlice<f32>,
    /// Of a layer norm; a root-mean-square norm has none.
    bias: Option<CudaSlice<f32>>,
    eps: f32,
}

impl Norm {
    pub(crate) fn load(gpu: &Gpu, weight: &[f32], bias: Option<&[f32]>, eps: f64) -> Result<Self, Error> {
        let bias = bias.map(|bias| gpu.upload(bias)).transpose()?;
        Ok(Self { weight: gpu.upload(weight)?, bias, eps: eps as f32 })
    }
}

/// How heads are rotated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn<'a> {
    /// Each row's position.
    pub(crate) positions: &'a CudaSlice<i32>,
    /// Cosine and sine of each position and pair of a head, as many positions as there are.
    pub(crate) angles: &'a CudaSlice<f32>,
    pub(crate) heads: usize,
    pub(crate) first: usize,
    pub(crate) norms: Option<(&'a Norm, &'a Norm)>,
}

fn macros(numbers: Numbers, hidden: usize, head: usize) -> [(&'static str, usize); 3] {
    let number = match numbers {
        Numbers::F32 => 0,
        Numbers::Bf16 => 1,
        Numbers::F16 => 2,
    };
    [("NUMBER", number), ("HIDDEN", hidden), ("HEAD", head)]
}

/// That a buffer is long enough.
fn holds<T>(buffer: &CudaSlice<T>, count: usize) -> Result<(), Error> {
    match buffer.len() >= count {
        true => Ok(()),
        false => Err(Error::new(RUNNING, format!("{count} values in a buffer of {}", buffer.len()))),
    }
}

/// A kernel's integer.
fn index(n: usize) -> Result<i32, Error> {
    i32::try_from(n).map_err(|_| Error::new(RUNNING, format!("{n} is more than a kernel counts")))
}

#[cfg(test)]
mod tests {
    use super::super::module::compile;
    use super::*;

    /// Compiles all kinds, where NVRTC is installed; no GPU is needed.
    #[test]
    fn the_kernels_compile_for_every_kind_of_model_and_gpu() {
        // SAFETY: opens a library and closes it again.
        if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
            assert!(std::env::var_os("TAMIS_TEST_NVRTC").is_none(), "NVRTC was promised and is not found");
            println!("no NVRTC here: nothing compiled");
            return;
        }
        let variants = [
            (64, 16, Numbers::F16, 80),
            (1152, 72, Numbers::Bf16, 90),
            (896, 64, Numbers::F16, 89),
            (1024, 128, Numbers::Bf16, 80),
            (1152, 72, Numbers::F32, 90),
            (96, 6, Numbers::Bf16, 90),
        ];
        for (hidden, head, numbers, architecture) in variants {
            let blocks = Blocks::of(numbers, head, 99 << 10);
            let code = compile(source(blocks.attention), architecture, &macros(numbers, hidden, head));
            assert!(code.is_ok_and(|code| code.len() > 10_000), "{hidden} {head} {numbers:?} {architecture}");
        }
    }
}
