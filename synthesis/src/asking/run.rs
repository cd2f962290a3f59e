//! What all requests of a run share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Answered, AskSettings};
use crate::SynthesisError;
use crate::api::{Api, Failure, Reply};
use crate::budget::Budget;
use crate::journal::{Journal, Record, Told};
use crate::prompt::Kind;
use crate::question::{self, Piece};
use crate::sample::{Quarantined, Usage};
use crate::sources::Sources;
use crate::validation::check;

/// A server that refuses so many requests in a row, and has answered none, refuses all.
const REFUSALS: u32 = 5;
/// Who is told to wait longer than this does not wait.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// A row that is asked about; rows of the same content are one question.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) key: String,
    pub(super) row: usize,
}

/// A run that is under way.
pub(super) struct Run<'a> {
    pub(super) settings: &'a AskSettings,
    pub(super) api: Api,
    pub(super) sources: &'a Sources,
    keys: Vec<String>,
    pub(super) questions: Vec<Question>,
    journal: Mutex<Journal>,
    pub(super) told: Mutex<Told>,
    pub(super) budget: Mutex<Budget>,
    /// Questions that cannot be asked in this run, and why.
    refused: Mutex<HashMap<String, String>>,
    stopped: Mutex<Option<SynthesisError>>,
    /// Nobody asks before this time: the server wants to be left alone.
    quiet_until: Mutex<Instant>,
    refusals: AtomicU32,
    requests: AtomicU64,
}

/// Locks what is never left half-changed.
pub(super) fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Run<'a> {
    pub(super) fn new(settings: &'a AskSettings, api: Api, sources: &'a Sources, journal: Journal, told: Told) -> Self {
        let identity = settings.identity();
        let key = |row: &crate::sources::Source| question::key(&identity, settings.prompt.kind, &row.content, sources);
        let keys: Vec<String> = sources.rows().iter().map(key).collect();
        let mut seen = HashSet::new();
        let first = keys.iter().enumerate().filter(|(_, key)| seen.insert((*key).clone()));
        let questions = first.map(|(row, key)| Question { key: key.clone(), row }).collect();
        Self {
            settings,
            api,
            sources,
            questions,
            keys,
            journal: Mutex::new(journal),
            budget: Mutex::new(Budget::new(settings.limits, told.spent)),
            told: Mutex::new(told),
            refused: Mutex::default(),
            stopped: Mutex::default(),
            quiet_until: Mutex::new(Instant::now()),
            refusals: AtomicU32::new(0),
            requests: AtomicU64::new(0),
        }
    }

    /// Stops the run: nothing is asked any more. The first reason counts.
    pub(super) fn stop(&self, reason: SynthesisError) {
        locked(&self.stopped).get_or_insert(reason);
    }

    pub(super) fn is_stopped(&self) -> bool {
        locked(&self.stopped).is_some()
    }

    /// Stops because the budget is spent.
    pub(super) fn stop_for_budget(&self) {
        self.stop(SynthesisError::Budget { spent: locked(&self.budget).spent(), left: 0 });
    }

    /// Writes a record down, and takes it in. False if that cannot be done, which stops the run.
    pub(super) fn record(&self, record: Record) -> bool {
        let written = locked(&self.journal).append(&record);
        match written {
            Ok(()) => {
                locked(&self.told).take(record, &mut HashSet::new());
                true
            }
            Err(error) => {
                self.stop(error.into());
                false
            }
        }
    }

    /// Whether a question is to be asked still.
    pub(super) fn is_open(&self, question: &Question) -> bool {
        let told = locked(&self.told);
        let times = told.rejected.get(&question.key).map_or(0, |(times, _)| *times);
        !told.answers.contains_key(&question.key)
            && times < self.settings.patience.attempts
            && !locked(&self.refused).contains_key(&question.key)
    }

    /// How often an answer to it could not be used.
    pub(super) fn times_rejected(&self, question: &Question) -> u32 {
        locked(&self.told).rejected.get(&question.key).map_or(0, |(times, _)| *times)
    }

    /// What is sent for a question; `None` if it cannot be, which is noted.
    pub(super) fn pieces(&self, question: &Question) -> Option<Vec<Piece>> {
        match question::pieces(&self.sources.rows()[question.row].content, self.sources) {
            Ok(Ok(pieces)) => Some(pieces),
            Ok(Err(error)) => {
                self.refuse(question, error.to_string());
                None
            }
            Err(error) => {
                self.stop(SynthesisError::Image(error));
                None
            }
        }
    }

    /// What a request may take at most, as far as that can be told.
    pub(super) fn most(&self, question: &Question) -> Usage {
        let content = &self.sources.rows()[question.row].content;
        let input = question::tokens(&self.settings.prompt, content, self.sources).unwrap_or_default();
        self.settings.price().usage(input, u64::from(self.settings.api.answer_tokens))
    }

    /// Notes that a question cannot be asked. It costs nothing, and another run asks again.
    pub(super) fn refuse(&self, question: &Question, reason: String) {
        locked(&self.refused).insert(question.key.clone(), reason);
    }

    /// The provider has refused a request itself.
    pub(super) fn refused(&self, question: &Question, reason: String) {
        if self.refusals.fetch_add(1, Ordering::Relaxed) + 1 >= REFUSALS && locked(&self.told).answers.is_empty() {
            self.stop(SynthesisError::Refused { url: self.api.url(), reason: reason.clone() });
        }
        self.refuse(question, reason);
    }

    /// Looks at an answer and writes it down, whatever it is; what it took.
    pub(super) fn take(&self, question: &Question, reply: Reply) -> Usage {
        let usage = self.settings.price().usage(reply.input_tokens, reply.output_tokens);
        let images = self.sources.rows()[question.row].content.images().len();
        let kind: Kind = self.settings.prompt.kind;
        let checked = reply.texts.and_then(|texts| check(kind, &texts, images).map(|()| texts));
        let key = question.key.clone();
        let record = match checked {
            Ok(texts) => {
                self.refusals.store(0, Ordering::Relaxed);
                Record::Answer { key, texts, usage }
            }
            Err(reason) => Record::Rejected { key, reason, usage },
        };
        self.record(record);
        usage
    }

    /// Sends a request until it is answered or there is no use in it. `None` stops the run.
    pub(super) async fn patiently<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        mut send: impl FnMut() -> F,
    ) -> Option<Result<T, String>> {
        let patience = self.settings.patience;
        let mut pause = patience.first;
        let mut last = String::new();
        for attempt in 1..=patience.tries {
            self.quiet().await;
            self.requests.fetch_add(1, Ordering::Relaxed);
            match send().await {
                Ok(answer) => return Some(Ok(answer)),
                Err(Failure::Refused { reason, .. }) => return Some(Err(reason)),
                Err(Failure::All { reason }) => {
                    self.stop(SynthesisError::Refused { url: self.api.url(), reason });
                    return None;
                }
                Err(Failure::Later { reason, after, .. }) => {
                    log::debug!("attempt {attempt}: {reason}");
                    last = reason;
                    if self.is_stopped() || after.is_some_and(|after| after > LONGEST) {
                        break;
                    }
                    if let Some(after) = after {
                        let until = Instant::now() + after;
                        let mut quiet = locked(&self.quiet_until);
                        *quiet = until.max(*quiet);
                    }
                    if attempt < patience.tries {
                        tokio::time::sleep(after.unwrap_or(pause)).await;
                    }
                    pause = (pause * 2).min(Duration::from_secs(60));
                }
            }
        }
        self.stop(SynthesisError::Unreachable { url: self.api.url(), attempts: patience.tries, reason: last });
        None
    }

    /// Waits until the server may be asked again.
    async fn quiet(&self) {
        loop {
            let until = *locked(&self.quiet_until);
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// What came of it.
    pub(super) fn answered(self) -> Answered {
        let told = self.told.into_inner().unwrap_or_else(PoisonError::into_inner);
        let refused = self.refused.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut paid = HashSet::new();
        let mut answers = vec![];
        let mut quarantined = vec![];
        let mut left = 0;
        for (key, row) in self.keys.iter().zip(self.sources.rows()) {
            let answer = told.answers.get(key).cloned();
            let rejected = told.rejected.get(key).filter(|(times, _)| *times >= self.settings.patience.attempts);
            if answer.is_none() {
                let many =
                    |(times, reason): &(u32, String)| format!("{times} answers cannot be used; the last: {reason}");
                match refused.get(key).cloned().or_else(|| rejected.map(many)) {
                    Some(reason) => quarantined.push(Quarantined { uid: row.uid.clone(), level: None, reason }),
                    None => left += 1,
                }
            }
            let is_first = paid.insert(key);
            answers.push(answer.map(|(texts, usage)| (texts, if is_first { usage } else { Usage::default() })));
        }
        let spent = locked(&self.budget).spent();
        let stopped = self.stopped.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stopped = stopped.map(|reason| match reason {
            SynthesisError::Budget { spent, .. } => SynthesisError::Budget { spent, left },
            reason => reason,
        });
        Answered { answers, quarantined, spent, requests: self.requests.load(Ordering::Relaxed), stopped }
    }
}
