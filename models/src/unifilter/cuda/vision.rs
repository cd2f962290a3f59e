//! The SigLIP vision tower on a GPU: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", arXiv 2303.15343.

use cudarc::driver::CudaSlice;
use rayon::prelude::*;

use super::super::config::VisionConfig;
use super::super::patches::Patches;
use super::{Way, Workspace, build};
use crate::LoadError;
use crate::checkpoint::Scope;
use crate::cuda::{Error, Gpu, Grid, Kernels, Linear, Norm, Part, Tile, Yields};

/// Images in, features [images, patches, hidden] before the last norm out.
#[derive(Debug)]
pub(super) struct VisionTower {
    kernels: Kernels,
    grid: Grid,
    /// What the levels of each channel are after normalisation: [3, 256].
    levels: CudaSlice<f32>,
    patch_embedding: Linear,
    /// [patches, hidden]
    position_embedding: CudaSlice<f32>,
    blocks: Vec<Block>,
    hidden: usize,
    inner: usize,
    heads: usize,
    /// Attention's work for as many images as go at once; an image's lies behind the one's before.
    tiles: CudaSlice<Tile>,
    tiles_an_image: usize,
}

#[derive(Debug)]
struct Block {
    layer_norm1: Norm,
    /// Queries, keys and values.
    qkv: Linear,
    out_proj: Linear,
    layer_norm2: Norm,
    fc1: Linear,
    fc2: Linear,
}

/// Images that go through the tower at once: their rows fill a large GPU many times over, and take half a gigabyte.
const IMAGES_AT_ONCE: usize = 32;

impl VisionTower {
    pub(super) fn load(
        way: Way<'_>,
        config: &VisionConfig,
        patches: &Patches,
        scope: &Scope<'_>,
    ) -> Result<Self, LoadError> {
        let (gpu, hidden, heads) = (way.gpu, config.hidden_size, config.num_attention_heads);
        let kernels = Kernels::compile(gpu, way.numbers, hidden, hidden / heads).map_err(build)?;
        let embeddings = scope.pp("embeddings");
        let kernel = embeddings.pp("patch_embedding");
        let shape = [hidden, config.num_channels, config.patch_size, config.patch_size];
        let (weight, bias) = (kernel.matrix(&shape, "weight")?, kernel.vector(hidden, "bias")?);
        let positions = embeddings.pp("position_embedding").matrix(&[patches.count(), hidden], "weight")?;
        let layers = scope.pp("encoder").pp("layers");
        let blocks =
            (0..config.num_hidden_layers).map(|i| Block::load(way, config, &layers.pp(i))).collect::<Result<_, _>>()?;
        let count = patches.count();
        let tiles: Vec<Tile> = (0..IMAGES_AT_ONCE)
            .map(|image| image * count..(image + 1) * count)
            .flat_map(|rows| kernels.tiles(rows.clone(), &(0..0), &rows, count))
            .collect();
        Ok(Self {
            grid: patches.grid(),
            levels: gpu.upload(&patches.levels()).map_err(build)?,
            patch_embedding: Linear::load(gpu, way.numbers, &[weight], Some(&bias), Yields::Sum).map_err(build)?,
            position_embedding: gpu.upload(&positions.to_vec()).map_err(build)?,
            blocks,
            hidden,
            inner: config.intermediate_size,
            heads,
            tiles_an_image: tiles.len() / IMAGES_AT_ONCE,
            tiles: gpu.upload(&tiles).map_err(build)?,
            kernels,
        })
    }

    pub(super) fn images_at_once(&self) -> usize {
        IMAGES_AT_ONCE
    }

    pub(super) fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Leaves the features in `workspace.states`; how many values they are. No more images than go at once.
    pub(super) fn forward(&self, gpu: &Gpu, images: &[&[u8]], workspace: &mut Workspace) -> Result<usize, Error> {
        let (kernels, hidden) = (&self.kernels, self.hidden);
        let count = self.grid.side * self.grid.side;
        let (rows, image_bytes) = (images.len() * count, self.grid.size * self.grid.size * 3);
        let bytes = kernels.bytes();
        let Workspace { staging, pixels, states, heads, narrow, wide, .. } = workspace;

        let pixels = pixels.of(gpu, images.len() * image_bytes)?;
        staging.copy(gpu, images.len() * image_bytes, pixels, |to| {
            to.par_chunks_mut(image_bytes).zip(images).for_each(|(to, image)| to.copy_from_slice(image));
        })?;
        let states = states.of(gpu, rows * hidden)?;
        let narrow = narrow.of(gpu, rows * hidden.max(self.patch_embedding.width()) * bytes)?;
        let wide = wide.of(gpu, rows * self.inner * bytes)?;
        let heads = heads.of(gpu, rows * 3 * hidden * bytes)?;

        kernels.patches(pixels, &self.levels, self.grid, images.len(), self.patch_embedding.width(), narrow)?;
        kernels.positions(&self.position_embedding, count, rows, states)?;
        self.patch_embedding.floats(gpu, narrow, rows, states)?;
        for block in &self.blocks {
            kernels.norm(&block.layer_norm1, states, rows, narrow)?;
            block.qkv.numbers(gpu, narrow, rows, heads)?;
            let part = |number: usize| Part { values: heads, stride: 3 * hidden, offset: number * hidden };
            let tiles = images.len() * self.tiles_an_image;
            kernels.attention(&self.tiles, tiles, [part(0), part(1), part(2)], self.heads, 1, narrow)?;
            block.out_proj.floats(gpu, narrow, rows, states)?;
            kernels.norm(&block.layer_norm2, states, rows, narrow)?;
            block.fc1.numbers(gpu, narrow, rows, wide)?;
            kernels.rest_of_gelu(wide, rows * self.inner)?;
            block.fc2.floats(gpu, wide, rows, states)?;
        }
        Ok(rows * hidden)
    }
}

impl Block {
    fn load(way: Way<'_>, config: &VisionConfig, scope: &Scope<'_>) -> Result<Self, LoadError> {
        let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let (attention, mlp) = (scope.pp("self_attn"), scope.pp("mlp"));
        let qkv = [("q_proj", hidden), ("k_proj", hidden), ("v_proj", hidden)];
        Ok(Self {
            layer_norm1: way.layer_norm(&scope.pp("layer_norm1"), hidden, eps)?,
            qkv: way.linear(&attention, &qkv, hidden, true, Yields::Numbers)?,
            out_proj: way.linear(&attention, &[("out_proj", hidden)], hidden, true, Yields::Sum)?,
            layer_norm2: way.layer_norm(&scope.pp("layer_norm2"), hidden, eps)?,
            fc1: way.linear(&mlp, &[("fc1", inner)], hidden, true, Yields::Gelu)?,
            fc2: way.linear(&mlp, &[("fc2", hidden)], inner, true, Yields::Sum)?,
        })
    }
}
