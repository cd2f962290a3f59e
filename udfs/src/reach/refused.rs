//! What a session is told that may not reach something.

use datafusion::error::DataFusionError;

use crate::shown;

/// What may not be reached, and what to do about it. It does not tell whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A file, a folder or a URL may not be read.
    #[error("reading {}: you may not read there; ask an operator for [access] read", shown::name(name))]
    Read {
        /// What was asked for.
        name: String,
    },
    /// A file or a URL may not be written.
    #[error("writing {}: you may not write there; ask an operator for [access] write", shown::name(name))]
    Write {
        /// What was asked for.
        name: String,
    },
    /// A model may be named by a name of the server's alone.
    #[error(
        "model {}: you may run models that the server has a name for, and this is none; ask an operator for a name in \
         [models], or for [access] models = \"any\"",
        shown::name(name)
    )]
    Model {
        /// What was asked for.
        name: String,
    },
}

impl From<Refused> for DataFusionError {
    fn from(refused: Refused) -> Self {
        Self::External(Box::new(refused))
    }
}

impl Refused {
    /// The refusal that is at the root of an error.
    pub fn of(error: &DataFusionError) -> Option<&Self> {
        match error.find_root() {
            DataFusionError::External(inner) => inner.downcast_ref(),
            _ => None,
        }
    }
}
