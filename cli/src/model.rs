//! `tamis model`.

use std::io::Write;

use tamis_engine::session::{Session, SessionSettings};
use tamis_models::checkpoint::{Location, inspect};

use super::args::ModelCommand;
use super::error::CommandError;
use super::{Ending, block_on};

/// Runs `tamis model ...`.
pub(super) fn run(command: &ModelCommand) -> Result<Ending, CommandError> {
    match command {
        ModelCommand::Inspect { location, json } => {
            let inspection = inspect(&Location::parse(&resolve(location)?)?)?;
            let text = if *json {
                serde_json::to_string_pretty(&inspection).map_err(|e| CommandError::Print(e.into()))?
            } else {
                inspection.to_string()
            };
            writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(CommandError::Print)?;
            Ok(Ending::Done)
        }
    }
}

/// `unifilter` names the session's default model; anything else is a location.
fn resolve(name: &str) -> Result<String, CommandError> {
    if name != "unifilter" {
        return Ok(name.to_string());
    }
    let session = block_on(async { Ok(Session::open(&SessionSettings::default()).await?) })?;
    Ok(session.option("tamis.unifilter.model").unwrap_or_default())
}
