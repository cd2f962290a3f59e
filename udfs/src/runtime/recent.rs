//! A model's recent scores, from which the share of rows is estimated that a predicate lets through.

use parking_lot::Mutex;

/// How many scores are kept.
const KEPT: usize = 1024;

/// The last scores of a model, over all queries of the process and wherever they came from.
#[derive(Debug, Default)]
pub(super) struct RecentScores {
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    scores: Vec<f32>,
    next: usize,
}

impl RecentScores {
    pub(super) fn push(&self, score: f32) {
        let Ring { scores, next } = &mut *self.ring.lock();
        match scores.get_mut(*next) {
            Some(oldest) => *oldest = score,
            None => scores.push(score),
        }
        *next = (*next + 1) % KEPT;
    }

    /// The scores, in no order.
    pub(super) fn get(&self) -> Vec<f32> {
        self.ring.lock().scores.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_scores_are_kept() {
        let recent = RecentScores::default();
        (0..KEPT + 10).for_each(|score| recent.push(score as f32));
        let mut scores = recent.get();
        scores.sort_by(f32::total_cmp);
        assert_eq!((scores.len(), scores[0], scores[KEPT - 1]), (KEPT, 10., (KEPT + 9) as f32));
    }
}
