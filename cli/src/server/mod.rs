//! `tamis serve`, `tamis scheduler`, `tamis executor`.

mod args;
mod config;
mod settings;

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use tamis_cluster::{executor, server};
use tokio::signal::unix::{SignalKind, signal};

use super::{Ending, block_on, log};
use crate::error::CommandError;
pub(super) use args::{ExecutorCommand, SchedulerCommand, ServeArgs};
use config::Config;
pub(super) use settings::client_tls;
use settings::{Role, Server};

/// What has been cancelled ends within this time.
const MOMENT: Duration = Duration::from_secs(2);
/// An executor that the scheduler has given up begins again after this time, and so does one that does not find it.
const BEFORE_NEXT_TRY: Duration = Duration::from_secs(1);

/// Runs `tamis serve ...`.
pub(super) fn serve(args: ServeArgs) -> Result<Ending, CommandError> {
    let prints = args.common.print_config;
    run(args.config()?, prints, Role::Both, |server| async move {
        let mut end = Signals::new()?;
        let mut scheduler = server::start(server.scheduler()?).await?;
        let own = scheduler.for_own_executor().clone();
        let executor = executor::start(&server.own_executor(&own)?).await?;
        // The executor asks at once when there is work; it need not be told over the network.
        scheduler.wakes(executor.wake());
        ready(&scheduler.address.to_string(), server.is_tls());
        tokio::select! {
            failed = scheduler.failed() => return Ok(failed?),
            () = end.received() => {}
        }
        scheduler.drain(server.drain()).await;
        // Nothing runs any more that anybody waits for.
        executor.drain(MOMENT).await;
        scheduler.end().await;
        Ok(())
    })
}

/// Runs `tamis scheduler ...`.
pub(super) fn scheduler(args: SchedulerCommand) -> Result<Ending, CommandError> {
    let prints = args.common.print_config;
    run(args.config()?, prints, Role::Scheduler, |server| async move {
        let mut end = Signals::new()?;
        let mut scheduler = server::start(server.scheduler()?).await?;
        ready(&scheduler.address.to_string(), server.is_tls());
        tokio::select! {
            failed = scheduler.failed() => return Ok(failed?),
            () = end.received() => {}
        }
        scheduler.drain(server.drain()).await;
        scheduler.end().await;
        Ok(())
    })
}

/// Runs `tamis executor ...`.
pub(super) fn executor(args: ExecutorCommand) -> Result<Ending, CommandError> {
    let prints = args.common.print_config;
    run(args.config()?, prints, Role::Executor, |server| async move {
        let mut end = Signals::new()?;
        let settings = server.executor()?;
        let mut was_told = false;
        loop {
            let started = tokio::select! {
                started = executor::start(&settings) => started,
                () = end.received() => return Ok(()),
            };
            let executor = match started {
                Ok(executor) => executor,
                // The scheduler may come, or come back.
                Err(error) if error.is_unreachable() => {
                    if !std::mem::replace(&mut was_told, true) {
                        ::log::warn!("{error}; trying again until it is there");
                    }
                    tokio::select! {
                        () = tokio::time::sleep(BEFORE_NEXT_TRY) => continue,
                        () = end.received() => return Ok(()),
                    }
                }
                Err(error) => return Err(error.into()),
            };
            was_told = false;
            tokio::select! {
                () = executor.given_up() => executor.end(),
                () = end.received() => {
                    executor.drain(server.drain()).await;
                    return Ok(());
                }
            }
            tokio::time::sleep(BEFORE_NEXT_TRY).await;
        }
    })
}

/// Runs a server with a configuration, or prints it.
fn run<W: Future<Output = Result<(), CommandError>>>(
    config: Config,
    prints: bool,
    role: Role,
    work: impl FnOnce(Server) -> W,
) -> Result<Ending, CommandError> {
    if prints {
        write!(std::io::stdout(), "{}", config.shown()?).map_err(CommandError::Print)?;
        return Ok(Ending::Done);
    }
    take_into_environment(&config)?;
    log::to_stderr(log::Level::Server, config.log_format.unwrap_or_default());
    let server = Server::new(config, role)?;
    block_on(work(server))?;
    Ok(Ending::Done)
}

/// What opens object stores is looked for in the environment, by everything that opens one. What the file says of it is
/// put there, where the environment does not say otherwise: the process begins again with it.
fn take_into_environment(config: &Config) -> Result<(), CommandError> {
    let missing: Vec<_> = config.stores.iter().filter(|(key, _)| std::env::var_os(key).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(CommandError::Runtime)?;
    let mut again = std::process::Command::new(program);
    again.args(std::env::args_os().skip(1)).envs(missing);
    // It returns only if it fails.
    Err(CommandError::Runtime(again.exec()))
}

/// Tells whoever waits for it that the server answers.
fn ready(address: &str, is_tls: bool) {
    let scheme = if is_tls { "https" } else { "http" };
    ::log::info!("ready: listening at {scheme}://{address}");
}

/// SIGTERM and Ctrl-C.
struct Signals {
    term: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, CommandError> {
        Ok(Self { term: signal(SignalKind::terminate()).map_err(CommandError::Runtime)? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
}
