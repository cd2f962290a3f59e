//! What a web server does, in object_store's words.

use object_store::Error;
use tamis_udfs::shown;
use tamis_udfs::web::WebError;
use url::Url;

/// The store's name in errors.
pub(super) const STORE: &str = "HTTP";

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("reading {url}: {source}")]
struct ReadError {
    url: String,
    source: WebError,
}

/// The error of a request for `url`.
pub(super) fn refused(url: &Url, error: WebError) -> Error {
    let status = match &error {
        WebError::Status { status, .. } => status.as_u16(),
        _ => 0,
    };
    let path = shown::name(url.as_str()).into_owned();
    match (&error, status) {
        (_, 304) => Error::NotModified { path, source: error.into() },
        (_, 401) => Error::Unauthenticated { path, source: error.into() },
        (WebError::NotPublic { .. }, _) | (_, 403) => Error::PermissionDenied { path, source: error.into() },
        (_, 404 | 410) => Error::NotFound { path, source: error.into() },
        (_, 412) => Error::Precondition { path, source: error.into() },
        (WebError::Encoding { .. }, _) => Error::NotSupported { source: ReadError { url: path, source: error }.into() },
        _ => Error::Generic { store: STORE, source: ReadError { url: path, source: error }.into() },
    }
}

/// An answer that does not fit the request.
pub(super) fn unfit(url: &Url, reason: impl Into<String>) -> Error {
    let source = format!("reading {}: {}", shown::name(url.as_str()), reason.into());
    Error::Generic { store: STORE, source: source.into() }
}

/// A file that is another one than a moment before.
pub(super) fn changed(url: &Url) -> Error {
    let source = "the file has changed while it was read".into();
    Error::Precondition { path: shown::name(url.as_str()).into_owned(), source }
}
