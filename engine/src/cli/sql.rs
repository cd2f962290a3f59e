//! `tamis sql`.

use std::io::{IsTerminal, Read};

use super::args::SqlArgs;
use super::cache;
use super::run::{Runner, interruptible};
use super::{Ending, block_on, remote};
use crate::error::EngineError;
use crate::output::{BinaryForm, FileOutput, PrintFormat};
use crate::session::Session;

/// The session option that says where scores are remembered.
const CACHE_PATH: &str = "tamis.cache.path";

/// Runs `tamis sql ...`.
pub(super) fn run(args: SqlArgs) -> Result<Ending, EngineError> {
    let output = args.output.as_deref().map(FileOutput::parse).transpose()?;
    let is_terminal = std::io::stdout().is_terminal();
    let format = match args.format {
        Some(format) => format.into(),
        None if is_terminal => PrintFormat::Table,
        None => PrintFormat::Ndjson,
    };
    let form = if is_terminal { BinaryForm::Short } else { BinaryForm::Base64 };
    let script = script(&args)?;
    if let Some(server) = &args.remote.remote {
        let script = script.ok_or_else(|| {
            EngineError::Config("the prompt runs in this process only: with --remote, give -c or -f".into())
        })?;
        let printing = remote::Printing { format, form, is_quiet: args.quiet };
        return remote::run(server.clone(), &args, script, output, printing);
    }
    block_on(async move {
        let mut settings = args.session.settings();
        if let Some(path) = cache::default_path() {
            // In front of all that the user has said.
            settings.options.insert(0, (CACHE_PATH.to_string(), path));
        }
        let Some(session) = interruptible(async move { Session::open(&settings).await }).await? else {
            return Ok(Ending::Interrupted);
        };
        let runner = Runner { session, format, form, is_quiet: args.quiet };
        match script {
            Some(script) => {
                let done = interruptible(async move { runner.run(&script, output.as_ref()).await }).await?;
                Ok(done.map_or(Ending::Interrupted, |_| Ending::Done))
            }
            None => super::prompt::run(runner).await,
        }
    })
}

/// The statements to run; `None` asks for the prompt.
fn script(args: &SqlArgs) -> Result<Option<String>, EngineError> {
    if let Some(query) = &args.query {
        return Ok(Some(query.clone()));
    }
    let unreadable = |path: &str| {
        let path = path.to_string();
        move |source| EngineError::Script { path, source }
    };
    match args.file.as_deref() {
        Some(path) if path != "-" => std::fs::read_to_string(path).map(Some).map_err(unreadable(path)),
        None if std::io::stdin().is_terminal() => Ok(None),
        _ => {
            let mut script = String::new();
            std::io::stdin().read_to_string(&mut script).map_err(unreadable("the standard input"))?;
            Ok(Some(script))
        }
    }
}
