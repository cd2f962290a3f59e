//! The `tamis` command: arguments, the prompt, results on the terminal, servers. clap is used here and nowhere else.

mod args;
mod cache;
mod error;
mod eval;
mod log;
mod model;
mod print;
mod progress;
mod prompt;
mod remembered;
mod remote;
mod run;
mod server;
mod sql;
mod synth;
mod train;
mod user;
mod values;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use args::{Cli, Command};
use error::CommandError;
use log::LogFormat;

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
    let is_server = matches!(cli.command, Command::Serve(_) | Command::Scheduler(_) | Command::Executor(_));
    if !is_server {
        log::to_stderr(log::Level::Command, LogFormat::Text);
    }
    let result = match cli.command {
        Command::Sql(args) => sql::run(*args),
        Command::Eval(args) => eval::run(*args),
        Command::Train(args) => train::run(*args),
        Command::Serve(args) => server::serve(*args),
        Command::Scheduler(args) => server::scheduler(*args),
        Command::Executor(args) => server::executor(*args),
        Command::User(command) => user::run(&command),
        Command::Model(command) => model::run(&command),
        Command::Cache(command) => cache::run(command),
        Command::Synth(args) => synth::run(*args),
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

/// Runs a command's async part on a runtime of its own. Threads that still compute when it ends do not hold up the exit.
fn block_on<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandError::Runtime)?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}
