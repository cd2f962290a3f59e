//! What may stand on the command lines of servers. Each flag can be an environment variable and a key of the configuration
//! file too.

use std::path::PathBuf;

use clap::Args;

use super::config::Config;
use crate::error::CommandError;
use crate::log::LogFormat;
use crate::values::{assignment, choice, model_key};
use tamis_cluster::access::Secret;
use tamis_models::{DeviceChoice, DtypeChoice};

/// What all servers have.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CommonArgs {
    /// The configuration file [default: tamis.toml in this folder, if there is one]
    #[arg(long, value_name = "FILE", env = "TAMIS_CONFIG")]
    config: Option<PathBuf>,

    /// Print the configuration that comes of file, environment and flags, without its secrets, and end
    #[arg(long)]
    pub(super) print_config: bool,

    /// A model's name and where it lies; `unifilter=...` replaces the default model [env: TAMIS_MODEL, separated by commas]
    #[arg(long, value_name = "NAME=PATH|URL|HUB_ID", value_parser = assignment)]
    model: Vec<(String, String)>,

    /// Any session option: what every session begins with [env: TAMIS_SET, separated by commas]
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,

    /// Where models run: auto, cpu or cuda:N
    #[arg(long, value_parser = choice::<DeviceChoice>, env = "TAMIS_DEVICE")]
    device: Option<String>,

    /// What models compute in: auto, f32, bf16, f16, or int8 (on a CPU)
    #[arg(long, value_parser = choice::<DtypeChoice>, env = "TAMIS_DTYPE")]
    dtype: Option<String>,

    /// Bytes that sorts, joins and aggregates may take in this process before they spill [default: unbounded]
    #[arg(long, value_name = "BYTES", env = "TAMIS_MEMORY")]
    memory: Option<usize>,

    /// Listen at an address that others reach though nobody is asked for credentials
    #[arg(long, env = "TAMIS_INSECURE", num_args = 0..=1, default_missing_value = "true")]
    insecure: Option<bool>,

    /// Seconds that queries or tasks have to end after SIGTERM [default: 60]
    #[arg(long, value_name = "SECONDS", env = "TAMIS_DRAIN")]
    drain: Option<u64>,

    /// How logs are written to stderr [default: text]
    #[arg(long, value_name = "FORMAT", env = "TAMIS_LOG_FORMAT")]
    log_format: Option<LogFormat>,

    /// The certificate chain that this process shows, a PEM file: connections are encrypted
    #[arg(long, value_name = "FILE", env = "TAMIS_TLS_CERTIFICATE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// Its key, a PEM file
    #[arg(long, value_name = "FILE", env = "TAMIS_TLS_KEY", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,

    /// The certificate of the authority of the cluster's own certificates: its processes show theirs to each other
    #[arg(long, value_name = "FILE", env = "TAMIS_TLS_AUTHORITY")]
    tls_authority: Option<PathBuf>,

    /// What all processes of the cluster know; from the environment, as flags are seen by others
    #[arg(long = "cluster-secret", value_name = "SECRET", env = "TAMIS_CLUSTER_SECRET", hide_env_values = true)]
    secret: Option<String>,
}

/// What a scheduler has.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SchedulerArgs {
    /// Where clients and executors find the server [default: 127.0.0.1:50050]
    #[arg(long, value_name = "ADDR:PORT", env = "TAMIS_BIND")]
    bind: Option<String>,

    /// A table that every session knows, and where it lies; `corpus` is what a query without FROM reads [env:
    /// TAMIS_TABLE, separated by commas]
    #[arg(long, value_name = "NAME=PATH|URL", value_parser = assignment)]
    table: Vec<(String, String)>,

    /// Seconds after which a query that nobody fetches from is ended [default: 600]
    #[arg(long, value_name = "SECONDS", env = "TAMIS_KEEP_RESULTS")]
    keep_results: Option<u64>,

    /// Seconds after which a user has to log in again [default: 43200]
    #[arg(long, value_name = "SECONDS", env = "TAMIS_SESSION")]
    session: Option<u64>,
}

/// What an executor has.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ExecutorArgs {
    /// How many tasks run at once [default: the number of processors]
    #[arg(long, value_name = "N", env = "TAMIS_SLOTS")]
    slots: Option<usize>,

    /// Where rows of tasks lie until they are read, and what spills [default: a temporary folder]
    #[arg(long, value_name = "PATH", env = "TAMIS_WORK_DIR")]
    work_dir: Option<PathBuf>,
}

/// `tamis serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(super) scheduler: SchedulerArgs,
    #[command(flatten)]
    pub(super) executor: ExecutorArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// `tamis scheduler`.
#[derive(Debug, Args)]
pub(crate) struct SchedulerCommand {
    #[command(flatten)]
    pub(super) scheduler: SchedulerArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// `tamis executor`.
#[derive(Debug, Args)]
pub(crate) struct ExecutorCommand {
    /// Where the scheduler is [default: http://127.0.0.1:50050]
    #[arg(long, value_name = "URL", env = "TAMIS_SCHEDULER")]
    scheduler: Option<String>,

    /// Where the scheduler and the other executors find this one: an address, or ADDR:PORT [default: 127.0.0.1, a free port]
    #[arg(long, value_name = "ADDR[:PORT]", env = "TAMIS_BIND")]
    bind: Option<String>,

    /// The name or address under which they find it [default: the one of --bind]
    #[arg(long, value_name = "HOST", env = "TAMIS_ADVERTISE")]
    advertise: Option<String>,

    #[command(flatten)]
    executor: ExecutorArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// The assignments of an environment variable. A value with a comma goes into a flag or the file.
fn from_environment(name: &str) -> Result<Vec<(String, String)>, CommandError> {
    let text = std::env::var(name).unwrap_or_default();
    let parts = text.split(',').filter(|part| !part.trim().is_empty());
    parts.map(|part| assignment(part).map_err(|e| CommandError::Usage(format!("{name}: {part}: {e}")))).collect()
}

/// What is given now, or else what was there.
fn over<T>(given: Option<T>, place: &mut Option<T>) {
    if given.is_some() {
        *place = given;
    }
}

impl CommonArgs {
    /// The configuration file's content.
    fn file(&self) -> Result<Config, CommandError> {
        match &self.config {
            Some(path) => Config::read(path),
            None => {
                let path = PathBuf::from("tamis.toml");
                if path.exists() { Config::read(&path) } else { Ok(Config::default()) }
            }
        }
    }

    fn apply(self, config: &mut Config) -> Result<(), CommandError> {
        config.models.extend(from_environment("TAMIS_MODEL")?);
        config.models.extend(self.model);
        for (key, value) in from_environment("TAMIS_SET")?.into_iter().chain(self.set) {
            // A model that an option names comes before the one of a name: the last one said counts.
            config.models.retain(|name, _| model_key(name) != key);
            config.options.insert(key, toml::Value::String(value));
        }
        for (key, value) in [("tamis.scoring.device", self.device), ("tamis.scoring.dtype", self.dtype)] {
            if let Some(value) = value {
                config.options.insert(key.into(), toml::Value::String(value));
            }
        }
        over(self.memory, &mut config.memory);
        over(self.insecure, &mut config.insecure);
        over(self.drain, &mut config.drain);
        over(self.log_format, &mut config.log_format);
        over(self.tls_certificate, &mut config.tls.certificate);
        over(self.tls_key, &mut config.tls.key);
        over(self.tls_authority, &mut config.tls.authority);
        let secret = self.secret.map(|secret| Secret::new(&secret)).transpose()?;
        over(secret, &mut config.cluster.secret);
        Ok(())
    }
}

impl SchedulerArgs {
    fn apply(self, config: &mut Config) -> Result<(), CommandError> {
        over(self.bind, &mut config.bind);
        over(self.keep_results, &mut config.keep_results);
        over(self.session, &mut config.session);
        config.tables.extend(from_environment("TAMIS_TABLE")?);
        config.tables.extend(self.table);
        Ok(())
    }
}

impl ExecutorArgs {
    fn apply(self, config: &mut Config) {
        over(self.slots, &mut config.slots);
        over(self.work_dir, &mut config.work_dir);
    }
}

impl ServeArgs {
    /// The configuration that comes of file, environment and flags.
    pub(super) fn config(self) -> Result<Config, CommandError> {
        let mut config = self.common.file()?;
        self.scheduler.apply(&mut config)?;
        self.executor.apply(&mut config);
        self.common.apply(&mut config)?;
        Ok(config)
    }
}

impl SchedulerCommand {
    /// The configuration that comes of file, environment and flags.
    pub(super) fn config(self) -> Result<Config, CommandError> {
        let mut config = self.common.file()?;
        self.scheduler.apply(&mut config)?;
        self.common.apply(&mut config)?;
        Ok(config)
    }
}

impl ExecutorCommand {
    /// The configuration that comes of file, environment and flags.
    pub(super) fn config(self) -> Result<Config, CommandError> {
        let mut config = self.common.file()?;
        over(self.scheduler, &mut config.scheduler);
        over(self.bind, &mut config.bind);
        over(self.advertise, &mut config.advertise);
        self.executor.apply(&mut config);
        self.common.apply(&mut config)?;
        Ok(config)
    }
}
