//! The arguments of `tamis train`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use tamis_models::{DeviceChoice, DtypeChoice};
use tamis_training::Part;
use tamis_training::files::SavedAs;

use crate::values::assignment;

/// `tamis train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// The model to begin with: a folder, a URL or a hub id, in the released layout
    #[arg(long, value_name = "PATH|URL|HUB_ID", help_heading = "Model")]
    pub(super) model: String,

    /// Make all weights anew, by the model's config.json alone; it needs a tokenizer, and a vision_config or a tower's folder
    #[arg(long, help_heading = "Model")]
    pub(super) from_scratch: bool,

    /// Take the projector from this file of stage 1: mm_projector.bin, or safetensors
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(super) projector: Option<PathBuf>,

    /// How many labels the head has: 1 is a score, more are classes [default: as many as the model has, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Model")]
    pub(super) labels: Option<u32>,

    /// Parts that are not trained though the stage trains them: vision, projector, language, head
    #[arg(long, value_name = "PARTS", value_delimiter = ',', help_heading = "Model")]
    pub(super) freeze: Vec<Part>,

    /// Parts that are trained though the stage does not train them
    #[arg(long, value_name = "PARTS", value_delimiter = ',', help_heading = "Model")]
    pub(super) unfreeze: Vec<Part>,

    /// The samples: a query, a table (a path, a pattern, a URL), or the reference's FILE.json; repeatable
    #[arg(long, value_name = "TABLE|QUERY|FILE.json", required = true, help_heading = "Data")]
    pub(super) data: Vec<String>,

    /// Where the images of FILE.json lie [default: its own folder]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub(super) image_folder: Option<PathBuf>,

    /// Samples to measure the model on; repeatable [default: those whose column split is validation]
    #[arg(long, value_name = "TABLE|QUERY|FILE.json", help_heading = "Data")]
    pub(super) validation: Vec<String>,

    /// How images become squares: stretch, as scoring does it, or pad, as the reference trains
    #[arg(long, value_enum, default_value_t = AspectArg::Stretch, help_heading = "Data")]
    pub(super) aspect: AspectArg,

    /// Move each image by up to so many of its resized pixels, each time otherwise
    #[arg(long, value_name = "PIXELS", default_value_t = 0, help_heading = "Data")]
    pub(super) shift: u32,

    /// Keep resized images and vision features in this folder, for another training [default: removed at the end]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub(super) cache: Option<PathBuf>,

    /// Take samples in the order of the data instead of one of their own each epoch
    #[arg(long, help_heading = "Data")]
    pub(super) no_shuffle: bool,

    /// 1: the projector alone, next tokens of captions; 2: projector, language model and head, on labels
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2), help_heading = "Training")]
    pub(super) stage: u8,

    /// How often each sample is looked at [default: 1 in stage 1, 10 in stage 2]
    #[arg(long, value_name = "N", conflicts_with = "steps", help_heading = "Training")]
    pub(super) epochs: Option<usize>,

    /// So many steps of the optimiser, however many epochs that is
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub(super) steps: Option<usize>,

    /// Samples of a batch
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = at_least_one, help_heading = "Training")]
    pub(super) batch_size: usize,

    /// Batches of a step
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one, help_heading = "Training")]
    pub(super) accumulate: usize,

    /// The highest learning rate [default: 1e-3 in stage 1, 2e-5 in stage 2]
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub(super) learning_rate: Option<f64>,

    /// The vision tower's learning rate, as a share of the others'
    #[arg(long, value_name = "X", default_value_t = 1., help_heading = "Training")]
    pub(super) vision_rate: f64,

    /// Steps until the learning rate is highest: a share of all if below 1, else a number
    #[arg(long, value_name = "X", default_value_t = 0.03, help_heading = "Training")]
    pub(super) warmup: f64,

    /// The largest norm of all gradients together, or none
    #[arg(long, value_name = "X|none", default_value = "1.0", help_heading = "Training")]
    pub(super) clip: Clip,

    /// AdamW, or Muon for the matrices of blocks
    #[arg(long, value_enum, default_value_t = OptimizerArg::Adamw, help_heading = "Training")]
    pub(super) optimizer: OptimizerArg,

    /// Muon's learning rate, in AdamW's
    #[arg(long, value_name = "X", default_value_t = 1., help_heading = "Training")]
    pub(super) muon_rate: f64,

    /// How much of the learning rate is taken off weights, but of norms and biases
    #[arg(long, value_name = "X", default_value_t = 0., help_heading = "Training")]
    pub(super) weight_decay: f64,

    /// In stage 2, also learn the next tokens of samples of level 3, with so much weight
    #[arg(long, value_name = "X", default_value_t = 0., help_heading = "Training")]
    pub(super) next_token: f64,

    /// What all that is random follows from: the same seed, data and number of threads give the same model
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Training")]
    pub(super) seed: u64,

    /// Compute states once more for the gradients instead of keeping them: less memory, a third more time
    #[arg(long, help_heading = "Training")]
    pub(super) recompute: bool,

    /// Steps between looks at the validation set [default: an epoch]
    #[arg(long, value_name = "STEPS", value_parser = at_least_one, help_heading = "Training")]
    pub(super) evaluate_every: Option<usize>,

    /// End after so many looks at the validation set without a better one
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub(super) patience: Option<usize>,

    /// Where the model goes: a folder, in the released layout
    #[arg(short, long, value_name = "DIR", help_heading = "Results")]
    pub(super) output: PathBuf,

    /// Go on from the newest state in the folder, if there is one
    #[arg(long, help_heading = "Results")]
    pub(super) resume: bool,

    /// Steps between states [default: after each look at the validation set, and every ten minutes]
    #[arg(long, value_name = "STEPS", value_parser = at_least_one, help_heading = "Results")]
    pub(super) save_every: Option<usize>,

    /// What weights are stored in: f32, bf16 or f16
    #[arg(long, value_name = "DTYPE", default_value = "f32", help_heading = "Results")]
    pub(super) save_dtype: SavedAs,

    /// Where each step is noted [default: metrics.jsonl in the folder]
    #[arg(long, value_name = "FILE.jsonl", help_heading = "Results")]
    pub(super) metrics: Option<PathBuf>,

    /// Any session option, for reading the data
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    pub(super) set: Vec<(String, String)>,

    /// The table `corpus`, for a query without FROM
    #[arg(long, value_name = "PATH|URL")]
    pub(super) corpus: Option<String>,

    /// Where it is trained: auto, cpu, or, in a build with the feature cuda-training, cuda:N
    #[arg(long, default_value = "auto")]
    pub(super) device: DeviceChoice,

    /// What it computes in: auto, f32 or bf16; the weights themselves are always f32
    #[arg(long, default_value = "auto")]
    pub(super) dtype: DtypeChoice,

    /// No progress bar and no notes on stderr
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// `--aspect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AspectArg {
    Stretch,
    Pad,
}

/// `--optimizer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OptimizerArg {
    Adamw,
    Muon,
}

/// `--clip`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Clip(pub(super) Option<f64>);

impl FromStr for Clip {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<f64>()) {
            ("none", _) => Ok(Self(None)),
            (_, Ok(norm)) if norm > 0. => Ok(Self(Some(norm))),
            _ => Err(format!("expected a number above zero or none, found {text}")),
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number above zero".into()),
    }
}

impl TrainArgs {
    /// The parts that are trained.
    pub(super) fn trained(&self) -> Vec<Part> {
        let of_stage: &[Part] = match self.stage {
            1 => &[Part::Projector],
            _ => &[Part::Projector, Part::Language, Part::Head],
        };
        let is_trained =
            |part: &Part| (of_stage.contains(part) || self.unfreeze.contains(part)) && !self.freeze.contains(part);
        Part::ALL.into_iter().filter(is_trained).collect()
    }
}
