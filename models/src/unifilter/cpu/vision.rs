//! The SigLIP vision tower on a CPU. What it computes: [`super::super::candle::vision`].

use super::super::config::VisionConfig;
use super::super::patches::Patches;
use super::{Way, Workspace, layer_norm};
use crate::checkpoint::Scope;
use crate::kernels::{Activation, Attention, Heads, Into, Layout, Linear, Norm, Operand, Rows, Span, fill};
use crate::{LoadError, ModelError};

/// Images in, features [images, patches, hidden] before the last norm out.
#[derive(Debug)]
pub(super) struct VisionTower {
    way: Way,
    patches: Patches,
    patch_embedding: Linear,
    /// [patches, hidden]
    position_embedding: Vec<f32>,
    blocks: Vec<Block>,
    hidden: usize,
    heads: Heads,
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

impl VisionTower {
    pub(super) fn load(
        way: Way,
        config: &VisionConfig,
        patches: Patches,
        scope: &Scope<'_>,
    ) -> Result<Self, LoadError> {
        let hidden = config.hidden_size;
        let embeddings = scope.pp("embeddings");
        let kernel = embeddings.pp("patch_embedding");
        let shape = [hidden, config.num_channels, config.patch_size, config.patch_size];
        let weight = kernel.matrix(&shape, "weight")?;
        let bias = kernel.vector(hidden, "bias")?;
        let positions = embeddings.pp("position_embedding").matrix(&[patches.count(), hidden], "weight")?;
        let layers = scope.pp("encoder").pp("layers");
        Ok(Self {
            way,
            patch_embedding: way.careful().layer(Layout::Straight, &[weight], Some(bias), Activation::None),
            position_embedding: positions.to_vec(),
            blocks: (0..config.num_hidden_layers)
                .map(|i| Block::load(way, config, &layers.pp(i)))
                .collect::<Result<_, _>>()?,
            patches,
            hidden,
            heads: Heads {
                query: config.num_attention_heads,
                key_value: config.num_attention_heads,
                width: hidden / config.num_attention_heads,
            },
        })
    }

    /// Leaves the features in `workspace.states`.
    pub(super) fn forward(&self, images: &[&[u8]], workspace: &mut Workspace) -> Result<(), ModelError> {
        images.iter().try_for_each(|image| self.patches.check(image))?;
        let count = self.patches.count();
        let mut patches: Operand = self.patch_embedding.operand();
        patches.resize(images.len() * count, self.patches.depth());
        fill(self.way.isa, &mut patches, |row, to| self.patches.write(images[row / count], row % count, to));
        let Workspace { states, queries, mixed, narrow, wide, .. } = workspace;
        states.clear();
        images.iter().for_each(|_| states.extend_from_slice(&self.position_embedding));
        self.patch_embedding.run(&patches, Into::Add(states));

        let spans: Vec<Span> = (0..images.len())
            .map(|image| image * count..(image + 1) * count)
            .map(|rows| Span { queries: rows.clone(), shared: 0..0, own: rows, seen: count })
            .collect();
        let isa = self.way.isa;
        for block in &self.blocks {
            let attention = Attention::new(isa, self.way.storage.attention(isa), self.heads);
            block.layer_norm1.run(isa, states, narrow);
            queries.resize(images.len() * count * 3 * self.hidden, 0.);
            block.qkv.run(narrow, Into::Set(queries));
            let rows = |offset| Rows { values: queries, stride: 3 * self.hidden, offset };
            attention.run(rows(0), rows(self.hidden), &spans, mixed, narrow);
            block.out_proj.run(narrow, Into::Add(states));
            block.layer_norm2.run(isa, states, narrow);
            block.fc1.run(narrow, Into::Operand(wide));
            block.fc2.run(wide, Into::Add(states));
        }
        Ok(())
    }
}

impl Block {
    fn load(way: Way, config: &VisionConfig, scope: &Scope<'_>) -> Result<Self, LoadError> {
        let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let attention = scope.pp("self_attn");
        let mlp = scope.pp("mlp");
        let fc1 = mlp.pp("fc1");
        let (weight, bias) = (fc1.matrix(&[inner, hidden], "weight")?, fc1.vector(inner, "bias")?);
        Ok(Self {
            layer_norm1: layer_norm(&scope.pp("layer_norm1"), hidden, eps)?,
            qkv: way.linear(&attention, &[("q_proj", hidden), ("k_proj", hidden), ("v_proj", hidden)], hidden, true)?,
            out_proj: way.linear(&attention, &[("out_proj", hidden)], hidden, true)?,
            layer_norm2: layer_norm(&scope.pp("layer_norm2"), hidden, eps)?,
            fc1: way.layer(Layout::Straight, &[weight], Some(bias), Activation::GeluTanh),
            // What GELU gives has its largest values far from the others: in bytes, a third of all error arises here.
            fc2: way.careful().linear(&mlp, &[("fc2", hidden)], inner, true)?,
        })
    }
}
