//! `tamis model`.

use std::io::Write;

use tamis_models::checkpoint::{Location, inspect};

use super::args::ModelCommand;
use super::{Ending, block_on};
use crate::error::EngineError;
use crate::session::{Session, SessionSettings};

/// Runs `tamis model ...`.
pub(super) fn run(command: &ModelCommand) -> Result<Ending, EngineError> {
    match command {
        ModelCommand::Inspect { location, json } => {
            let inspection = inspect(&Location::parse(&resolve(location)?)?)?;
            let text = if *json {
                serde_json::to_string_pretty(&inspection).map_err(|e| EngineError::Print(e.into()))?
            } else {
                inspection.to_string()
            };
            writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(EngineError::Print)?;
            Ok(Ending::Done)
        }
    }
}

/// `unifilter` names the session's default model; anything else is a location.
fn resolve(name: &str) -> Result<String, EngineError> {
    if name != "unifilter" {
        return Ok(name.to_string());
    }
    let session = block_on(Session::open(&SessionSettings::default()))?;
    Ok(session.option("tamis.unifilter.model").unwrap_or_default())
}
