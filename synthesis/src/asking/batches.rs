//! Many requests in one: made, waited for, and read, each step on disk before the next.
//!
//! That a batch is wanted is written down before it is made, and its id at once after. If the process ends between the two, the
//! next run looks among the provider's batches for one whose results are of these requests, and makes none before.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::run::{Question, Run, locked};
use crate::SynthesisError;
use crate::api::{Batch, Failure, Line};
use crate::journal::Record;
use crate::sample::Usage;

/// A batch has at most so many requests and bytes; the API takes 100,000 and 256 MB.
const REQUESTS: usize = 10_000;
const BYTES: usize = 120_000_000;

impl Run<'_> {
    /// Asks all that is open in batches, those with answers that cannot be used again.
    pub(super) async fn in_batches(&self) {
        self.find_wanted().await;
        let mut reserved = HashMap::new();
        for _ in 0..=self.settings.patience.attempts {
            self.read_all(&mut reserved).await;
            let open: Vec<&Question> = self.questions.iter().filter(|question| self.is_open(question)).collect();
            if open.is_empty() || self.is_stopped() {
                return;
            }
            self.make_all(&open, &mut reserved).await;
        }
        self.read_all(&mut reserved).await;
    }

    /// Makes batches of all these questions, as far as the budget goes.
    async fn make_all(&self, open: &[&Question], reserved: &mut HashMap<String, Usage>) {
        let mut questions = open.iter().peekable();
        while questions.peek().is_some() && !self.is_stopped() {
            let (mut requests, mut keys, mut bytes, mut sum) = (vec![], vec![], 0, Usage::default());
            while let Some(question) = questions.peek().filter(|_| requests.len() < REQUESTS && bytes < BYTES) {
                let most = self.most(question);
                let has_room = locked(&self.budget).reserve(most);
                if !has_room {
                    self.stop_for_budget();
                    break;
                }
                sum += most;
                if let Some(pieces) = self.pieces(question) {
                    let request = self.api.batch_request(&question.key, &self.settings.prompt, &pieces);
                    bytes += request.to_string().len();
                    requests.push(request);
                    keys.push(question.key.clone());
                }
                questions.next();
            }
            if requests.is_empty() {
                locked(&self.budget).settle(sum, Usage::default());
                continue;
            }
            match self.make(&requests, keys).await {
                Some(id) => drop(reserved.insert(id, sum)),
                None => return locked(&self.budget).settle(sum, Usage::default()),
            }
        }
    }

    /// Makes one batch; its id, which is on disk then.
    async fn make(&self, requests: &[Value], keys: Vec<String>) -> Option<String> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if !self.record(Record::BatchWanted { keys: keys.clone(), at }) {
            return None;
        }
        let made = self.patiently(|| async {
            match self.api.make_batch(requests).await {
                // The server may have made it: to ask again could be to pay twice.
                Err(Failure::Later { is_said: false, reason, .. }) => match self.search(&keys).await {
                    Ok(Some(batch)) => Ok(batch),
                    Ok(None) => Err(Failure::later(reason)),
                    Err(failure) => Err(failure),
                },
                made => made,
            }
        });
        match made.await? {
            Ok(batch) => {
                let is_written = self.record(Record::BatchMade { id: batch.id.clone(), keys });
                is_written.then_some(batch.id)
            }
            Err(reason) => {
                self.record(Record::BatchNotMade);
                self.stop(SynthesisError::Refused { url: self.api.url(), reason });
                None
            }
        }
    }

    /// Looks for the batch that an earlier run was about to make.
    async fn find_wanted(&self) {
        let Some((keys, _)) = locked(&self.told).wanted.clone() else { return };
        match self.patiently(|| self.search(&keys)).await {
            Some(Ok(Some(batch))) => drop(self.record(Record::BatchMade { id: batch.id, keys })),
            Some(Ok(None)) => drop(self.record(Record::BatchNotMade)),
            Some(Err(reason)) => self.stop(SynthesisError::Refused { url: self.api.url(), reason }),
            None => {}
        }
    }

    /// A batch of the provider's that nobody knows here, and that is of these requests.
    async fn search(&self, keys: &[String]) -> Result<Option<Batch>, Failure> {
        let known: HashSet<String> = locked(&self.told).batches.keys().cloned().collect();
        let wanted: HashSet<&String> = keys.iter().collect();
        for mut batch in self.api.last_batches().await? {
            if known.contains(&batch.id) || batch.requests != keys.len() as u64 {
                continue;
            }
            while !batch.has_ended {
                tokio::time::sleep(self.settings.patience.poll).await;
                batch = self.api.batch(&batch.id).await?;
            }
            let mut is_ours = false;
            // The first line tells: keys are hashes of what was asked.
            let first = |line: Line| {
                is_ours = wanted.contains(&line.key);
                Err(())
            };
            let _ = self.api.batch_results(&batch, first).await?;
            if is_ours {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// Waits for all batches that were made, and reads them.
    async fn read_all(&self, reserved: &mut HashMap<String, Usage>) {
        let batches: Vec<String> = locked(&self.told).batches.keys().cloned().collect();
        let by_key: HashMap<&str, &Question> = self.questions.iter().map(|q| (q.key.as_str(), q)).collect();
        for id in batches {
            let Some(batch) = self.ended(&id).await else { return };
            let taken = Mutex::new(Usage::default());
            let read = self.patiently(|| self.api.batch_results(&batch, |line| self.line(line, &by_key, &taken)));
            let is_read = matches!(read.await, Some(Ok(Ok(()))));
            locked(&self.budget).settle(reserved.remove(&id).unwrap_or_default(), *locked(&taken));
            if !is_read || !self.record(Record::BatchDone { id }) {
                return;
            }
        }
    }

    /// Takes one result; a line that is read again is not taken again.
    fn line(&self, line: Line, by_key: &HashMap<&str, &Question>, taken: &Mutex<Usage>) -> Result<(), ()> {
        let Some(question) = by_key.get(line.key.as_str()).filter(|question| self.is_open(question)) else {
            return Ok(());
        };
        match line.result {
            Ok(reply) => {
                let usage = self.take(question, reply);
                *locked(taken) += usage;
            }
            Err((reason, true)) => self.refuse(question, reason),
            // It is asked again in the next batch.
            Err((reason, false)) => log::debug!("{}: {reason}", question.key),
        }
        if self.is_stopped() { Err(()) } else { Ok(()) }
    }

    /// Waits until a batch has ended.
    async fn ended(&self, id: &str) -> Option<Batch> {
        loop {
            match self.patiently(|| self.api.batch(id)).await? {
                Ok(batch) if batch.has_ended => return Some(batch),
                Ok(_) => tokio::time::sleep(self.settings.patience.poll).await,
                Err(reason) => {
                    self.stop(SynthesisError::Refused { url: self.api.url(), reason });
                    return None;
                }
            }
        }
    }
}
