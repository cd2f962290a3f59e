//! `tamis sql`.

use std::io::{IsTerminal, Read};

use tamis_engine::session::Session;
use tamis_files::output::{BinaryForm, FileOutput};

use super::args::SqlArgs;
use super::error::CommandError;
use super::print::PrintFormat;
use super::run::{Runner, interruptible};
use super::{Ending, block_on, remembered, remote};

/// Runs `tamis sql ...`.
pub(super) fn run(args: SqlArgs) -> Result<Ending, CommandError> {
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
            CommandError::Usage("the prompt runs in this process only: with --remote, give -c or -f".into())
        })?;
        let printing = remote::Printing { format, form, is_quiet: args.quiet };
        return remote::run(server.clone(), &args, script, output, printing);
    }
    block_on(async move {
        let mut settings = args.session.settings();
        settings.options.splice(0..0, remembered::option());
        let Some(session) = interruptible(async move { Ok(Session::open(&settings).await?) }).await? else {
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
fn script(args: &SqlArgs) -> Result<Option<String>, CommandError> {
    if let Some(query) = &args.query {
        return Ok(Some(query.clone()));
    }
    let unreadable = |path: &str| {
        let path = path.to_string();
        move |source| CommandError::Script { path, source }
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
