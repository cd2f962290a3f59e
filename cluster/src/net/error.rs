//! Why the network cannot be used.

use std::error::Error;

use tamis_files::describe::causes;

use super::tls::TlsError;

/// Why the network cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// A server's address cannot be listened at.
    #[error("listening at {address}: {source}; choose another with --bind")]
    Bind {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A server ended.
    #[error("serving: {0}")]
    Serve(#[source] std::io::Error),
    /// An address cannot be connected to.
    #[error("connecting to {address}: {}", causes(.source.as_ref()))]
    Endpoint {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}
