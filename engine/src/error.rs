//! What can go wrong in a session.

use datafusion::error::DataFusionError;
use tamis_files::describe::{Place, describe, message};

use crate::statements::{self, StatementError};

/// Why a session could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A query could not be parsed, planned or run.
    #[error("{}", message(.0))]
    Query(#[source] Box<DataFusionError>),
    /// A statement is not one that can be run.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// An error whose place in the SQL text was found afterwards.
    #[error("{place}: {source}")]
    At {
        /// Where the statement is wrong.
        place: Place,
        /// What is wrong.
        #[source]
        source: Box<EngineError>,
    },
    /// A session option was refused.
    #[error("option {key}={value}: {}", describe(.source).1)]
    Option {
        /// The option's name.
        key: String,
        /// The value that was given.
        value: String,
        /// Why it was refused.
        #[source]
        source: Box<DataFusionError>,
    },
    /// The corpus cannot be read.
    #[error("corpus {location}: {}", describe(.source).1)]
    Corpus {
        /// The corpus as the user named it.
        location: String,
        /// Why it cannot be read.
        #[source]
        source: Box<DataFusionError>,
    },
    /// A stand-in for a model was named in a way that is not understood.
    #[error("{key}={place}: expected stand-in://300ms, or another time")]
    StandIn {
        /// The option that names it.
        key: String,
        /// What it names.
        place: String,
    },
    /// A model could not be loaded.
    #[error(transparent)]
    Model(#[from] tamis_models::LoadError),
}

impl EngineError {
    /// Whether the command line is at fault, not the query.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Option { .. } | Self::StandIn { .. })
    }

    /// Adds the place in `sql` to a planning error that came without one.
    pub fn locate(self, sql: &str) -> Self {
        let Self::Query(source) = &self else { return self };
        let (None, message) = describe(source) else { return self };
        match statements::locate(sql, &message) {
            Some(place) => Self::At { place, source: Box::new(self) },
            None => self,
        }
    }
}

impl From<DataFusionError> for EngineError {
    fn from(error: DataFusionError) -> Self {
        Self::Query(Box::new(error))
    }
}
