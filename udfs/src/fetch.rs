//! Images that a column names by path or URL: reading their bytes.
//!
//! Blocks; it is called on the threads that prepare samples. Credentials of object stores come from the environment
//! variables that their own tools read (`AWS_*`, `GOOGLE_*`, `AZURE_*`).

mod stores;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;
use url::Url;

/// A file with more bytes is refused: no image of a corpus is that large.
const MAX_BYTES: u64 = 256 << 20;

/// One file is given this long in all, the store's own retries included.
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

/// Why a file could not be read. The message is what the row's error shows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FetchError {
    /// A local file cannot be read.
    #[error("reading {path}: {source}")]
    Io {
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// A folder, a pipe or a device.
    #[error("reading {path}: not a regular file")]
    NotAFile { path: String },
    /// Neither a path nor a URL of a kind that is understood.
    #[error("reading {url}: {reason}; expected a path or a URL of file, s3, gs, az, http or https")]
    Url { url: String, reason: String },
    /// The store or server refused.
    #[error("reading {url}: {source}")]
    Store {
        url: String,
        #[source]
        source: object_store::Error,
    },
    /// Too large to be an image.
    #[error("reading {name}: more than {limit} bytes")]
    TooLarge { name: String, limit: u64 },
    /// The store did not answer in time.
    #[error("reading {url}: no answer within {} seconds", limit.as_secs())]
    Timeout { url: String, limit: Duration },
    /// The threads for requests could not be started.
    #[error("reading {url}: starting threads: {reason}")]
    Runtime { url: String, reason: String },
}

/// The whole file.
pub(crate) fn read(name: &str) -> Result<Vec<u8>, FetchError> {
    read_range(name, None)
}

/// The file's first bytes, at most `length`; all of it if it is shorter.
pub(crate) fn read_head(name: &str, length: u64) -> Result<Vec<u8>, FetchError> {
    read_range(name, Some(length))
}

fn read_range(name: &str, head: Option<u64>) -> Result<Vec<u8>, FetchError> {
    if !name.contains("://") {
        return read_local(name, Path::new(name), head);
    }
    let refused = |reason: &str| FetchError::Url { url: name.to_string(), reason: reason.to_string() };
    let url = Url::parse(name).map_err(|e| refused(&e.to_string()))?;
    if url.scheme() == "file" {
        let path = url.to_file_path().map_err(|()| refused("names another host"))?;
        return read_local(name, &path, head);
    }
    let runtime =
        RUNTIME.as_ref().map_err(|reason| FetchError::Runtime { url: name.to_string(), reason: reason.clone() })?;
    let (store, path) = stores::store(name, &url)?;
    // A task of the fetch runtime, and a wait that is no runtime's: the caller may itself be inside a runtime.
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let url = name.to_string();
    runtime.spawn(async move {
        let read = read_store(&url, store.as_ref(), &path, head);
        let answer = tokio::time::timeout(TIMEOUT, read).await;
        let late = |_| FetchError::Timeout { url: url.clone(), limit: TIMEOUT };
        // A failure to send means that nobody waits any more.
        let _ = sender.send(answer.map_err(late).and_then(|read| read));
    });
    receiver.recv().unwrap_or_else(|_| {
        Err(FetchError::Runtime { url: name.to_string(), reason: "the request was dropped".to_string() })
    })
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
    url: &str,
    store: &dyn ObjectStore,
    path: &object_store::path::Path,
    head: Option<u64>,
) -> Result<Vec<u8>, FetchError> {
    let refused = |source| FetchError::Store { url: url.to_string(), source };
    let too_large = || FetchError::TooLarge { name: url.to_string(), limit: MAX_BYTES };
    let answer = store.get(path).await.map_err(refused)?;
    if head.is_none() && answer.meta.size > MAX_BYTES {
        return Err(too_large());
    }
    // Not a range request: many web servers do not know them. The connection is dropped when there is enough.
    let wanted = usize::try_from(head.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let mut stream = answer.into_stream();
    while bytes.len() < wanted {
        let Some(part) = stream.try_next().await.map_err(refused)? else { break };
        bytes.extend_from_slice(&part);
        // What the server announced is not what it must send.
        if bytes.len() as u64 > MAX_BYTES {
            return Err(too_large());
        }
    }
    bytes.truncate(wanted);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
