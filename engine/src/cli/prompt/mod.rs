//! The interactive prompt.
use super::Ending;
use super::run::Runner;
use crate::error::EngineError;
/// Runs it.
pub(super) async fn run(_runner: Runner) -> Result<Ending, EngineError> {
    Ok(Ending::Done)
}
