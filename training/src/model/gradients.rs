//! Gradients of what is trained, and how much of a forward pass is kept for them.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

use super::parameters::Parameters;

/// A piece of the model: states in, states out.
pub(super) type Stage<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>;

/// Gradients by the name of what they are of.
#[derive(Debug, Clone, Default)]
pub struct Gradients(BTreeMap<String, Tensor>);

impl Gradients {
    /// The gradient of a tensor, if the loss hangs on it.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, gradient)| (name.as_str(), gradient))
    }

    /// Adds others, each times `scale`.
    pub(crate) fn add(&mut self, others: Self, scale: f64) -> Result<()> {
        for (name, gradient) in others.0 {
            let gradient = if scale == 1. { gradient } else { (gradient * scale)? };
            let sum = match self.0.get(&name) {
                Some(known) => (known + gradient)?,
                None => gradient,
            };
            self.0.insert(name, sum);
        }
        Ok(())
    }

    fn take(&mut self, found: &GradStore, parameters: &Parameters) -> Result<()> {
        let of = |(name, variable): (&str, &Var)| Some((name.to_string(), found.get(variable)?.clone()));
        self.add(Self(parameters.trained().filter_map(of).collect()), 1.)
    }
}

/// What was computed on the way to a loss. Where states are recomputed, only what goes into each stage is kept (Chen et al.,
/// "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174).
pub(super) struct Tape<'a> {
    parameters: &'a Parameters,
    recomputes: bool,
    /// By run of stages: where its result begins anew, and each stage with what went into it.
    runs: Vec<Run<'a>>,
}

struct Run<'a> {
    /// What went into the run, with what it was computed of.
    input: Tensor,
    stages: Vec<(Stage<'a>, Tensor)>,
    result: Var,
}

impl<'a> Tape<'a> {
    pub(super) fn new(parameters: &'a Parameters, recomputes: bool) -> Self {
        Self { parameters, recomputes, runs: vec![] }
    }

    /// What stages make of `x`.
    pub(super) fn through(&mut self, input: Tensor, stages: Vec<Stage<'a>>) -> Result<Tensor> {
        let mut x = input.clone();
        if !self.recomputes {
            for stage in &stages {
                x = stage(&x)?;
            }
            return Ok(x);
        }
        let mut kept = Vec::with_capacity(stages.len());
        for stage in stages {
            let before = x.detach();
            x = stage(&before)?.detach();
            kept.push((stage, before));
        }
        let result = Var::from_tensor(&x)?;
        let x = result.as_tensor().clone();
        self.runs.push(Run { input, stages: kept, result });
        Ok(x)
    }

    /// Gradients of all that is trained.
    pub(super) fn gradients(self, loss: &Tensor) -> Result<Gradients> {
        let mut gradients = Gradients::default();
        let mut found = loss.backward()?;
        gradients.take(&found, self.parameters)?;
        for run in self.runs.into_iter().rev() {
            let Some(mut of_x) = found.get(&run.result).cloned() else { continue };
            for (stage, before) in run.stages.into_iter().rev() {
                let before = Var::from_tensor(&before)?;
                let after = stage(before.as_tensor())?;
                let found = (after * of_x)?.sum_all()?.backward()?;
                gradients.take(&found, self.parameters)?;
                let Some(next) = found.get(&before) else {
                    return Err(candle_core::Error::msg("a stage without a gradient"));
                };
                of_x = next.clone();
            }
            if run.input.track_op() {
                found = (run.input * of_x)?.sum_all()?.backward()?;
                gradients.take(&found, self.parameters)?;
            }
        }
        Ok(gradients)
    }
}
