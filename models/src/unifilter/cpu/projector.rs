//! From vision features to image tokens on a CPU: adaptive average pooling, then a two-layer MLP with exact GELU.

use super::super::config::{Config, VisionConfig};
use super::super::pooling::{Bin, bins};
use super::Way;
use crate::LoadError;
use crate::checkpoint::Scope;
use crate::kernels::{Activation, Into, Layout, Linear, fill};

/// Features [images, patches, vision hidden] in, embeddings [images, tokens, language hidden] out.
#[derive(Debug)]
pub(super) struct Projector {
    way: Way,
    side: usize,
    width: usize,
    bins: Vec<Bin>,
    first: Linear,
    second: Linear,
    outputs: usize,
}

impl Projector {
    pub(super) fn load(way: Way, config: &Config, vision: &VisionConfig, scope: &Scope<'_>) -> Result<Self, LoadError> {
        let (width, outputs) = (config.mm_hidden_size, config.hidden_size);
        let mlp = scope.pp("mlp_projector");
        let first = mlp.pp(0);
        let (weight, bias) = (first.matrix(&[outputs, width], "weight")?, first.vector(outputs, "bias")?);
        Ok(Self {
            way,
            side: vision.side(),
            width,
            bins: bins(vision.side(), config.mm_num_image_tokens.isqrt()),
            first: way.layer(Layout::Straight, &[weight], Some(bias), Activation::GeluErf),
            second: way.linear(&mlp, &[("2", outputs)], outputs, true)?,
            outputs,
        })
    }

    pub(super) fn forward(&self, features: &[f32], images: usize) -> Vec<f32> {
        let tokens = self.bins.len();
        let mut pooled = self.first.operand();
        pooled.resize(images * tokens, self.width);
        fill(self.way.isa, &mut pooled, |row, to| {
            let image = &features[row / tokens * self.side * self.side * self.width..];
            let bin = &self.bins[row % tokens];
            to.fill(0.);
            for patch in bin.patches(self.side) {
                let patch = &image[patch * self.width..][..self.width];
                to.iter_mut().zip(patch).for_each(|(to, value)| *to += value);
            }
            let count = bin.len() as f32;
            to.iter_mut().for_each(|value| *value /= count);
        });
        let mut inner = self.second.operand();
        self.first.run(&pooled, Into::Operand(&mut inner));
        let mut embeddings = vec![0.; images * tokens * self.outputs];
        self.second.run(&inner, Into::Set(&mut embeddings));
        embeddings
    }
}
