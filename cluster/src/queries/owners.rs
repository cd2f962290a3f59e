//! Whose jobs are.

use std::collections::{HashMap, VecDeque};

use crate::access::Caller;

/// The owners of so many jobs are known, the last ones: Ballista forgets jobs that have ended within the hour.
const KEPT: usize = 10_000;

/// Whose jobs are.
#[derive(Debug, Default)]
pub(super) struct Owners {
    owners: HashMap<String, Caller>,
    /// The jobs in the order in which they began.
    order: VecDeque<String>,
}

impl Owners {
    /// Notes whose a job is.
    pub(super) fn note(&mut self, job: &str, caller: &Caller) {
        if self.owners.insert(job.into(), caller.clone()).is_none() {
            self.order.push_back(job.into());
        }
        while self.order.len() > KEPT {
            let oldest = self.order.pop_front().unwrap_or_default();
            self.owners.remove(&oldest);
        }
    }

    /// Whose a job is.
    pub(super) fn of(&self, job: &str) -> Option<&Caller> {
        self.owners.get(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_jobs_are_forgotten() {
        let (mut owners, ada) = (Owners::default(), Caller::User("ada".into()));
        for job in 0..=KEPT {
            owners.note(&job.to_string(), &ada);
        }
        assert_eq!((owners.of("0"), owners.of("1")), (None, Some(&ada)));
        assert_eq!(owners.owners.len(), KEPT);
    }
}
