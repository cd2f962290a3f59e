//! What may stand on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tamis_cluster::net::Endpoint;
use tamis_engine::session::SessionSettings;
use tamis_models::{DeviceChoice, DtypeChoice};

use super::eval::EvalArgs;
use super::print::PrintFormat;
use super::server::{ExecutorCommand, SchedulerCommand, ServeArgs};
use super::synth::SynthArgs;
use super::train::TrainArgs;
use super::values::{assignment, choice, model_key};

/// Sieve image-text corpora in SQL, with neural quality models as functions.
#[derive(Debug, Parser)]
#[command(name = "tamis", version, about, max_term_width = 120)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run SQL in this process; without -c or -f: an interactive prompt
    Sql(Box<SqlArgs>),
    /// Measure how well models or columns of scores agree with labels
    Eval(Box<EvalArgs>),
    /// Train a filter of one's own: on captions, then on labelled samples
    Train(Box<TrainArgs>),
    /// Run a whole cluster in this process: scheduler, executor, Flight SQL, REST and metrics at one address
    Serve(Box<ServeArgs>),
    /// Run a cluster's scheduler: it answers clients and hands out their queries' tasks
    Scheduler(Box<SchedulerCommand>),
    /// Run an executor of a cluster: it asks a scheduler for tasks
    Executor(Box<ExecutorCommand>),
    /// Make what a user of a server logs in with
    #[command(subcommand)]
    User(UserCommand),
    /// Look at models
    #[command(subcommand)]
    Model(ModelCommand),
    /// Look at the scores that are remembered, or forget them
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Make samples for training: for each image a text of each of the four levels of quality
    Synth(Box<SynthArgs>),
}

/// `tamis sql`.
#[derive(Debug, Args)]
pub(super) struct SqlArgs {
    /// The statements to run, separated by semicolons
    #[arg(short = 'c', long = "command", value_name = "QUERY", conflicts_with = "file")]
    pub(super) query: Option<String>,

    /// A file of statements to run; - is the standard input
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<String>,

    /// Write the result to a .parquet, .csv, .tsv, .json, .jsonl or .arrow file instead of printing it
    #[arg(short, long, value_name = "PATH|URL")]
    pub(super) output: Option<String>,

    /// How results are printed [default: table on a terminal, ndjson into a pipe]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<FormatArg>,

    /// No progress bar and no notes on stderr
    #[arg(short, long)]
    pub(super) quiet: bool,

    #[command(flatten)]
    pub(super) session: SessionArgs,

    #[command(flatten)]
    pub(super) remote: RemoteArgs,
}

/// Where queries run, if not in this process.
#[derive(Debug, Args)]
pub(super) struct RemoteArgs {
    /// Run on the server at this address instead of in this process
    #[arg(long, value_name = "URL", env = "TAMIS_REMOTE")]
    pub(super) remote: Option<Endpoint>,

    /// Log in on the server by this name; the password comes from TAMIS_PASSWORD
    #[arg(long, value_name = "NAME", env = "TAMIS_USER", requires = "remote")]
    pub(super) user: Option<String>,

    /// The password of --user; from the environment, as flags are seen by others
    #[arg(long, value_name = "PASSWORD", env = "TAMIS_PASSWORD", hide_env_values = true)]
    pub(super) password: Option<String>,

    /// A token, instead of a name and password; from the environment, as flags are seen by others
    #[arg(long, value_name = "TOKEN", env = "TAMIS_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,

    /// The certificate of the authority that has signed the server's [default: those that are widely trusted]
    #[arg(long, value_name = "FILE", env = "TAMIS_TLS_AUTHORITY")]
    pub(super) tls_authority: Option<PathBuf>,
}

/// What concerns the session, not its results.
#[derive(Debug, Args)]
pub(super) struct SessionArgs {
    /// A model's name and where it lies; `unifilter=...` replaces the default model
    #[arg(long, value_name = "NAME=PATH|URL|HUB_ID", value_parser = assignment)]
    model: Vec<(String, String)>,

    /// The table that a query without FROM reads
    #[arg(long, value_name = "PATH|URL")]
    corpus: Option<String>,

    /// Any session option
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,

    /// Where models run: auto, cpu or cuda:N
    #[arg(long, value_parser = choice::<DeviceChoice>)]
    device: Option<String>,

    /// What models compute in: auto, f32, bf16, f16, or int8 (on a CPU)
    #[arg(long, value_parser = choice::<DtypeChoice>)]
    dtype: Option<String>,
}

impl SessionArgs {
    /// The names that models were given, in order.
    pub(super) fn models(&self) -> impl Iterator<Item = &str> {
        self.model.iter().map(|(name, _)| name.as_str())
    }

    /// The settings that these arguments stand for. `--set` comes last: it is the most explicit.
    pub(super) fn settings(&self) -> SessionSettings {
        let mut options = vec![];
        for (name, location) in &self.model {
            options.push((model_key(name), location.clone()));
        }
        options.extend(self.device.iter().map(|device| ("tamis.scoring.device".to_string(), device.clone())));
        options.extend(self.dtype.iter().map(|dtype| ("tamis.scoring.dtype".to_string(), dtype.clone())));
        options.extend(self.set.iter().cloned());
        SessionSettings { options, corpus: self.corpus.clone() }
    }
}

/// `tamis model`.
#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    /// Print a checkpoint's architecture, dtype, size and fingerprint
    Inspect {
        /// A folder, an object-store URL or a hub id; `unifilter` is the default model
        location: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `tamis user`.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Read a password from the standard input and print its hash, for [[users]] in tamis.toml
    Password,
    /// Print a new token and its hash, for [[users]] in tamis.toml
    Token,
}

/// `tamis cache`.
#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// Print where the cache lies, and for each model: fingerprint, entries, size, segments, age
    Info {
        /// The cache's folder or object-store URL [default: the user's cache folder]
        #[arg(long, value_name = "PATH|URL")]
        path: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget the scores of all models, or of one
    Clear {
        /// The cache's folder or object-store URL [default: the user's cache folder]
        #[arg(long, value_name = "PATH|URL")]
        path: Option<String>,
        /// Only the model whose fingerprint begins so; `tamis cache info` lists them
        #[arg(long, value_name = "FINGERPRINT")]
        model: Option<String>,
    },
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    Table,
    Csv,
    Tsv,
    Json,
    Ndjson,
}

impl From<FormatArg> for PrintFormat {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Table => Self::Table,
            FormatArg::Csv => Self::Csv,
            FormatArg::Tsv => Self::Tsv,
            FormatArg::Json => Self::Json,
            FormatArg::Ndjson => Self::Ndjson,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn settings(args: &[&str]) -> SessionSettings {
        let cli = Cli::try_parse_from(["tamis", "sql"].iter().chain(args)).unwrap();
        let Command::Sql(sql) = cli.command else { panic!("not sql") };
        sql.session.settings()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn models_and_devices_become_options_and_set_wins() {
        let settings = settings(&[
            "--model=unifilter=/m/a=b",
            "--model",
            "strict=s3://models/x",
            "--device=cuda:1",
            "--set",
            "tamis.scoring.device=cpu",
        ]);
        let expected = [
            ("tamis.unifilter.model", "/m/a=b"),
            ("tamis.model.strict", "s3://models/x"),
            ("tamis.scoring.device", "cuda:1"),
            ("tamis.scoring.device", "cpu"),
        ];
        assert_eq!(settings.options, expected.map(|(k, v)| (k.to_string(), v.to_string())));
    }

    #[test]
    fn bad_values_are_refused() {
        for args in
            [&["--device", "gpu"][..], &["--dtype", "f8"], &["--set", "x"], &["--model", "=x"], &["-c", "x", "-f", "y"]]
        {
            assert!(Cli::try_parse_from(["tamis", "sql"].iter().chain(args)).is_err(), "{args:?}");
        }
    }
}
