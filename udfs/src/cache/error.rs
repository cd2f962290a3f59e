//! What can go wrong with a cache. A query never fails for it; the `tamis cache` command shows it.

use std::path::PathBuf;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;

/// Why a cache could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// `tamis.cache.path` names no place that can hold a cache.
    #[error("score cache {place}: {reason}; give a folder, or a URL under s3://, gs:// or az://")]
    Place {
        /// The place as the user named it.
        place: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// A file could not be read or mapped.
    #[error("score cache: reading {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The store refused or did not answer.
    #[error("score cache {place}: {action}: {source}")]
    Store {
        /// The place as the user named it.
        place: String,
        /// What was being done.
        action: &'static str,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// The store did not answer in time.
    #[error("score cache {place}: {action} took longer than {seconds} s")]
    Slow {
        /// The place as the user named it.
        place: String,
        /// What was being done.
        action: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// A segment's content is not what its name says.
    #[error("score cache: {segment} is damaged ({reason})")]
    Damaged {
        /// The segment.
        segment: String,
        /// How one can tell.
        reason: String,
    },
    /// A segment could not be encoded.
    #[error("score cache: writing a segment: {0}")]
    Encode(#[source] ArrowError),
    /// No model, or several, have a fingerprint that begins so.
    #[error(
        "score cache {place}: {found} models have a fingerprint that begins with {prefix}; `tamis cache info` lists them"
    )]
    Prefix {
        /// The place as the user named it.
        place: String,
        /// What was given.
        prefix: String,
        /// How many models match.
        found: usize,
    },
    /// The cache is turned off.
    #[error("the score cache is off; set tamis.cache.path to a folder or an object-store URL")]
    Off,
}

impl CacheError {
    /// Whether a segment is gone, as after another process has merged or evicted it.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Read { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            Self::Store { source, .. } => matches!(source, object_store::Error::NotFound { .. }),
            _ => false,
        }
    }

    /// Whether a segment's content is at fault, not the way to it.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

impl From<CacheError> for DataFusionError {
    fn from(error: CacheError) -> Self {
        Self::External(Box::new(error))
    }
}
