//! A cache in an S3 store, over a real server on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;

use crate::child::{LONG, Process};

/// Serves the folders of `root` as buckets, until the process ends.
fn serve(root: &Path) -> SocketAddr {
    let files = s3s_fs::FileSystem::new(root).expect("a folder to serve");
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single("key", "secret"));
    let service = builder.build();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        runtime.block_on(async {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
    });
    address
}

fn with_store(address: SocketAddr) -> impl FnOnce(Command) -> Command {
    move |mut command| {
        command
            .env("AWS_ENDPOINT", format!("http://{address}"))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret");
        command
    }
}

#[test]
fn processes_share_scores_through_a_store() {
    let disk = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(disk.path().join("bucket")).expect("a bucket");
    let address = serve(disk.path());
    let start = || Process::start_with("s3://bucket/some/scores", with_store(address));
    let (mut a, mut b) = (start(), start());
    a.tell("pieces 0 1000");
    b.tell("pieces 500 1500");
    assert_eq!((a.answer(), b.answer()), (1_020, 1_020));
    let mut reader = start();
    reader.ask_until("found 0 2000", 1_500);
    let left = || segments(&disk.path().join("bucket/some/scores")).len();
    assert!(left() > 0);
    // Who uses the cache merges what the others have left at the same time.
    let started = Instant::now();
    while left() > 20 {
        assert!(started.elapsed() < LONG, "{} segments are left of 40", left());
        reader.ask("found 0 2000");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn segments(cache: &Path) -> Vec<PathBuf> {
    let folder = cache.join("v1/00112233445566778899aabbccddeeff");
    let files = std::fs::read_dir(folder).expect("the model's folder").flatten().map(|file| file.path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "arrow")).collect()
}

#[test]
fn a_segment_that_is_damaged_in_the_store_is_left_out_and_stays() {
    let disk = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(disk.path().join("bucket")).expect("a bucket");
    let address = serve(disk.path());
    let start = || Process::start_with("s3://bucket", with_store(address));
    let mut writer = start();
    assert_eq!(writer.ask("put 0 100"), 100);
    assert_eq!(writer.ask("flush"), 1);
    let files = segments(&disk.path().join("bucket"));
    let [segment] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!(start().ask_until("found 0 200", 100), 100);
    let mut content = std::fs::read(segment).expect("a segment");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(segment, content).expect("a segment");
    let mut reader = start();
    assert_eq!(reader.ask("found 0 200"), 0);
    assert!(segment.exists());
    assert_eq!(reader.ask("put 0 100"), 100);
    assert_eq!(reader.ask("flush"), 1);
}

#[test]
fn a_store_that_does_not_answer_stops_nobody() {
    // Nothing listens on the discard port.
    let address = "127.0.0.1:9".parse().expect("an address");
    let mut process = Process::start_with("s3://bucket/scores", with_store(address));
    assert_eq!(process.ask("put 0 1000"), 1_000);
    assert_eq!(process.ask("found 0 2000"), 1_000);
    assert_eq!(process.ask("flush"), 1);
    assert_eq!(process.ask("found 0 2000"), 1_000);
}
