//! A model by its hub id, over a server on loopback that answers as a Hugging Face hub does: the list of a revision's files,
//! and parts of them with the revision and the ETag in headers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{AUTHORIZATION, CONTENT_RANGE, ETAG, RANGE};
use http::{HeaderMap, StatusCode};

use crate::support::{Tamis, assert_close, root, small};

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "hf_sesame";

/// What the hub does, and what it has been asked.
#[derive(Default)]
struct Hub {
    folder: PathBuf,
    /// So many parts of files are refused with 503.
    refused: AtomicUsize,
    /// So many answers are cut in the middle.
    cut: AtomicUsize,
    requests: AtomicUsize,
}

impl Hub {
    /// Serves a folder as the repository `tamis/tiny`, until the process ends.
    fn serve(hub: Self) -> (SocketAddr, Arc<Self>) {
        let hub = Arc::new(hub);
        let router = Router::new()
            .route("/api/models/tamis/tiny/revision/main", get(files))
            .route("/tamis/tiny/resolve/{revision}/{*file}", get(part))
            .with_state(Arc::clone(&hub));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || runtime.block_on(async { axum::serve(listener, router).await }));
        (address, hub)
    }
}

fn takes(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn is_allowed(headers: &HeaderMap) -> bool {
    headers.get(AUTHORIZATION).is_some_and(|value| value == format!("Bearer {TOKEN}").as_str())
}

async fn files(State(hub): State<Arc<Hub>>, headers: HeaderMap) -> Response {
    if !is_allowed(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut found = vec!["../outside.json".to_string(), "training.bin".to_string()];
    let mut folders = vec![hub.folder.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => found.push(path.strip_prefix(&hub.folder).expect("below").display().to_string()),
            }
        }
    }
    let siblings: Vec<_> = found.iter().map(|file| serde_json::json!({ "rfilename": file })).collect();
    axum::Json(serde_json::json!({ "sha": REVISION, "siblings": siblings })).into_response()
}

async fn part(
    State(hub): State<Arc<Hub>>,
    Path((revision, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    hub.requests.fetch_add(1, Ordering::SeqCst);
    let Ok(bytes) = std::fs::read(hub.folder.join(&file)) else { return StatusCode::NOT_FOUND.into_response() };
    if revision != REVISION || !is_allowed(&headers) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let (first, last) = range.expect("a part is asked for");
    let (first, last): (usize, usize) = (first.parse().expect("a number"), last.parse().expect("a number"));
    let is_data = last > 0;
    if is_data && takes(&hub.refused) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let wanted = Bytes::from(bytes[first..(last + 1).min(bytes.len())].to_vec());
    let about = [
        (ETAG, format!("\"{}\"", blake3::hash(&bytes).to_hex())),
        (CONTENT_RANGE, format!("bytes {first}-{last}/{}", bytes.len())),
    ];
    let revision = [("x-repo-commit", revision)];
    if is_data && takes(&hub.cut) {
        let half = wanted.slice(..wanted.len() / 2);
        let parts = futures::stream::iter([Ok(half), Err(std::io::Error::other("cut"))]);
        return (StatusCode::PARTIAL_CONTENT, about, revision, axum::body::Body::from_stream(parts)).into_response();
    }
    (StatusCode::PARTIAL_CONTENT, about, revision, wanted).into_response()
}

#[test]
fn a_model_comes_from_a_hub_that_fails_at_times_and_stays_in_the_cache() {
    let folder = root().join("models/assets/tiny-qwen3");
    let (refused, cut) = (AtomicUsize::new(1), AtomicUsize::new(1));
    let (address, hub) = Hub::serve(Hub { folder, refused, cut, ..Hub::default() });
    let home = tempfile::tempdir().expect("a folder");
    let query = format!("SELECT uid, unifilter(image, text) AS q FROM '{}' ORDER BY uid LIMIT 4", small().parquet());
    let run = |token: &str| {
        Tamis::sql(["--model", "unifilter=tamis/tiny"], &query)
            .env("HF_HOME", home.path())
            .env("HF_ENDPOINT", format!("http://{address}"))
            .env("HF_TOKEN", token)
    };
    let error = run("wrong").error();
    assert!(error.contains("tamis/tiny") && error.contains("401") && error.contains("HF_TOKEN"), "{error}");

    let expected = Tamis::sql([], &query).rows();
    assert_close(&run(TOKEN).rows(), &expected, "fetched");
    assert_eq!((hub.refused.load(Ordering::SeqCst), hub.cut.load(Ordering::SeqCst)), (0, 0), "nothing went wrong");
    assert!(!home.path().join("hub/models--tamis--tiny/snapshots/outside.json").exists());

    let before = hub.requests.load(Ordering::SeqCst);
    assert_close(&run(TOKEN).rows(), &expected, "from the cache");
    assert_eq!(hub.requests.load(Ordering::SeqCst), before, "the cache is whole");
}
