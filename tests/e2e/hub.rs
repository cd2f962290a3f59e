//! A model by its hub id, over a server on loopback that answers as a Hugging Face hub does: the list of a revision's files,
//! and parts of them with the revision and the ETag in headers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{AUTHORIZATION, CONTENT_RANGE, ETAG, RANGE};
use http::{HeaderMap, StatusCode};

use crate::support::{Tamis, assert_close, root, small};

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "hf_sesame";
/// Files are fetched in parts of this many bytes.
const PART: usize = 10_000_000;

/// Where a part of a file begins.
type Place = (String, usize);

/// What the hub does, and what it has been asked.
#[derive(Default)]
struct Hub {
    folder: PathBuf,
    /// These parts are refused with 503, once each.
    refused: Mutex<Vec<Place>>,
    /// Of these half is sent, once each.
    cut: Mutex<Vec<Place>>,
    requests: Mutex<Vec<Place>>,
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

fn takes(places: &Mutex<Vec<Place>>, place: &Place) -> bool {
    let mut places = places.lock().expect("a lock");
    let found = places.iter().position(|one| one == place);
    found.map(|at| places.remove(at)).is_some()
}

fn takes_none(places: &Mutex<Vec<Place>>) -> bool {
    places.lock().expect("a lock").is_empty()
}

/// All files below a folder.
fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn is_allowed(headers: &HeaderMap) -> bool {
    headers.get(AUTHORIZATION).is_some_and(|value| value == format!("Bearer {TOKEN}").as_str())
}

async fn files(State(hub): State<Arc<Hub>>, headers: HeaderMap) -> Response {
    if !is_allowed(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut found = vec!["../outside.json".to_string(), "training.bin".to_string()];
    found.extend(
        walk(&hub.folder).iter().map(|file| file.strip_prefix(&hub.folder).expect("below").display().to_string()),
    );
    let siblings: Vec<_> = found.iter().map(|file| serde_json::json!({ "rfilename": file })).collect();
    axum::Json(serde_json::json!({ "sha": REVISION, "siblings": siblings })).into_response()
}

async fn part(
    State(hub): State<Arc<Hub>>,
    Path((revision, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Ok(bytes) = std::fs::read(hub.folder.join(&file)) else { return StatusCode::NOT_FOUND.into_response() };
    if revision != REVISION || !is_allowed(&headers) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let (first, last) = range.expect("a part is asked for");
    let (first, last): (usize, usize) = (first.parse().expect("a number"), last.parse().expect("a number"));
    // Of a single byte the headers alone are read.
    let place = (last > 0).then_some((file, first));
    hub.requests.lock().expect("a lock").extend(place.clone());
    if place.as_ref().is_some_and(|place| takes(&hub.refused, place)) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let wanted = Bytes::from(bytes[first..(last + 1).min(bytes.len())].to_vec());
    let about = [
        (ETAG, format!("\"{}\"", blake3::hash(&bytes).to_hex())),
        (CONTENT_RANGE, format!("bytes {first}-{last}/{}", bytes.len())),
    ];
    let revision = [("x-repo-commit", revision)];
    if place.is_some_and(|place| takes(&hub.cut, &place)) {
        let half = wanted.slice(..wanted.len() / 2);
        let parts = futures::stream::iter([Ok(half), Err(std::io::Error::other("cut"))]);
        return (StatusCode::PARTIAL_CONTENT, about, revision, Body::from_stream(parts)).into_response();
    }
    (StatusCode::PARTIAL_CONTENT, about, revision, wanted).into_response()
}

/// The tiny model, and a file of three parts.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let model = root().join("models/assets/tiny-qwen3");
    for file in walk(&model) {
        let to = folder.path().join(file.strip_prefix(&model).expect("below"));
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(&file, to).expect("a copy");
    }
    let notes: Vec<u8> = (0..2 * PART + PART / 2).map(|at| (at / 7 % 251) as u8).collect();
    std::fs::write(folder.path().join("notes.txt"), notes).expect("a file");
    folder
}

/// A query with the hub's model, its cache in `home`.
fn ask(home: &tempfile::TempDir, address: SocketAddr, token: &str) -> Tamis {
    Tamis::sql(["--model", "unifilter=tamis/tiny"], &query())
        .env("HF_HOME", home.path())
        .env("HF_ENDPOINT", format!("http://{address}"))
        .env("HF_TOKEN", token)
}

fn query() -> String {
    format!("SELECT uid, unifilter(image, text) AS q FROM '{}' ORDER BY uid LIMIT 4", small().parquet())
}

#[test]
fn a_model_comes_from_a_hub_that_fails_at_times_and_stays_in_the_cache() {
    let repository = repository();
    let refused = vec![("config.json".to_string(), 0)];
    let cut = vec![("tokenizer.json".to_string(), 0), ("notes.txt".to_string(), PART)];
    let (refused, cut) = (Mutex::new(refused), Mutex::new(cut));
    let (address, hub) = Hub::serve(Hub { folder: repository.path().into(), refused, cut, ..Hub::default() });
    let home = tempfile::tempdir().expect("a folder");
    let error = ask(&home, address, "wrong").error();
    assert!(error.contains("tamis/tiny") && error.contains("401") && error.contains("HF_TOKEN"), "{error}");

    let expected = Tamis::sql([], &query()).rows();
    assert_close(&ask(&home, address, TOKEN).rows(), &expected, "fetched");
    assert!(takes_none(&hub.refused) && takes_none(&hub.cut), "nothing went wrong");
    let parts = |file: &str| -> Vec<usize> {
        let requests = hub.requests.lock().expect("a lock");
        requests.iter().filter(|(name, _)| name == file).map(|(_, first)| *first).collect()
    };
    assert_eq!(parts("tokenizer.json"), [0, 0], "it is asked for again");
    assert_eq!(parts("notes.txt"), [0, PART, PART, 2 * PART], "it goes on where it was cut");
    let snapshot = home.path().join("hub/models--tamis--tiny/snapshots").join(REVISION);
    let [found, sent] =
        [&snapshot, repository.path()].map(|folder| std::fs::read(folder.join("notes.txt")).expect("a file"));
    assert!(found == sent, "a file that was cut is another one");
    assert!(!snapshot.with_file_name("outside.json").exists());

    let before = hub.requests.lock().expect("a lock").len();
    assert_close(&ask(&home, address, TOKEN).rows(), &expected, "from the cache");
    assert_eq!(hub.requests.lock().expect("a lock").len(), before, "the cache is whole");
}

#[test]
fn two_processes_fetch_a_model_into_one_cache_at_once() {
    let repository = repository();
    let (address, _) = Hub::serve(Hub { folder: repository.path().into(), ..Hub::default() });
    let home = tempfile::tempdir().expect("a folder");
    let expected = Tamis::sql([], &query()).rows();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_close(&ask(&home, address, TOKEN).rows(), &expected, "fetched"));
        }
    });
}
