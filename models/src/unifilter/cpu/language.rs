//! The Qwen2 / Qwen3 backbone on a CPU. What it computes: [`super::super::candle::language`].

use parking_lot::Mutex;
use rayon::prelude::*;

use super::super::config::Config;
use super::super::sequence::{Row, Sequences};
use super::{Way, Workspace, rms_norm};
use crate::checkpoint::{Matrix, Scope};
use crate::kernels::{Activation, Attention, Heads, Into, Layout, Linear, Norm, Operand, Rotary, Rows, Span};
use crate::prepared::Embeddings;
use crate::{LoadError, ModelError};

/// Sequences in; the last positions' states after the final norm out.
#[derive(Debug)]
pub(super) struct LanguageModel {
    way: Way,
    /// [vocabulary, hidden], as it lies in the file: few of its rows are ever read.
    embed_tokens: Matrix,
    layers: Vec<Layer>,
    norm: Norm,
    hidden: usize,
    heads: Heads,
    rotary: Mutex<Rotary>,
}

#[derive(Debug)]
struct Layer {
    input_layernorm: Norm,
    queries: Linear,
    keys_values: Linear,
    /// Qwen3's norms of queries and keys.
    norms: Option<(Norm, Norm)>,
    o_proj: Linear,
    post_attention_layernorm: Norm,
    gate_up: Linear,
    down_proj: Linear,
}

/// Rows that one task rotates.
const ROWS: usize = 16;

impl LanguageModel {
    pub(super) fn load(way: Way, config: &Config, scope: &Scope<'_>) -> Result<Self, LoadError> {
        let hidden = config.hidden_size;
        let layers = scope.pp("layers");
        Ok(Self {
            way,
            embed_tokens: scope.pp("embed_tokens").kept(&[config.vocab_size, hidden], "weight")?,
            layers: (0..config.num_hidden_layers)
                .map(|i| Layer::load(way, config, &layers.pp(i)))
                .collect::<Result<_, _>>()?,
            norm: rms_norm(&scope.pp("norm"), hidden, config.rms_norm_eps)?,
            hidden,
            heads: Heads {
                query: config.num_attention_heads,
                key_value: config.num_key_value_heads,
                width: config.head_dim(),
            },
            rotary: Mutex::new(Rotary::new(config.head_dim(), config.rope_theta() as f32)),
        })
    }

    /// [samples, hidden]
    pub(super) fn forward(&self, sequences: &Sequences<'_>, workspace: &mut Workspace) -> Result<Vec<f32>, ModelError> {
        let mut rotary = self.rotary.lock();
        rotary.reach(sequences.longest());
        let positions: Vec<usize> = sequences.rows.iter().map(|(_, position)| *position).collect();
        self.embed(sequences, &mut workspace.states)?;
        let Some((last, layers)) = self.layers.split_last() else {
            return Ok(self.normed(&self.last_rows(sequences, &workspace.states)));
        };
        let pass = |layer| Pass { model: self, layer, rotary: &rotary };
        for layer in layers {
            pass(layer).all(&positions, &sequences.spans, workspace);
        }
        // Of the last layer, only the samples' last positions are wanted; for them, everybody's keys and values.
        let mut states = self.last_rows(sequences, &workspace.states);
        pass(last).last(&positions, sequences, &mut states, workspace);
        Ok(self.normed(&states))
    }

    fn embed(&self, sequences: &Sequences<'_>, states: &mut Vec<f32>) -> Result<(), ModelError> {
        states.resize(sequences.rows.len() * self.hidden, 0.);
        let tokens = self.embed_tokens.source();
        for ((row, _), to) in sequences.rows.iter().zip(states.chunks_mut(self.hidden)) {
            match row {
                Row::Token(id) => tokens.row(*id as usize, to),
                Row::Image(image, row) => match image.embeddings() {
                    Some(Embeddings::Host(values)) => to.copy_from_slice(&values[row * self.hidden..][..self.hidden]),
                    _ => return Err(ModelError::Sample { reason: "an image that another engine has embedded".into() }),
                },
            }
        }
        Ok(())
    }

    fn last_rows(&self, sequences: &Sequences<'_>, states: &[f32]) -> Vec<f32> {
        sequences.last.iter().flat_map(|row| &states[row * self.hidden..][..self.hidden]).copied().collect()
    }

    fn normed(&self, states: &[f32]) -> Vec<f32> {
        let mut normed = vec![0.; states.len()];
        for (from, to) in states.chunks(self.hidden).zip(normed.chunks_mut(self.hidden)) {
            self.norm.row(from, to);
        }
        normed
    }
}

/// One layer's run.
struct Pass<'a> {
    model: &'a LanguageModel,
    layer: &'a Layer,
    rotary: &'a Rotary,
}

impl Pass<'_> {
    /// All rows.
    fn all(&self, positions: &[usize], spans: &[Span], workspace: &mut Workspace) {
        let Workspace { states, queries, keys_values, mixed, narrow, .. } = workspace;
        self.layer.input_layernorm.run(self.model.way.isa, states, narrow);
        self.queries(positions, narrow, queries);
        self.keys_values(positions, narrow, keys_values);
        self.attend(queries, keys_values, spans, mixed, narrow);
        let mut states = std::mem::take(states);
        self.finish(&mut states, workspace);
        workspace.states = states;
    }

    /// The samples' last rows, whose states are `last`; all rows' states are in `workspace`.
    fn last(&self, positions: &[usize], sequences: &Sequences<'_>, last: &mut [f32], workspace: &mut Workspace) {
        let isa = self.model.way.isa;
        let last_positions: Vec<usize> = sequences.last.iter().map(|row| positions[*row]).collect();
        let Workspace { states, queries, keys_values, mixed, narrow, .. } = workspace;
        self.layer.input_layernorm.run(isa, states, narrow);
        self.keys_values(positions, narrow, keys_values);
        self.layer.input_layernorm.run(isa, last, narrow);
        self.queries(&last_positions, narrow, queries);
        self.attend(queries, keys_values, &sequences.last_spans, mixed, narrow);
        self.finish(last, workspace);
    }

    fn queries(&self, positions: &[usize], from: &Operand, to: &mut Vec<f32>) {
        let width = self.model.heads.queries();
        self.layer.queries.run(from, Into::Set(sized(to, positions.len() * width)));
        self.turn(positions, to, width, width, self.layer.norms.as_ref().map(|(queries, _)| queries));
    }

    /// Keys turn with the position, values do not.
    fn keys_values(&self, positions: &[usize], from: &Operand, to: &mut Vec<f32>) {
        let width = self.model.heads.keys_values();
        self.layer.keys_values.run(from, Into::Set(sized(to, positions.len() * width)));
        self.turn(positions, to, width, width / 2, self.layer.norms.as_ref().map(|(_, keys)| keys));
    }

    /// Norms and rotates the first `turning` values of each row of `width`.
    fn turn(&self, positions: &[usize], to: &mut [f32], width: usize, turning: usize, norm: Option<&Norm>) {
        to.par_chunks_mut(width * ROWS).zip(positions.par_chunks(ROWS)).for_each(|(rows, positions)| {
            self.model.way.isa.vectorise(|| {
                for (row, position) in rows.chunks_mut(width).zip(positions) {
                    self.rotary.apply(*position, &mut row[..turning], norm);
                }
            });
        });
    }

    fn attend(&self, queries: &[f32], keys_values: &[f32], spans: &[Span], mixed: &mut Vec<f32>, out: &mut Operand) {
        let (heads, way) = (self.model.heads, self.model.way);
        let rows = |values, stride| Rows { values, stride, offset: 0 };
        let attention = Attention::new(way.isa, way.storage.attention(way.isa), heads);
        attention.run(rows(queries, heads.queries()), rows(keys_values, heads.keys_values()), spans, mixed, out);
    }

    /// What comes after attention, whose result is in `narrow`: all of it row by row.
    fn finish(&self, states: &mut [f32], workspace: &mut Workspace) {
        let Workspace { narrow, wide, .. } = workspace;
        self.layer.o_proj.run(narrow, Into::Add(states));
        self.layer.post_attention_layernorm.run(self.model.way.isa, states, narrow);
        self.layer.gate_up.run(narrow, Into::Operand(wide));
        self.layer.down_proj.run(wide, Into::Add(states));
    }
}

/// `values`, made `count` long.
fn sized(values: &mut Vec<f32>, count: usize) -> &mut [f32] {
    values.resize(count, 0.);
    values
}

impl Layer {
    fn load(way: Way, config: &Config, scope: &Scope<'_>) -> Result<Self, LoadError> {
        let (hidden, head, eps) = (config.hidden_size, config.head_dim(), config.rms_norm_eps);
        let (queries, keys) = (config.num_attention_heads * head, config.num_key_value_heads * head);
        let (attention, mlp) = (scope.pp("self_attn"), scope.pp("mlp"));
        let norms = match config.is_qwen3() {
            true => {
                Some((rms_norm(&attention.pp("q_norm"), head, eps)?, rms_norm(&attention.pp("k_norm"), head, eps)?))
            }
            false => None,
        };
        let has_bias = !config.is_qwen3();
        let inner = config.intermediate_size;
        let gate = mlp.pp("gate_proj").matrix(&[inner, hidden], "weight")?;
        let up = mlp.pp("up_proj").matrix(&[inner, hidden], "weight")?;
        Ok(Self {
            input_layernorm: rms_norm(&scope.pp("input_layernorm"), hidden, eps)?,
            queries: way.linear(&attention, &[("q_proj", queries)], hidden, has_bias)?,
            keys_values: way.linear(&attention, &[("k_proj", keys), ("v_proj", keys)], hidden, has_bias)?,
            norms,
            o_proj: way.linear(&attention, &[("o_proj", hidden)], queries, false)?,
            post_attention_layernorm: rms_norm(&scope.pp("post_attention_layernorm"), hidden, eps)?,
            gate_up: way.layer(Layout::Gated, &[gate, up], None, Activation::SwiGlu),
            down_proj: way.linear(&mlp, &[("down_proj", hidden)], inner, false)?,
        })
    }
}
