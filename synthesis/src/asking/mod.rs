//! Asking a model about every row: side by side or in batches, within a budget, each answer on disk before the next step.

mod batches;
mod estimate;
mod run;
mod samples;
mod single;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

pub use estimate::{Estimate, estimate};
pub use samples::{Others, samples};

use crate::api::{Api, ApiSettings, Provider};
use crate::budget::{Limits, Price};
use crate::journal::{Identity, Journal};
use crate::prompt::Prompt;
use crate::sample::{Quarantined, Usage};
use crate::sources::Sources;
use crate::validation::Texts;
use crate::{Secret, SynthesisError};
use run::Run;

/// How long to wait, and how often to try.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The first wait after a failure; each further one is twice as long.
    pub first: Duration,
    /// How often a request is sent that gets no answer.
    pub tries: u32,
    /// How often a row is asked about whose answers cannot be used.
    pub attempts: u32,
    /// How often a batch is asked how it stands.
    pub poll: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), tries: 8, attempts: 3, poll: Duration::from_secs(30) }
    }
}

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct AskSettings {
    /// How the API is asked.
    pub api: ApiSettings,
    /// What it is asked.
    pub prompt: Prompt,
    /// What it may spend.
    pub limits: Limits,
    /// What tokens cost, if that is known.
    pub price: Option<Price>,
    /// Requests at a time.
    pub concurrency: usize,
    /// Whether to ask in batches.
    pub in_batches: bool,
    /// Where answers are kept.
    pub journal: PathBuf,
    /// Whether to go on with a journal that is there.
    pub resume: bool,
    /// How long to wait.
    pub patience: Patience,
}

impl AskSettings {
    /// What the answers depend on.
    pub fn identity(&self) -> Identity {
        Identity {
            provider: self.api.provider.name().into(),
            model: self.api.model.clone(),
            prompt: self.prompt.version.clone(),
            seed: self.api.seed,
        }
    }

    /// What tokens cost; nothing where that is not known.
    fn price(&self) -> Price {
        let price = self.price.unwrap_or(Price { input: 0.0, output: 0.0 });
        if self.in_batches { price.halved() } else { price }
    }

    fn check(&self) -> Result<(), SynthesisError> {
        let wrong = |text: &str| Err(SynthesisError::Usage(text.into()));
        if self.limits.usd.is_some() && self.price.is_none() {
            return wrong(&format!(
                "--budget: the price of {} is not known; give --price-in and --price-out",
                self.api.model
            ));
        }
        match (self.in_batches, self.api.provider) {
            (true, Provider::OpenAi) => wrong("--batch: of Anthropic alone"),
            _ => Ok(()),
        }
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Answered {
    /// The answer for each row, if it has one, and what it took; of rows with the same content the first has taken it all.
    pub answers: Vec<Option<(Texts, Usage)>>,
    /// Rows whose answers cannot be used.
    pub quarantined: Vec<Quarantined>,
    /// What was spent over all runs of the journal.
    pub spent: Usage,
    /// How many requests this run has sent.
    pub requests: u64,
    /// Why it stopped before its end, if it did.
    pub stopped: Option<SynthesisError>,
}

/// Asks about every row. What stops it on the way is told with what there is by then.
pub fn ask<'a>(settings: &'a AskSettings, sources: &'a Sources) -> BoxFuture<'a, Result<Answered, SynthesisError>> {
    async move {
        settings.check()?;
        let api = Api::new(settings.api.clone())?;
        let (journal, told) = Journal::open(&settings.journal, &settings.identity(), settings.resume)?;
        if told.unknown > 0 {
            log::warn!(
                "{} requests were under way when an earlier run ended; the provider may have counted them",
                told.unknown
            );
        }
        let run = Run::new(settings, api, sources, journal, told);
        if settings.in_batches {
            run.in_batches().await
        } else {
            run.one_by_one().await
        }
        Ok(run.answered())
    }
    .boxed()
}

/// The key of a provider, from the environment and nowhere else.
pub fn key(provider: Provider) -> Option<Secret> {
    Secret::from_environment(provider.key_variable())
}
