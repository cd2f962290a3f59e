//! `tamis synth`: texts of four levels of quality for images, and a look at them.

mod api;
mod args;
mod features;
mod inspect;
mod quarantine;
mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tamis_engine::session::Session;
use tamis_files::output::FileOutput;
use tamis_synthesis::asking::{self, Others};
use tamis_synthesis::rules::{self, Rules};
use tamis_synthesis::sources::{Content, Source, Sources, as_documents};
use tamis_synthesis::split::Split;
use tamis_synthesis::{Provider, Quarantined, Sample, SynthesisError};

pub(crate) use args::SynthArgs;
use args::{ProviderArg, SynthCommand};
use write::Origin;

use crate::error::CommandError;
use crate::run::interruptible;
use crate::{Ending, block_on};

/// Runs `tamis synth ...`.
pub(crate) fn run(args: SynthArgs) -> Result<Ending, CommandError> {
    block_on(async move {
        let done = interruptible(synthesise(args)).await?;
        Ok(done.map_or(Ending::Interrupted, |()| Ending::Done))
    })
}

async fn synthesise(args: SynthArgs) -> Result<(), CommandError> {
    if let Some(SynthCommand::Inspect { samples, output, each, seed, json }) = &args.command {
        return inspect::inspect(
            &args.session,
            samples,
            &inspect::Shown { output: output.as_deref(), each: *each, seed: *seed, is_json: *json },
        )
        .await;
    }
    let (Some(data), Some(output), Some(provider)) = (&args.data, &args.output, args.provider) else {
        return Err(CommandError::Usage("--data, --output and --provider are needed".into()));
    };
    let target = FileOutput::parse(output)?;
    if !output.ends_with(".parquet") {
        return Err(CommandError::Usage(format!("--output {output}: samples are written as .parquet")));
    }
    let mut settings = args.session.settings();
    // One after the other, so that rows have the same numbers each time.
    settings.options.insert(0, ("datafusion.execution.target_partitions".into(), "1".into()));
    let session = Session::open(&settings).await?;
    let mut corpus = read::read(&session, data, &beside(output)).await?;
    if let (Some(clusters), Some(each)) = (args.clusters, args.per_cluster) {
        let chosen = tokio::task::block_in_place(|| {
            features::choose(&session, &corpus.sources, clusters as usize, each as usize, args.seed)
        })?;
        corpus.sources.retain(&chosen);
    }
    if let Some(each) = args.documents {
        let documents = as_documents(corpus.sources.rows(), each as usize, |row| true_text(row, args.seed));
        corpus.sources.replace(documents);
    }
    let splits = corpus.sources.splits(args.split, args.duplicate_distance, args.seed);
    let mut quarantined = corpus.quarantined;
    let sources = Arc::new(corpus.sources);
    let work = Work { args: &args, target, session: &session, sources: &sources, splits };
    let stopped = match provider {
        ProviderArg::Rules => {
            work.by_rules(&mut quarantined).await?;
            None
        }
        ProviderArg::Anthropic => work.by_api(Provider::Anthropic, &mut quarantined).await?,
        ProviderArg::OpenAi => work.by_api(Provider::OpenAi, &mut quarantined).await?,
    };
    if !args.api.dry_run {
        let place = quarantine::place(output);
        quarantine::write(&session, &place, &quarantined).await?;
        if let Some(first) = quarantined.first().filter(|_| !args.quiet) {
            eprintln!("{} quarantined in {place}; the first: {}: {}", quarantined.len(), first.uid, first.reason);
        }
    }
    stopped.map_or(Ok(()), |reason| Err(reason.into()))
}

/// What is to be done, when all rows are read.
struct Work<'a> {
    args: &'a SynthArgs,
    target: FileOutput,
    session: &'a Session,
    sources: &'a Arc<Sources>,
    splits: Vec<Split>,
}

impl Work<'_> {
    async fn by_rules(self, quarantined: &mut Vec<Quarantined>) -> Result<(), CommandError> {
        let (seed, variants) = (self.args.seed, self.args.variants);
        let rules = Rules::of(self.sources.rows(), &self.splits, seed, variants);
        let origin = Origin { provider: "rules", model: None, prompt: rules::VERSION.into(), seed };
        let not_made = Arc::new(Mutex::new(vec![]));
        let failed = Arc::clone(&not_made);
        self.write(origin, move |_, row, split| {
            let (samples, not_made) = rules.samples(row, split);
            failed.lock().extend(not_made);
            samples
        })
        .await?;
        quarantined.append(&mut not_made.lock());
        Ok(())
    }

    /// Why it stopped before its end, if it did: what there is by then is written.
    async fn by_api(
        self,
        provider: Provider,
        quarantined: &mut Vec<Quarantined>,
    ) -> Result<Option<SynthesisError>, CommandError> {
        let settings = api::settings(self.args, provider, self.sources, self.target.location())?;
        if self.args.api.dry_run {
            api::print_estimate(&asking::estimate(&settings, self.sources)?)?;
            return Ok(None);
        }
        let answered = asking::ask(&settings, self.sources).await?;
        if !self.args.quiet {
            eprintln!("{}", api::told(&answered));
        }
        quarantined.extend(answered.quarantined);
        let mut answers = answered.answers;
        if answers.iter().any(Option::is_some) {
            let seed = self.args.seed;
            let others = Others::of(self.sources.rows(), &self.splits);
            let origin = Origin {
                provider: provider.name(),
                model: Some(settings.api.model),
                prompt: settings.prompt.version,
                seed,
            };
            self.write(origin, move |number, row, split| match answers[number].take() {
                Some((texts, usage)) => asking::samples(row, split, &texts, usage, &others, seed),
                None => vec![],
            })
            .await?;
        }
        Ok(answered.stopped)
    }

    async fn write(
        self,
        origin: Origin,
        samples: impl FnMut(usize, &Source, Split) -> Vec<Sample> + Send + 'static,
    ) -> Result<(), CommandError> {
        let rows = self.sources.rows().len();
        let stream = write::stream(Arc::clone(self.sources), self.splits, origin, samples);
        let written = self.target.write(self.session.context(), stream).await?;
        if !self.args.quiet {
            eprintln!("wrote {written} samples of {rows} rows to {}", self.target.location());
        }
        Ok(())
    }
}

/// The folder of a local output, which has room for its images; else that for temporary files.
fn beside(output: &str) -> PathBuf {
    match Path::new(output).parent() {
        _ if output.contains("://") => std::env::temp_dir(),
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_path_buf(),
        None => PathBuf::from("."),
    }
}

/// What is certainly true of a row's image.
fn true_text(row: &Source, seed: u64) -> Option<String> {
    match &row.content {
        Content::Pair { facts: Some(facts), .. } => Some(rules::true_caption(facts, seed, &row.uid)),
        Content::Pair { text, .. } => text.clone(),
        Content::Document(_) => None,
    }
}
