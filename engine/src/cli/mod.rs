//! The `tamis` command line. clap is used here and nowhere else.

mod args;
mod cache;
mod model;
mod progress;
mod prompt;
mod run;
mod sql;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::error::EngineError;
use args::{Cli, Command};

/// The query was interrupted by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// How long the exit may wait for the scores of the last seconds to be written: where they cannot be, they are lost.
const FLUSH: Duration = Duration::from_secs(5);
/// The same after Ctrl-C, which ends a query within a second.
const FLUSH_INTERRUPTED: Duration = Duration::from_millis(300);

/// How a command ended, short of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Done,
    Interrupted,
}

/// Parses the command line and runs it. Exit status: 0, 1 (the query failed), 2 (bad usage), 130 (interrupted).
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    let result = match cli.command {
        Command::Sql(args) => sql::run(*args),
        Command::Model(command) => model::run(&command),
        Command::Cache(command) => cache::run(command),
    };
    tamis_udfs::cache::flush(match result {
        Ok(Ending::Interrupted) => FLUSH_INTERRUPTED,
        _ => FLUSH,
    });
    match result {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

/// Warnings read like the error line; `RUST_LOG` asks for more.
fn log_to_stderr() {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn"))
        .format(|stderr, record| {
            let level = match record.level() {
                log::Level::Error => "error",
                log::Level::Warn => "warning",
                log::Level::Info => "info",
                log::Level::Debug => "debug",
                log::Level::Trace => "trace",
            };
            writeln!(stderr, "{level}: {}", record.args())
        })
        .init();
}

/// Runs a command's async part on a runtime of its own. Threads that still compute when it ends do not hold up the exit.
fn block_on<T>(work: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(EngineError::Runtime)?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}
