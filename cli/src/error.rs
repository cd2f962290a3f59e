//! What can go wrong with a command.

use std::error::Error;
use std::io;

use datafusion::error::DataFusionError;
use tamis_cluster::ClusterError;
use tamis_cluster::access::{AccessError, SecretError};
use tamis_cluster::net::{NetError, TlsError};
use tamis_engine::EngineError;
use tamis_engine::statements::StatementError;
use tamis_files::output::WriteError;

use super::eval::EvalError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CommandError {
    /// A query or its session failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A process of a cluster failed, or does not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A result could not be written.
    #[error("{0}")]
    Write(#[source] WriteError),
    /// Several results for one file.
    #[error("more than one of the statements gives rows, and --output holds one result; keep one of them")]
    SeveralOutputs,
    /// No result for the file.
    #[error("none of the statements gives rows: nothing to write to {location}")]
    NoOutput {
        /// The output as the user named it.
        location: String,
    },
    /// The result could not be printed.
    #[error("writing the result: {0}")]
    Print(#[source] io::Error),
    /// A file of SQL could not be read.
    #[error("reading {path}: {source}")]
    Script {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The prompt could not be set up.
    #[error("the prompt failed: {0}")]
    Prompt(#[source] rustyline::error::ReadlineError),
    /// A model could not be inspected.
    #[error(transparent)]
    Model(#[from] tamis_models::LoadError),
    /// The score cache could not be looked at or emptied.
    #[error(transparent)]
    Cache(#[from] tamis_udfs::cache::CacheError),
    /// A model could not be trained.
    #[error(transparent)]
    Training(#[from] tamis_training::TrainingError),
    /// Scores could not be evaluated.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// Samples could not be made.
    #[error(transparent)]
    Synthesis(#[from] tamis_synthesis::SynthesisError),
    /// A file of the command's own could not be written.
    #[error("writing {}: {source}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Images could not be put aside while samples are made.
    #[error("putting images aside in {}: {source}", folder.display())]
    Spool {
        /// The folder.
        folder: std::path::PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A task of the query ended without a result.
    #[error("{0}")]
    Task(String),
    /// The command line or the configuration cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The async runtime could not be started.
    #[error("starting threads: {0}")]
    Runtime(#[source] io::Error),
}

impl CommandError {
    /// Whether the command line is at fault, not the query.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_usage(),
            Self::Cluster(error) => error.is_usage(),
            Self::Eval(error) => error.is_usage(),
            Self::Training(error) => error.is_usage(),
            Self::Synthesis(error) => error.is_usage(),
            Self::Write(WriteError::Format { .. }) | Self::Usage(_) => true,
            _ => false,
        }
    }

    /// Whether the reader of our output has gone (`| head`), which is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// Adds the place in `sql` to a planning error that came without one.
    pub(crate) fn locate(self, sql: &str) -> Self {
        match self {
            Self::Engine(error) => Self::Engine(error.locate(sql)),
            error => error,
        }
    }
}

impl From<DataFusionError> for CommandError {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<WriteError> for CommandError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Query(source) => Self::Engine(EngineError::Query(source)),
            error => Self::Write(error),
        }
    }
}

impl From<StatementError> for CommandError {
    fn from(error: StatementError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<AccessError> for CommandError {
    fn from(error: AccessError) -> Self {
        Self::Cluster(error.into())
    }
}

impl From<SecretError> for CommandError {
    fn from(error: SecretError) -> Self {
        AccessError::from(error).into()
    }
}

impl From<TlsError> for CommandError {
    fn from(error: TlsError) -> Self {
        Self::Cluster(NetError::from(error).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_found_below_other_errors() {
        let error = CommandError::Print(io::ErrorKind::BrokenPipe.into());
        assert!(error.is_broken_pipe());
        assert!(!CommandError::SeveralOutputs.is_broken_pipe());
    }

    #[test]
    fn an_unknown_extension_is_bad_usage() {
        let error = tamis_files::output::FileOutput::parse("out.xlsx").unwrap_err();
        assert!(CommandError::from(error).is_usage());
    }
}
