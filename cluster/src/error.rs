//! What can go wrong with a cluster.

use std::error::Error;
use std::path::PathBuf;

use datafusion::error::DataFusionError;
use tamis_engine::EngineError;
use tamis_engine::statements::StatementError;
use tamis_files::describe::causes;

use crate::access::AccessError;
use crate::net::NetError;
use crate::secret::SecretError;

/// Why a cluster's process could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// A session cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The network cannot be used.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The users or the cluster's secret cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// An executor's folder cannot be used.
    #[error("using {path} for results: {source}", path = path.display())]
    WorkDir {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another process of the cluster did not answer as it should.
    #[error("{doing} {address}: {}", causes(.source.as_ref()))]
    Unanswered {
        /// What was being done.
        doing: &'static str,
        /// With which process.
        address: String,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A server answered with an error.
    #[error("{message}")]
    Remote {
        /// What it said.
        message: String,
    },
    /// Values for a query's parameters do not fit it.
    #[error("binding parameters: {0}")]
    Parameters(String),
    /// A part of the process ended without a result.
    #[error("a part of the process failed: {0}")]
    Task(#[source] tokio::task::JoinError),
}

impl From<DataFusionError> for ClusterError {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<StatementError> for ClusterError {
    fn from(error: StatementError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<SecretError> for ClusterError {
    fn from(error: SecretError) -> Self {
        Self::Access(error.into())
    }
}

impl ClusterError {
    /// Whether the command line or the configuration is at fault.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_usage(),
            Self::Access(_) => true,
            Self::Net(error) => matches!(error, NetError::Tls(_)),
            _ => false,
        }
    }

    /// Whether another process of the cluster cannot be reached, which may pass.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unanswered { .. } | Self::Net(NetError::Endpoint { .. }))
    }

    /// What went wrong with another process of the cluster.
    pub(crate) fn unanswered(
        doing: &'static str,
        address: &str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unanswered { doing, address: address.to_string(), source: source.into() }
    }
}
