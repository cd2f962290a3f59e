//! From vision features to image tokens on a GPU: adaptive average pooling, then a two-layer MLP with exact GELU.

use cudarc::driver::CudaSlice;

use super::super::config::{Config, VisionConfig};
use super::super::pooling::bins;
use super::{Way, Workspace, build};
use crate::LoadError;
use crate::checkpoint::Scope;
use crate::cuda::{Error, Gpu, Kernels, Linear, Yields};

/// Features [images, patches, vision hidden] in, embeddings [images, tokens, language hidden] out.
#[derive(Debug)]
pub(super) struct Projector {
    side: usize,
    tokens: usize,
    /// Four bounds a token.
    bins: CudaSlice<i32>,
    first: Linear,
    second: Linear,
}

impl Projector {
    pub(super) fn load(
        way: Way<'_>,
        config: &Config,
        vision: &VisionConfig,
        scope: &Scope<'_>,
    ) -> Result<Self, LoadError> {
        let (width, outputs) = (config.mm_hidden_size, config.hidden_size);
        let mlp = scope.pp("mlp_projector");
        let bins = bins(vision.side(), config.mm_num_image_tokens.isqrt());
        let bounds: Vec<i32> = bins.iter().flat_map(|bin| bin.bounds().map(|n| n as i32)).collect();
        Ok(Self {
            side: vision.side(),
            tokens: bins.len(),
            bins: way.gpu.upload(&bounds).map_err(build)?,
            first: way.linear(&mlp, &[("0", outputs)], width, true, Yields::Numbers)?,
            second: way.linear(&mlp, &[("2", outputs)], outputs, true, Yields::Floats)?,
        })
    }

    /// From the features in `workspace.states` to `workspace.embeddings`; how many values an image's are. The kernels are the
    /// vision tower's.
    pub(super) fn forward(
        &self,
        gpu: &Gpu,
        kernels: &Kernels,
        images: usize,
        workspace: &mut Workspace,
    ) -> Result<usize, Error> {
        let (rows, outputs, bytes) = (images * self.tokens, self.second.outputs(), kernels.bytes());
        let Workspace { states, narrow, wide, embeddings, .. } = workspace;
        let pooled = narrow.of(gpu, rows * self.first.width() * bytes)?;
        kernels.pool(states.of(gpu, 0)?, &self.bins, images, self.side, pooled)?;
        let inner = wide.of(gpu, rows * outputs * bytes)?;
        self.first.numbers(gpu, pooled, rows, inner)?;
        kernels.gelu_erf(inner, rows * outputs)?;
        self.second.floats(gpu, inner, rows, embeddings.of(gpu, rows * outputs)?)?;
        Ok(self.tokens * outputs)
    }
}
