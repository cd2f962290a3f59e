//! The Qwen2 / Qwen3 backbone on a GPU: arXiv 2407.10671, arXiv 2505.09388.

use cudarc::driver::CudaSlice;
use parking_lot::Mutex;

use super::super::config::Config;
use super::super::sequence::{Row, Sequences};
use super::{Way, Workspace, build, failed};
use crate::checkpoint::Scope;
use crate::cuda::{Buffer, Error, Gpu, Kernels, Linear, Norm, Part, Staging, Tile, Turn, Yields};
use crate::kernels::{Rotary, Span};
use crate::prepared::Embeddings;
use crate::{LoadError, ModelError};

/// Sequences in; the last positions' states after the final norm out.
#[derive(Debug)]
pub(super) struct LanguageModel {
    kernels: Kernels,
    /// Numbers [vocabulary, hidden].
    embed_tokens: CudaSlice<u8>,
    vocabulary: usize,
    layers: Vec<Layer>,
    norm: Norm,
    hidden: usize,
    inner: usize,
    heads: Heads,
    rotary: Mutex<Angles>,
}

/// How many heads there are, and how wide they are.
#[derive(Debug, Clone, Copy)]
struct Heads {
    queries: usize,
    keys: usize,
    width: usize,
}

#[derive(Debug)]
struct Layer {
    input_layernorm: Norm,
    /// Queries, keys and values.
    qkv: Linear,
    /// Qwen3's norms of queries and keys.
    norms: Option<(Norm, Norm)>,
    o_proj: Linear,
    post_attention_layernorm: Norm,
    gate_up: Linear,
    down_proj: Linear,
}

/// Cosines and sines, here and on the device, as far as a sample has reached.
#[derive(Debug)]
struct Angles {
    rotary: Rotary,
    device: CudaSlice<f32>,
    positions: usize,
}

/// What a pass's kernels read beside states: see [`Sequences`].
#[derive(Debug)]
struct Layout {
    rows: usize,
    samples: usize,
    positions: CudaSlice<i32>,
    last: CudaSlice<i32>,
    last_positions: CudaSlice<i32>,
    tiles: CudaSlice<Tile>,
    last_tiles: CudaSlice<Tile>,
    counts: [usize; 2],
}

impl LanguageModel {
    pub(super) fn load(way: Way<'_>, config: &Config, scope: &Scope<'_>) -> Result<Self, LoadError> {
        let (gpu, hidden) = (way.gpu, config.hidden_size);
        let layers = scope.pp("layers");
        let embeddings = scope.pp("embed_tokens").matrix(&[config.vocab_size, hidden], "weight")?;
        let rotary = Rotary::new(config.head_dim(), config.rope_theta() as f32);
        Ok(Self {
            kernels: Kernels::compile(gpu, way.numbers, hidden, config.head_dim()).map_err(build)?,
            embed_tokens: Linear::numbers_of(gpu, way.numbers, embeddings).map_err(build)?,
            vocabulary: config.vocab_size,
            layers: (0..config.num_hidden_layers)
                .map(|i| Layer::load(way, config, &layers.pp(i)))
                .collect::<Result<_, _>>()?,
            norm: way.rms_norm(&scope.pp("norm"), hidden, config.rms_norm_eps)?,
            hidden,
            inner: config.intermediate_size,
            heads: Heads {
                queries: config.num_attention_heads,
                keys: config.num_key_value_heads,
                width: config.head_dim(),
            },
            rotary: Mutex::new(Angles { rotary, device: gpu.upload(&[0.]).map_err(build)?, positions: 0 }),
        })
    }

    /// [samples, hidden]
    pub(super) fn forward(
        &self,
        gpu: &Gpu,
        sequences: &Sequences<'_>,
        workspace: &mut Workspace,
    ) -> Result<Vec<f32>, ModelError> {
        let (addresses, tokens) = self.addresses(gpu, sequences)?;
        self.run(gpu, sequences, &addresses, &tokens, workspace).map_err(failed(sequences.last.len()))
    }

    /// For each row where an image's embedding lies on the device, or zero, and the token's number.
    fn addresses(&self, gpu: &Gpu, sequences: &Sequences<'_>) -> Result<(Vec<u64>, Vec<i32>), ModelError> {
        let mut addresses = Vec::with_capacity(sequences.rows.len());
        let mut tokens = Vec::with_capacity(sequences.rows.len());
        for (row, _) in &sequences.rows {
            let (address, token) = match row {
                Row::Token(id) if (*id as usize) < self.vocabulary => (0, *id as i32),
                Row::Token(id) => {
                    let reason = format!("token id {id} of a vocabulary of {}", self.vocabulary);
                    return Err(ModelError::Sample { reason });
                }
                Row::Image(image, row) => match image.embeddings() {
                    Some(Embeddings::Device(values)) if values.bytes() >= (row + 1) * self.hidden * 4 => {
                        (gpu.address_of(values) + (row * self.hidden * size_of::<f32>()) as u64, 0)
                    }
                    _ => return Err(ModelError::Sample { reason: "an image that another engine has embedded".into() }),
                },
            };
            addresses.push(address);
            tokens.push(token);
        }
        Ok((addresses, tokens))
    }

    fn run(
        &self,
        gpu: &Gpu,
        sequences: &Sequences<'_>,
        addresses: &[u64],
        tokens: &[i32],
        workspace: &mut Workspace,
    ) -> Result<Vec<f32>, Error> {
        let mut angles = self.rotary.lock();
        angles.reach(gpu, sequences.longest())?;
        let layout = self.layout(gpu, sequences, &mut workspace.staging)?;
        let images = workspace.staging.send(gpu, addresses)?;
        let tokens = workspace.staging.send(gpu, tokens)?;
        let mut states = std::mem::take(&mut workspace.states);
        let mut last: Buffer<f32> = Buffer::default();
        let (rows, samples, hidden) = (layout.rows, layout.samples, self.hidden);

        let all = states.of(gpu, rows * hidden)?;
        self.kernels.embed(&images, &tokens, &self.embed_tokens, rows, all)?;
        let ends = last.of(gpu, samples * hidden)?;
        let pass = |layer| Pass { model: self, gpu, layer, layout: &layout, angles: &angles.device };
        if let Some((end, layers)) = self.layers.split_last() {
            for layer in layers {
                pass(layer).all(all, workspace)?;
            }
            self.kernels.take(all, &layout.last, samples, ends)?;
            pass(end).last(all, ends, workspace)?;
        } else {
            self.kernels.take(all, &layout.last, samples, ends)?;
        }
        let normed = workspace.embeddings.of(gpu, samples * hidden)?;
        self.kernels.norm_f32(&self.norm, ends, samples, normed)?;
        let found = gpu.download(normed, samples * hidden);
        workspace.states = states;
        found
    }

    fn layout(&self, gpu: &Gpu, sequences: &Sequences<'_>, staging: &mut Staging) -> Result<Layout, Error> {
        let number = |n: &usize| i32::try_from(*n).unwrap_or(i32::MAX);
        let positions: Vec<i32> = sequences.rows.iter().map(|(_, position)| number(position)).collect();
        let last: Vec<i32> = sequences.last.iter().map(number).collect();
        let last_positions: Vec<i32> = sequences.last.iter().map(|row| positions[*row]).collect();
        let tiles = |spans: &[Span]| -> Vec<Tile> {
            let tiles = |span: &Span| self.kernels.tiles(span.queries.clone(), &span.shared, &span.own, span.seen);
            spans.iter().flat_map(tiles).collect()
        };
        let (tiles, last_tiles) = (tiles(&sequences.spans), tiles(&sequences.last_spans));
        Ok(Layout {
            rows: positions.len(),
            samples: last.len(),
            counts: [tiles.len(), last_tiles.len()],
            positions: staging.send(gpu, &positions)?,
            last: staging.send(gpu, &last)?,
            last_positions: staging.send(gpu, &last_positions)?,
            tiles: staging.send(gpu, &tiles)?,
            last_tiles: staging.send(gpu, &last_tiles)?,
        })
    }
}

/// One layer's run.
struct Pass<'a> {
    model: &'a LanguageModel,
    gpu: &'a Gpu,
    layer: &'a Layer,
    layout: &'a Layout,
    angles: &'a CudaSlice<f32>,
}

impl Pass<'_> {
    /// All rows.
    fn all(&self, states: &mut CudaSlice<f32>, workspace: &mut Workspace) -> Result<(), Error> {
        let Self { model: LanguageModel { kernels, heads, hidden, .. }, gpu, layer, layout, .. } = *self;
        let (rows, width) = (layout.rows, layer.qkv.outputs());
        let narrow = workspace.narrow.of(gpu, rows * (*hidden).max(heads.queries * heads.width) * kernels.bytes())?;
        let qkv = workspace.heads.of(gpu, rows * width * kernels.bytes())?;
        kernels.norm(&layer.input_layernorm, states, rows, narrow)?;
        layer.qkv.numbers(gpu, narrow, rows, qkv)?;
        self.turn(qkv, rows, width, &layout.positions, heads.queries + heads.keys, heads.queries)?;
        let part = |head: usize| Part { values: qkv, stride: width, offset: head * heads.width };
        let parts = [part(0), part(heads.queries), part(heads.queries + heads.keys)];
        kernels.attention(&layout.tiles, layout.counts[0], parts, heads.queries, heads.queries / heads.keys, narrow)?;
        self.finish(states, rows, workspace)
    }

    /// The samples' last rows, whose states are `last`; all rows' states are `states`.
    fn last(&self, states: &CudaSlice<f32>, last: &mut CudaSlice<f32>, workspace: &mut Workspace) -> Result<(), Error> {
        let Self { model: LanguageModel { kernels, heads, hidden, .. }, gpu, layer, layout, .. } = *self;
        let (rows, samples) = (layout.rows, layout.samples);
        let (queries, width) = (heads.queries * heads.width, 2 * heads.keys * heads.width);
        let narrow = workspace.narrow.of(gpu, rows * (*hidden).max(queries) * kernels.bytes())?;
        let keys_values = workspace.heads.of(gpu, rows * width * kernels.bytes())?;
        kernels.norm(&layer.input_layernorm, states, rows, narrow)?;
        layer.qkv.part(gpu, queries..queries + width, narrow, rows, keys_values)?;
        self.turn(keys_values, rows, width, &layout.positions, heads.keys, 0)?;
        kernels.norm(&layer.input_layernorm, last, samples, narrow)?;
        let asked = workspace.wide.of(gpu, samples * queries * kernels.bytes())?;
        layer.qkv.part(gpu, 0..queries, narrow, samples, asked)?;
        self.turn(asked, samples, queries, &layout.last_positions, heads.queries, heads.queries)?;
        let part = |head: usize| Part { values: keys_values, stride: width, offset: head * heads.width };
        let parts = [Part { values: asked, stride: queries, offset: 0 }, part(0), part(heads.keys)];
        kernels.attention(
            &layout.last_tiles,
            layout.counts[1],
            parts,
            heads.queries,
            heads.queries / heads.keys,
            narrow,
        )?;
        self.finish(last, samples, workspace)
    }

    /// Norms and rotates the first `heads` heads of each row, of which `first` are queries.
    fn turn(
        &self,
        x: &mut CudaSlice<u8>,
        rows: usize,
        stride: usize,
        positions: &CudaSlice<i32>,
        heads: usize,
        first: usize,
    ) -> Result<(), Error> {
        let norms = self.layer.norms.as_ref().map(|(queries, keys)| (queries, keys));
        let turn = Turn { positions, angles: self.angles, heads, first, norms };
        self.model.kernels.rotary(x, rows, stride, &turn)
    }

    /// What comes after attention, whose result is in `narrow`: all of it row by row.
    fn finish(&self, states: &mut CudaSlice<f32>, rows: usize, workspace: &mut Workspace) -> Result<(), Error> {
        let Self { model: LanguageModel { kernels, inner, .. }, gpu, layer, .. } = *self;
        let narrow = workspace.narrow.of(gpu, 0)?;
        layer.o_proj.floats(gpu, narrow, rows, states)?;
        kernels.norm(&layer.post_attention_layernorm, states, rows, narrow)?;
        let gates = workspace.gates.of(gpu, rows * 2 * inner * kernels.bytes())?;
        layer.gate_up.numbers(gpu, narrow, rows, gates)?;
        let wide = workspace.wide.of(gpu, rows * inner * kernels.bytes())?;
        kernels.swiglu(gates, rows, *inner, wide)?;
        layer.down_proj.floats(gpu, wide, rows, states)
    }
}

impl Angles {
    /// Makes sure that the device has the angles of the first `positions` positions.
    fn reach(&mut self, gpu: &Gpu, positions: usize) -> Result<(), Error> {
        if positions > self.positions {
            self.positions = positions.next_power_of_two();
            self.rotary.reach(self.positions);
            let angles: Vec<f32> = self.rotary.table().iter().flat_map(|(cosine, sine)| [*cosine, *sine]).collect();
            self.device = gpu.upload(&angles)?;
        }
        Ok(())
    }
}

impl Layer {
    fn load(way: Way<'_>, config: &Config, scope: &Scope<'_>) -> Result<Self, LoadError> {
        let (hidden, head, eps) = (config.hidden_size, config.head_dim(), config.rms_norm_eps);
        let (queries, keys) = (config.num_attention_heads * head, config.num_key_value_heads * head);
        let (attention, mlp) = (scope.pp("self_attn"), scope.pp("mlp"));
        let norms = match config.is_qwen3() {
            true => Some((
                way.rms_norm(&attention.pp("q_norm"), head, eps)?,
                way.rms_norm(&attention.pp("k_norm"), head, eps)?,
            )),
            false => None,
        };
        let qkv = [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)];
        let inner = config.intermediate_size;
        Ok(Self {
            input_layernorm: way.rms_norm(&scope.pp("input_layernorm"), hidden, eps)?,
            qkv: way.linear(&attention, &qkv, hidden, !config.is_qwen3(), Yields::Numbers)?,
            norms,
            o_proj: way.linear(&attention, &[("o_proj", hidden)], queries, false, Yields::Sum)?,
            post_attention_layernorm: way.rms_norm(&scope.pp("post_attention_layernorm"), hidden, eps)?,
            gate_up: way.linear(&mlp, &[("gate_proj", inner), ("up_proj", inner)], hidden, false, Yields::Numbers)?,
            down_proj: way.linear(&mlp, &[("down_proj", hidden)], inner, false, Yields::Sum)?,
        })
    }
}
