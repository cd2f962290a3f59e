//! The arguments of `tamis eval`.

use std::path::PathBuf;

use clap::Args;

use crate::args::SessionArgs;

/// `tamis eval`.
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// The labelled rows: a query, or a table (a path, a pattern, a URL or `corpus`)
    #[arg(long, value_name = "TABLE|QUERY")]
    pub(super) data: String,

    /// A column of scores to evaluate; repeatable. With --model each model is evaluated, too
    #[arg(long, value_name = "COLUMN")]
    pub(super) score: Vec<String>,

    /// The column of labels, whole numbers from 0 to 3 [default: level, else label]
    #[arg(long, value_name = "COLUMN")]
    pub(super) label: Option<String>,

    /// Also evaluate the rows of each value of this column
    #[arg(long, value_name = "COLUMN")]
    pub(super) by: Option<String>,

    /// How many resamples the intervals are made of; 0 for none
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(super) resamples: u32,

    /// What the resamples follow from: the same seed gives the same intervals
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,

    /// Print JSON instead of Markdown
    #[arg(long)]
    pub(super) json: bool,

    /// Also write report.md, report.json and pictures (SVG) to this folder
    #[arg(short, long, value_name = "DIR")]
    pub(super) output: Option<PathBuf>,

    /// No progress bar and no notes on stderr
    #[arg(short, long)]
    pub(super) quiet: bool,

    #[command(flatten)]
    pub(super) session: SessionArgs,
}
