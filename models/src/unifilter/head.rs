//! From the last position's state to a score.

use crate::LoadError;
use crate::checkpoint::Scope;
use crate::kernels::softmax;

/// A linear map without a bias: [labels, hidden].
#[derive(Debug)]
pub(super) struct Head {
    hidden: usize,
    weight: Vec<f32>,
}

impl Head {
    pub(super) fn load(hidden: usize, labels: usize, scope: &Scope<'_>) -> Result<Self, LoadError> {
        Ok(Self { hidden, weight: scope.matrix(&[labels, hidden], "weight")?.to_vec() })
    }

    /// Of states [samples, hidden]: the probability of class 1 where there are classes, else the one logit.
    pub(super) fn scores(&self, states: &[f32]) -> Vec<f32> {
        let score = |state: &[f32]| {
            let product = |weight: &[f32]| weight.iter().zip(state).map(|(w, s)| w * s).sum::<f32>();
            let mut logits: Vec<f32> = self.weight.chunks(self.hidden).map(product).collect();
            match logits.as_mut_slice() {
                [logit] => *logit,
                classes => {
                    softmax(classes);
                    classes.get(1).copied().unwrap_or(f32::NAN)
                }
            }
        };
        states.chunks(self.hidden).map(score).collect()
    }
}
