//! Models by folder, hub cache and URL.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Tamis, assert_close, root, small};

const TINY: &str = "models/assets/tiny-qwen3";

fn query() -> String {
    format!("SELECT uid, unifilter(image, text) AS q FROM '{}' ORDER BY uid LIMIT 4", small().parquet())
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("the checkpoint").flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => std::fs::copy(entry.path(), target).map(|_| ()).expect("a copy"),
        }
    }
}

#[test]
fn the_built_in_model_says_that_its_scores_mean_nothing_once() {
    let output = Tamis::sql([], &query()).run();
    assert_eq!(output.stderr.matches("random weights").count(), 1, "{}", output.stderr);
    let named = Tamis::sql(["--model", &format!("unifilter={TINY}")], &query()).run();
    assert_eq!(named.stdout.lines().count(), 4);
    assert!(!named.stderr.contains("random weights"), "{}", named.stderr);
}

#[test]
fn models_have_names() {
    let other = "models/tests/golden/tiny-qwen2";
    let query = format!(
        "SELECT uid, unifilter(image, text) AS a, unifilter(image, text, 'other') AS b FROM '{}' ORDER BY uid LIMIT 4",
        small().parquet()
    );
    let both = Tamis::sql(["--model", &format!("other={other}")], &query).rows();
    let alone = Tamis::sql(["--model", &format!("unifilter={other}")], &self::query()).rows();
    for (both, alone) in both.iter().zip(&alone) {
        let score = |value: &serde_json::Value| value.as_f64().expect("a score");
        assert!((score(&both["b"]) - score(&alone["q"])).abs() <= 1e-5, "{both:?}, alone {alone:?}");
        assert!((score(&both["a"]) - score(&both["b"])).abs() > 1e-3, "two models, one score: {both:?}");
    }
}

#[test]
fn a_model_comes_from_the_hub_s_cache() {
    let home = tempfile::tempdir().expect("a folder");
    let repository = home.path().join("hub/models--tamis--tiny");
    let revision = "0123456789abcdef0123456789abcdef01234567";
    copy_folder(&root().join(TINY), &repository.join("snapshots").join(revision));
    std::fs::create_dir_all(repository.join("refs")).expect("a folder");
    std::fs::write(repository.join("refs/main"), revision).expect("a ref");
    let run = Tamis::sql(["--model", "unifilter=tamis/tiny"], &query()).env("HF_HOME", home.path());
    assert_close(&run.rows(), &Tamis::sql([], &query()).rows(), "from the cache");
}

#[test]
fn offline_the_hub_s_id_and_the_cache_are_named() {
    let home = tempfile::tempdir().expect("a folder");
    let error = Tamis::sql(["--model", "unifilter=tamis/absent"], &query())
        .env("HF_HOME", home.path())
        .env("HF_HUB_OFFLINE", "1")
        .error();
    assert!(error.contains("tamis/absent") && error.contains(&home.path().display().to_string()), "{error}");
    // A hub that does not answer: nothing listens on the discard port.
    let error = Tamis::sql(["--model", "unifilter=tamis/absent"], &query())
        .env("HF_HOME", home.path())
        .env("HF_ENDPOINT", "http://127.0.0.1:9")
        .error();
    assert!(error.contains("tamis/absent") && error.contains("http://127.0.0.1:9"), "{error}");
}

/// A server of files, ended with the test.
struct FileServer(Child, u16);

impl FileServer {
    fn of(folder: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let child = Command::new("python3")
            .args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string(), "--directory"])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Self(child, port)
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_model_comes_over_http_and_is_kept() {
    let cache = tempfile::tempdir().expect("a folder");
    let server = FileServer::of(&root().join("models/assets"));
    let model = format!("unifilter=http://127.0.0.1:{}/tiny-qwen3", server.1);
    let run = || Tamis::sql(["--model", &model], &query()).env("XDG_CACHE_HOME", cache.path());
    let expected = Tamis::sql([], &query()).rows();
    assert_close(&run().rows(), &expected, "fetched");
    assert_close(&run().rows(), &expected, "from the cache");
    let absent = format!("unifilter=http://127.0.0.1:{}/absent", server.1);
    let error = Tamis::sql(["--model", &absent], &query()).env("XDG_CACHE_HOME", cache.path()).error();
    assert!(error.contains("/absent") && error.contains("config.json"), "{error}");
}

#[test]
fn inspect_describes_a_checkpoint() {
    let output = Tamis::new(["model", "inspect", TINY]).run();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for part in ["UniFilter (llava_qwen3)", "f32", "MiB", "fingerprint", "472320"] {
        assert!(output.stdout.contains(part), "no {part} in {}", output.stdout);
    }
    let json = Tamis::new(["model", "inspect", "--json", TINY]).run();
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["model_type"], "llava_qwen3");
    assert_eq!(json["fingerprint"].as_str().map(str::len), Some(64));
    assert!(Tamis::new(["model", "inspect", "no/such/folder"]).error().contains("no such folder"));
}

#[test]
fn a_broken_checkpoint_fails_the_query_with_file_and_field() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_folder(&root().join(TINY), folder.path());
    std::fs::write(folder.path().join("config.json"), "{\"model_type\": \"llava_qwen3\"}").expect("a file");
    let model = format!("unifilter={}", folder.path().display());
    let error = Tamis::sql(["--model", &model], &query()).error();
    assert!(error.contains("config.json") && error.contains("missing field"), "{error}");
}
