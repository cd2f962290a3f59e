//! Tables, results and models in an S3 store, over a real server on loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

use crate::support::{SMALL_ROWS, Tamis, assert_close, root, small};

/// What opens the store.
pub(crate) const SECRET: &str = "sesame";

/// What the store does to the requests that come next.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// So many are answered with 503, "slow down".
    pub(crate) refused: AtomicUsize,
    /// So many are answered with 500.
    pub(crate) failed: AtomicUsize,
    /// So many connections are cut instead of an answer.
    pub(crate) cut: AtomicUsize,
}

impl Trouble {
    fn takes(count: &AtomicUsize) -> bool {
        count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    /// Whether all of it has happened.
    pub(crate) fn is_over(&self) -> bool {
        [&self.refused, &self.failed, &self.cut].iter().all(|count| count.load(Ordering::SeqCst) == 0)
    }
}

/// What a process needs to open the store at an endpoint.
pub(crate) fn variables(endpoint: &str) -> [(&'static str, &str); 5] {
    [
        ("AWS_ENDPOINT", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ]
}

/// Serves the folders of `root` as buckets, until the process ends.
fn serve(root: &Path) -> SocketAddr {
    serve_with(root, Arc::default())
}

/// The same, with what can happen to a store.
pub(crate) fn serve_with(root: &Path, trouble: Arc<Trouble>) -> SocketAddr {
    let files = s3s_fs::FileSystem::new(root).expect("a folder to serve");
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single("key", SECRET));
    let service = builder.build();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        runtime.block_on(async {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, trouble) = (service.clone(), Arc::clone(&trouble));
                let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (service, trouble) = (service.clone(), Arc::clone(&trouble));
                    async move {
                        let status = |status| {
                            let mut answer = http::Response::new(s3s::Body::empty());
                            *answer.status_mut() = status;
                            answer
                        };
                        if Trouble::takes(&trouble.cut) {
                            return Err(std::io::Error::other("cut"));
                        }
                        if Trouble::takes(&trouble.refused) {
                            return Ok(status(http::StatusCode::SERVICE_UNAVAILABLE));
                        }
                        if Trouble::takes(&trouble.failed) {
                            return Ok(status(http::StatusCode::INTERNAL_SERVER_ERROR));
                        }
                        let answer = service.call(request.map(s3s::Body::from)).await;
                        answer.map_err(|e| std::io::Error::other(format!("{e:?}")))
                    }
                });
                tokio::spawn(async move {
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
    });
    address
}

fn with_store(run: Tamis, address: SocketAddr) -> Tamis {
    variables(&format!("http://{address}")).into_iter().fold(run, |run, (name, value)| run.env(name, value))
}

#[test]
fn a_corpus_in_s3_is_scored_and_the_result_written_there() {
    let disk = tempfile::tempdir().expect("a folder");
    let bucket = disk.path().join("corpora");
    std::fs::create_dir_all(bucket.join("small")).expect("a bucket");
    for name in ["a.parquet", "b.parquet"] {
        std::fs::copy(small().parquet(), bucket.join("small").join(name)).expect("a copy");
    }
    let address = serve(disk.path());
    let run = |args: [&str; 2], query: &str| with_store(Tamis::sql(args, query), address);

    let n = run(["--format", "ndjson"], "SELECT count(*) AS n FROM 's3://corpora/small/*.parquet'").rows();
    assert_eq!(n[0]["n"], 2 * SMALL_ROWS);

    let query = "SELECT uid, unifilter(image, text) AS q WHERE width > 200 ORDER BY uid";
    let remote = run(["--corpus", "s3://corpora/small/a.parquet"], query).rows();
    assert_close(&remote, &Tamis::sql(["--corpus", &small().parquet()], query).rows(), query);

    let written = run(["-o", "s3://corpora/kept.parquet"], "SELECT uid FROM 's3://corpora/small/'").run();
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    let back = run(["--format", "ndjson"], "SELECT count(*) AS n FROM 's3://corpora/kept.parquet'").rows();
    assert_eq!(back[0]["n"], 2 * SMALL_ROWS);

    let absent = run(["--format", "ndjson"], "SELECT * FROM 's3://corpora/absent.parquet'").error();
    assert!(absent.contains("s3://corpora/absent.parquet"), "{absent}");
    let denied = run(["--format", "ndjson"], "SELECT * FROM 's3://corpora/small/a.parquet'")
        .env("AWS_SECRET_ACCESS_KEY", "wrong")
        .error();
    assert!(!denied.contains("secret"), "{denied}");
}

#[test]
fn a_model_comes_from_s3() {
    let disk = tempfile::tempdir().expect("a folder");
    let cache = tempfile::tempdir().expect("a folder");
    let tower = "siglip2-tiny-patch14-384";
    let model = disk.path().join("models/tiny");
    std::fs::create_dir_all(model.join(tower)).expect("a bucket");
    for part in ["", tower] {
        for entry in std::fs::read_dir(root().join("models/assets/tiny-qwen3").join(part)).expect("a folder").flatten()
        {
            if entry.path().is_file() {
                std::fs::copy(entry.path(), model.join(part).join(entry.file_name())).expect("a copy");
            }
        }
    }
    let address = serve(disk.path());
    let query = format!("SELECT uid, unifilter(image, text) AS q FROM '{}' ORDER BY uid LIMIT 4", small().parquet());
    let run = with_store(Tamis::sql(["--model", "unifilter=s3://models/tiny"], &query), address);
    let rows = run.env("XDG_CACHE_HOME", cache.path()).rows();
    assert_close(&rows, &Tamis::sql([], &query).rows(), &query);
}
