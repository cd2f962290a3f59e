//! `tamis train`: a filter of one's own.

mod args;
mod progress;
mod read;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tamis_engine::session::{Session, SessionSettings};
use tamis_models::checkpoint::Location;
use tamis_models::unifilter::Parts as Files;
use tamis_training::data::{Aspect, DataSet, Reader, Store, Wanted};
use tamis_training::files::read_projector;
use tamis_training::optimizer::{Algorithm, Settings};
use tamis_training::run::{Ended, Metrics, Plan, Trainer, write_report};
use tamis_training::{Beginning, Loss, Model, TrainingError, device};
use tokio::signal::unix::{SignalKind, signal};

use super::error::CommandError;
use super::run::ended_early;
use super::{Ending, block_on};
pub(crate) use args::TrainArgs;
use args::{AspectArg, OptimizerArg};
use progress::Progress;
use read::{Samples, Source};

/// Rows that could not be used are shown up to this many; all of them are in a file.
const SHOWN: usize = 5;
/// The folder of the report, which is written last.
const REPORT: &str = "report";
/// Rows are read by one partition after the other: their order is the data's.
const IN_ORDER: (&str, &str) = ("datafusion.execution.target_partitions", "1");

/// Runs `tamis train ...`.
pub(super) fn run(args: TrainArgs) -> Result<Ending, CommandError> {
    let folder = &args.output;
    if folder.to_string_lossy().contains("://") {
        return Err(CommandError::Usage(format!("-o {}: expected a folder on this machine", folder.display())));
    }
    if !args.resume && (folder.join("state").exists() || folder.join("config.json").exists()) {
        return Err(CommandError::Usage(format!(
            "-o {}: there is a training in it already; --resume goes on with it, another folder begins another one",
            folder.display()
        )));
    }
    if args.resume && folder.join(REPORT).join("report.md").exists() && !folder.join("state").exists() {
        eprintln!("the training in {} has come to its end already", folder.display());
        return Ok(Ending::Done);
    }
    let unwritable = |source| TrainingError::Io { doing: "making", path: folder.clone(), source };
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    block_on(async move {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, args) = (Arc::clone(&stop), Arc::new(args));
        let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Runtime)?;
        let handle = tokio::runtime::Handle::current();
        let mut training = tokio::task::spawn_blocking(move || handle.block_on(train(&args, &told)));
        loop {
            tokio::select! {
                ended = &mut training => return ended.map_err(ended_early)?,
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            // What is being computed is ended first; told twice, it is left.
            if stop.swap(true, Ordering::Relaxed) {
                return Ok(Ending::Interrupted);
            }
            eprintln!("saving the state; once more to leave without");
        }
    })
}

fn aspect(args: &TrainArgs) -> Aspect {
    match args.aspect {
        AspectArg::Stretch => Aspect::Stretch,
        AspectArg::Pad => Aspect::Pad,
    }
}

fn plan(args: &TrainArgs) -> Plan {
    let is_first = args.stage == 1;
    let loss = match is_first {
        true => Loss { score: 0., next_token: 1., from: f32::NEG_INFINITY },
        false => Loss { score: 1., next_token: args.next_token, from: 2.5 },
    };
    let algorithm = match args.optimizer {
        OptimizerArg::Adamw => Algorithm::AdamW,
        OptimizerArg::Muon => Algorithm::Muon,
    };
    let optimizer = Settings {
        algorithm,
        weight_decay: args.weight_decay,
        clip: args.clip.0,
        vision_rate: args.vision_rate,
        muon_rate: args.muon_rate,
        ..Settings::default()
    };
    Plan {
        epochs: args.epochs.unwrap_or(if is_first { 1 } else { 10 }),
        steps: args.steps,
        batch: args.batch_size,
        accumulate: args.accumulate,
        rate: args.learning_rate.unwrap_or(if is_first { 1e-3 } else { 2e-5 }),
        warmup: args.warmup,
        seed: args.seed,
        shuffles: !args.no_shuffle,
        loss,
        optimizer,
        shift: args.shift,
        evaluate_every: args.evaluate_every,
        patience: args.patience,
        save_every: args.save_every,
        aspect: aspect(args),
        saved_as: args.save_dtype,
        resumes: args.resume,
        folder: args.output.clone(),
        metrics: args.metrics.clone(),
    }
}

async fn train(args: &TrainArgs, stop: &AtomicBool) -> Result<Ending, CommandError> {
    let location = Location::parse(&args.model)?;
    let files = match args.from_scratch {
        true => Files::without_weights(&location)?,
        false => Files::open(&location)?,
    };
    let labels = args.labels.map_or_else(|| files.num_labels().unwrap_or(1), |labels| labels as usize);
    let (place, dtype) = device(args.device, args.dtype)?;
    let beginning = Beginning { trained: args.trained(), is_new: args.from_scratch, labels, seed: args.seed };
    let mut model = Model::load(&files, &beginning, &place, dtype)?;
    model.recompute(args.recompute);
    if let Some(path) = &args.projector {
        model.replace(read_projector(path)?)?;
    }
    let wanted = match (args.stage, labels) {
        (1, _) => Wanted::Captions,
        (_, 1) => Wanted::Scores,
        (_, classes) => Wanted::Classes(classes),
    };

    let in_order = (IN_ORDER.0.to_string(), IN_ORDER.1.to_string());
    let options = [in_order].into_iter().chain(args.set.iter().cloned()).collect();
    let session = Session::open(&SessionSettings { options, corpus: args.corpus.clone() }).await?;
    let max_pixels = session.option("tamis.image.max_pixels").and_then(|n| n.parse().ok()).unwrap_or(u64::MAX);
    let reader = Reader::new(&files, aspect(args), wanted, max_pixels)?;
    let cache = args.cache.clone().unwrap_or_else(|| args.output.join("cache"));
    let mut store = Store::open(&cache, &reader.way(), reader.picture_bytes())?;
    let image_folder = args.image_folder.as_deref();
    let mut source =
        Source { session: &session, reader: &reader, store: &mut store, image_folder, is_unlabelled: args.stage == 1 };
    let samples = source.read(&args.data, &args.validation).await?;
    tell_of_refused(args, &samples)?;
    begin(args, &model, &samples);

    let plan = plan(args);
    let (training, validation) = (&samples.training.samples, &samples.validation.samples);
    let mut trainer = Trainer::new(&model, &files, &mut store, training, validation, &plan)?;
    let mut progress = Progress::new(args.quiet);
    let (ended, metrics) = trainer.run(stop, &mut |event| progress.tell(&event))?;
    drop(progress);
    if ended == Ended::Stopped {
        eprintln!("stopped; the same command with --resume goes on");
        return Ok(Ending::Interrupted);
    }
    write_report(&metrics, "Training", &facts(args, &model, &samples, &trainer, &metrics), &args.output.join(REPORT))?;
    trainer.forget()?;
    if args.cache.is_none() {
        remove(&cache)?;
    }
    if !args.quiet {
        match (trainer.best(), ended) {
            (Some((step, _)), Ended::Early) => eprintln!("ended early; the model is that of step {step}"),
            (Some((step, _)), _) => eprintln!("the model is that of step {step}, the best on the validation set"),
            (None, _) => {}
        }
        eprintln!("wrote the model to {}", args.output.display());
    }
    Ok(Ending::Done)
}

fn remove(folder: &Path) -> Result<(), CommandError> {
    std::fs::remove_dir_all(folder)
        .map_err(|source| TrainingError::Io { doing: "removing", path: folder.to_path_buf(), source }.into())
}

/// Rows that are no samples go to a file, and some of them to stderr.
fn tell_of_refused(args: &TrainArgs, samples: &Samples) -> Result<(), CommandError> {
    let refused: Vec<_> = samples.training.refused.iter().chain(&samples.validation.refused).collect();
    let path: PathBuf = args.output.join("refused.jsonl");
    if refused.is_empty() {
        return Ok(());
    }
    let lines: Result<Vec<String>, _> = refused.iter().map(serde_json::to_string).collect();
    let text = lines.map_err(|error| CommandError::Task(error.to_string()))?.join("\n") + "\n";
    std::fs::write(&path, text).map_err(|source| TrainingError::Io { doing: "writing", path: path.clone(), source })?;
    eprintln!("warning: {} rows are no samples and are left out; {} says why", refused.len(), path.display());
    for row in refused.iter().take(SHOWN) {
        eprintln!("  {}: {}", row.uid, row.reason);
    }
    Ok(())
}

/// What is about to be trained.
fn begin(args: &TrainArgs, model: &Model, samples: &Samples) {
    if args.quiet {
        return;
    }
    let (trained, all) = model.parameters().counts();
    let count = |set: &DataSet| set.samples.len();
    let parts: Vec<String> = args.trained().iter().map(ToString::to_string).collect();
    eprintln!(
        "{} samples, {} to measure on; {:.2} of {:.2} million parameters are trained ({})",
        count(&samples.training),
        count(&samples.validation),
        trained as f64 / 1e6,
        all as f64 / 1e6,
        parts.join(", ")
    );
    if !args.from_scratch && !model.made().is_empty() {
        eprintln!("not in the checkpoint, and begun anew: {}", model.made().join(", "));
    }
}

/// What the report's page tells.
fn facts(
    args: &TrainArgs,
    model: &Model,
    samples: &Samples,
    trainer: &Trainer<'_>,
    metrics: &Metrics,
) -> Vec<(String, String)> {
    let (trained, all) = model.parameters().counts();
    let mut facts = vec![
        ("tamis", env!("CARGO_PKG_VERSION").to_string()),
        ("began as", format!("{}{}", args.model, if args.from_scratch { ", from scratch" } else { "" })),
        ("data", args.data.join("; ").replace('|', "\\|")),
        ("samples", samples.training.samples.len().to_string()),
        ("samples to measure on", samples.validation.samples.len().to_string()),
        ("stage", args.stage.to_string()),
        ("parameters trained, of", format!("{trained} of {all}")),
        ("batch", format!("{} samples, {} batches a step", args.batch_size, args.accumulate)),
        ("seed", args.seed.to_string()),
        ("steps", metrics.last_step().to_string()),
    ];
    if let Some((step, quality)) = trainer.best() {
        facts.push(("best", format!("step {step}, {quality:.4}")));
    }
    facts.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}
