//! Images that a column names by path or URL, or whose files it holds as text: reading their bytes.
//!
//! Blocks; it is called on the threads that prepare samples. Credentials of object stores come from the environment
//! variables that their own tools read (`AWS_*`, `GOOGLE_*`, `AZURE_*`). Web servers are asked without credentials.

mod inline;
mod stores;
mod web;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;
use url::Url;

use crate::reach::{Reach, Refused};
use crate::shown;
use crate::web::WebError;

/// A file with more bytes is refused: no image of a corpus is that large.
const MAX_BYTES: u64 = 256 << 20;

/// One file is given this long in all, further attempts included.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Drives the requests of all threads.
static RUNTIME: LazyLock<Result<Runtime, String>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("tamis-fetch")
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
});

/// Why a file could not be read. The message is what the row's error shows; of long names it has the ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FetchError {
    /// A local file cannot be read.
    #[error("reading {}: {source}", shown::name(path))]
    Io {
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// A folder, a pipe or a device.
    #[error("reading {}: not a regular file", shown::name(path))]
    NotAFile { path: String },
    /// A file that is written out in the column, wrongly.
    #[error("reading {}: {reason}", shown::name(name))]
    Inline { name: String, reason: String },
    /// Neither a path nor a URL of a kind that is understood.
    #[error(
        "reading {}: {}; expected a path or a URL of file, s3, gs, az, http, https or data",
        shown::name(url),
        shown::text(reason)
    )]
    Url { url: String, reason: String },
    /// The object store refused.
    #[error("reading {}: {}", shown::name(url), shown::text(&source.to_string()))]
    Store {
        url: String,
        #[source]
        source: object_store::Error,
    },
    /// The web server refused, or could not be asked.
    #[error("reading {}: {source}", shown::name(url))]
    Web {
        url: String,
        #[source]
        source: WebError,
    },
    /// It may not be read.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Too large to be an image.
    #[error("reading {}: more than {limit} bytes", shown::name(name))]
    TooLarge { name: String, limit: u64 },
    /// The store did not answer in time.
    #[error("reading {}: no answer within {} seconds", shown::name(url), limit.as_secs())]
    Timeout { url: String, limit: Duration },
    /// The threads for requests could not be started.
    #[error("reading {}: starting threads: {reason}", shown::name(url))]
    Runtime { url: String, reason: String },
}

/// The whole file, if it lies within `reach`.
pub(crate) fn read(name: &str, reach: &Reach) -> Result<Vec<u8>, FetchError> {
    read_range(name, None, reach)
}

/// The file's first bytes, at most `length`; all of it if it is shorter. It has to lie within `reach`.
pub(crate) fn read_head(name: &str, length: u64, reach: &Reach) -> Result<Vec<u8>, FetchError> {
    read_range(name, Some(length), reach)
}

fn read_range(name: &str, head: Option<u64>, reach: &Reach) -> Result<Vec<u8>, FetchError> {
    if let Some(file) = inline::file(name) {
        let mut bytes = file.map_err(|reason| FetchError::Inline { name: name.to_string(), reason })?;
        bytes.truncate(wanted(head));
        return Ok(bytes);
    }
    reach.may_read_file(name)?;
    if !name.contains("://") {
        return read_local(name, Path::new(name), head);
    }
    let refused = |reason: &str| FetchError::Url { url: name.to_string(), reason: reason.to_string() };
    let url = Url::parse(name).map_err(|e| refused(&e.to_string()))?;
    match url.scheme() {
        "file" => {
            let path = url.to_file_path().map_err(|()| refused("names another host"))?;
            read_local(name, &path, head)
        }
        "http" | "https" => {
            let client =
                web::client(&reach.addresses()).map_err(|source| FetchError::Web { url: name.to_string(), source })?;
            let given = name.to_string();
            wait(name, async move {
                web::read(&client, &url, head).await.map_err(|source| FetchError::Web { url: given, source })
            })
        }
        _ => {
            let (store, path) = stores::store(name, &url)?;
            let given = name.to_string();
            wait(name, async move {
                read_store(store.as_ref(), &path, head).await.map_err(|source| FetchError::Store { url: given, source })
            })
        }
    }
}

/// Waits for what is read on the runtime of requests; `None` is a file that is too large.
fn wait(
    name: &str,
    read: impl Future<Output = Result<Option<Vec<u8>>, FetchError>> + Send + 'static,
) -> Result<Vec<u8>, FetchError> {
    let runtime =
        RUNTIME.as_ref().map_err(|reason| FetchError::Runtime { url: name.to_string(), reason: reason.clone() })?;
    // A task of the fetch runtime, and a wait that is no runtime's: the caller may itself be inside a runtime.
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    runtime.spawn(async move {
        // A failure to send means that nobody waits any more.
        let _ = sender.send(tokio::time::timeout(TIMEOUT, read).await);
    });
    match receiver.recv() {
        Ok(Ok(Ok(Some(bytes)))) => Ok(bytes),
        Ok(Ok(Ok(None))) => Err(FetchError::TooLarge { name: name.to_string(), limit: MAX_BYTES }),
        Ok(Ok(Err(error))) => Err(error),
        Ok(Err(_)) => Err(FetchError::Timeout { url: name.to_string(), limit: TIMEOUT }),
        Err(_) => Err(FetchError::Runtime { url: name.to_string(), reason: "the request was dropped".to_string() }),
    }
}

fn read_local(name: &str, path: &Path, head: Option<u64>) -> Result<Vec<u8>, FetchError> {
    let io = |source| FetchError::Io { path: name.to_string(), source };
    // Asked before opening: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(FetchError::NotAFile { path: name.to_string() });
    }
    if head.is_none() && metadata.len() > MAX_BYTES {
        return Err(FetchError::TooLarge { name: name.to_string(), limit: MAX_BYTES });
    }
    let wanted = head.unwrap_or(MAX_BYTES).min(metadata.len());
    let mut bytes = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
    File::open(path).map_err(io)?.take(wanted).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

async fn read_store(
    store: &dyn ObjectStore,
    path: &object_store::path::Path,
    head: Option<u64>,
) -> object_store::Result<Option<Vec<u8>>> {
    let answer = store.get(path).await?;
    if head.is_none() && answer.meta.size > MAX_BYTES {
        return Ok(None);
    }
    collect(answer.into_stream(), head).await
}

/// The first bytes of a stream, at most `head`; `None` if it has more than a file may have. The connection is dropped when there
/// is enough: not all servers know requests for a range.
async fn collect<E>(
    mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin,
    head: Option<u64>,
) -> Result<Option<Vec<u8>>, E> {
    let wanted = wanted(head);
    let mut bytes = Vec::new();
    while bytes.len() < wanted {
        let Some(part) = stream.try_next().await? else { break };
        bytes.extend_from_slice(&part);
        // What the server announced is not what it must send.
        if bytes.len() as u64 > MAX_BYTES {
            return Ok(None);
        }
    }
    bytes.truncate(wanted);
    Ok(Some(bytes))
}

/// The number of bytes that are read.
fn wanted(head: Option<u64>) -> usize {
    head.and_then(|head| usize::try_from(head).ok()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
