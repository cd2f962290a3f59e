//! What may stand behind `tamis synth`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use tamis_synthesis::duplicates::NEAR;
use tamis_synthesis::split::Shares;

use crate::args::SessionArgs;

/// `tamis synth`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct SynthArgs {
    #[command(subcommand)]
    pub(super) command: Option<SynthCommand>,

    /// The images: a table (path, pattern, URL) or a query; columns: image (and text or facts), or images and texts
    #[arg(long, value_name = "TABLE|QUERY", required = true)]
    pub(super) data: Option<String>,

    /// The .parquet file to write
    #[arg(short, long, value_name = "PATH|URL", required = true)]
    pub(super) output: Option<String>,

    /// What writes the texts
    #[arg(long, required = true)]
    pub(super) provider: Option<ProviderArg>,

    /// Decides every choice
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,

    /// Shares of train, validation and test; near-duplicates stay together
    #[arg(long, value_name = "A,B,C", default_value_t)]
    pub(super) split: Shares,

    /// Images whose perceptual hashes differ in at most so many of 64 bits are near-duplicates
    #[arg(long, value_name = "BITS", default_value_t = NEAR, value_parser = clap::value_parser!(u32).range(0..=16))]
    pub(super) duplicate_distance: u32,

    /// Choose images that are unlike: so many clusters over features of --model's vision tower
    #[arg(long, value_name = "K", requires = "per_cluster", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) clusters: Option<u32>,

    /// and at most so many images of each
    #[arg(long, value_name = "N", requires = "clusters", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) per_cluster: Option<u32>,

    /// Rules: texts of each level and image
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) variants: u32,

    /// Make documents of so many rows each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) documents: Option<u32>,

    /// No notes on stderr
    #[arg(short, long)]
    pub(super) quiet: bool,

    #[command(flatten)]
    pub(super) api: ApiArgs,

    #[command(flatten)]
    pub(super) session: SessionArgs,
}

/// What concerns models behind an API.
#[derive(Debug, Args)]
#[command(next_help_heading = "Providers with a model")]
pub(super) struct ApiArgs {
    /// Where the API is [default: that of the provider]; keys are taken from ANTHROPIC_API_KEY and OPENAI_API_KEY alone
    #[arg(long, value_name = "URL")]
    pub(super) endpoint: Option<String>,

    /// The model, as the provider calls it
    #[arg(long, value_name = "ID")]
    pub(super) provider_model: Option<String>,

    /// Stop before more than this is spent, in US dollars, over all runs of one journal
    #[arg(long, value_name = "USD")]
    pub(super) budget: Option<f64>,

    /// Stop before more tokens than this are used, read and written, over all runs of one journal
    #[arg(long, value_name = "N")]
    pub(super) max_tokens: Option<u64>,

    /// The longest answer that is asked for, in tokens [default: 2048, for documents 8192]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) answer_tokens: Option<u32>,

    /// Price of a million tokens read, in US dollars, where the model's is not known
    #[arg(long, value_name = "USD", requires = "price_out")]
    pub(super) price_in: Option<f64>,

    /// Price of a million tokens written
    #[arg(long, value_name = "USD", requires = "price_in")]
    pub(super) price_out: Option<f64>,

    /// A file with a prompt of your own, in place of ours
    #[arg(long, value_name = "FILE")]
    pub(super) prompt: Option<PathBuf>,

    /// Anthropic: ask in batches, at half the price; answers come within a day
    #[arg(long)]
    pub(super) batch: bool,

    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) concurrency: u32,

    /// How long an answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) timeout: u64,

    /// How often a request is sent that gets no answer, with longer and longer waits
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) tries: u32,

    /// How often a row is asked about whose answers cannot be used
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) attempts: u32,

    /// How often a batch is asked how it stands, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) poll: u64,

    /// Where answers are kept as they come [default: OUTPUT.journal]
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<PathBuf>,

    /// Go on with a journal that is there: what has an answer is not asked again
    #[arg(long)]
    pub(super) resume: bool,

    /// Ask nothing; tell how many requests, tokens and dollars it would take
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// `--provider`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProviderArg {
    /// No model: true texts or facts are made wrong
    Rules,
    /// The Messages API, or Message Batches
    Anthropic,
    /// Any endpoint with chat completions: vLLM, SGLang, Ollama, OpenAI
    #[value(name = "openai")]
    OpenAi,
}

/// `tamis synth ...`.
#[derive(Debug, Subcommand)]
pub(super) enum SynthCommand {
    /// Print statistics of the levels of a file of samples, and draw a contact sheet of some
    Inspect {
        /// A file of samples, or a query that gives some
        samples: String,
        /// Draw a contact sheet into this PNG file
        #[arg(short, long, value_name = "FILE.png")]
        output: Option<PathBuf>,
        /// Samples of each level on the sheet
        #[arg(long, value_name = "N", default_value_t = 6)]
        each: usize,
        /// Which samples are drawn
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
