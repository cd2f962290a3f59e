//! Running the command and reading what it says.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The example corpus of captioned pictures.
pub(crate) const CAPTIONS: &str = "examples/corpus/captions.parquet";
/// The example corpus of interleaved documents.
pub(crate) const DOCUMENTS: &str = "examples/corpus/documents.parquet";

/// One call of the command, from the repository's root.
///
/// Each has a cache folder of its own, so that no test sees what another one has scored.
pub(crate) struct Tamis {
    command: Command,
    input: Option<String>,
    cache: tempfile::TempDir,
}

/// What a call left.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).expect("results are UTF-8"),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

impl Tamis {
    pub(crate) fn new<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tamis"));
        command.args(args).current_dir(root()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What the machine's owner has set must not decide what a test sees.
        for name in [
            "HF_HOME",
            "HF_HUB_CACHE",
            "HF_HUB_OFFLINE",
            "HF_ENDPOINT",
            "HF_TOKEN",
            "HF_TOKEN_PATH",
            "RUST_LOG",
            "ANTHROPIC_API_KEY",
            "OPENAI_API_KEY",
        ] {
            command.env_remove(name);
        }
        let cache = tempfile::tempdir().expect("a folder");
        command.env("XDG_CACHE_HOME", cache.path());
        Self { command, input: None, cache }
    }

    /// `tamis sql -q -c QUERY` with further arguments in front.
    pub(crate) fn sql<const N: usize>(args: [&str; N], query: &str) -> Self {
        Self::new(["sql", "-q"].iter().chain(&args).chain(&["-c", query]))
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn input(mut self, text: &str) -> Self {
        self.input = Some(text.to_string());
        self
    }

    pub(crate) fn run(mut self) -> Output {
        self.command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = self.command.spawn().expect("the command starts");
        if let (Some(text), Some(mut stdin)) = (self.input, child.stdin.take()) {
            stdin.write_all(text.as_bytes()).expect("the command reads its input");
        }
        let output = child.wait_with_output().expect("the command ends");
        drop(self.cache);
        output.into()
    }

    /// Runs the command until `is_time`, and then ends it as Ctrl-C does. Gives the time that the end took, too.
    pub(crate) fn interrupt_when(self, is_time: impl Fn() -> bool) -> (Output, Duration) {
        self.signal_when("-INT", is_time)
    }

    /// Runs the command until `is_time`, and then sends it a signal. Gives the time that the end took, too.
    pub(crate) fn signal_when(mut self, signal: &str, is_time: impl Fn() -> bool) -> (Output, Duration) {
        let mut child = self.command.stdin(Stdio::null()).spawn().expect("the command starts");
        while !is_time() {
            assert!(child.try_wait().expect("a child").is_none(), "the command ended by itself");
            std::thread::sleep(Duration::from_millis(10));
        }
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
        let started = Instant::now();
        let output = child.wait_with_output().expect("the command ends");
        (output.into(), started.elapsed())
    }

    /// Runs the command until `is_time`, and then ends it as `kill -9` does.
    pub(crate) fn kill_when(mut self, is_time: impl Fn() -> bool) -> (Output, Duration) {
        let mut child = self.command.stdin(Stdio::null()).spawn().expect("the command starts");
        while !is_time() {
            assert!(child.try_wait().expect("a child").is_none(), "the command ended by itself");
            std::thread::sleep(Duration::from_millis(10));
        }
        let started = Instant::now();
        child.kill().expect("the command is killed");
        (child.wait_with_output().expect("the command ends").into(), started.elapsed())
    }

    /// Runs the command, which must succeed, and reads the rows that it prints as JSON lines.
    pub(crate) fn rows(self) -> Vec<BTreeMap<String, Value>> {
        let output = self.run();
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Runs the command, which must fail with status 1 and one line, and gives that line.
    pub(crate) fn error(self) -> String {
        let output = self.run();
        assert_eq!(output.code, Some(1), "{output:?}");
        assert_eq!(output.stdout, "", "results of a failed query");
        let errors: Vec<_> = output.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        let [error] = errors.as_slice() else { panic!("one error line, found {}", output.stderr) };
        assert!(!output.stderr.contains("panicked") && !output.stderr.contains("RUST_BACKTRACE"), "{}", output.stderr);
        (*error).to_string()
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// A folder of small files made from the example corpus, once for all tests.
pub(crate) fn small() -> &'static Small {
    static SMALL: LazyLock<Small> = LazyLock::new(Small::make);
    &SMALL
}

/// Files with the pictures of ordinary rows whose image is small, in several formats.
pub(crate) struct Small {
    pub(crate) folder: tempfile::TempDir,
}

/// How many rows each file of [`Small`] has.
pub(crate) const SMALL_ROWS: usize = 24;

impl Small {
    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let small = Self { folder };
        for (extension, columns) in [
            ("parquet", "uid, image, text, width, height"),
            ("arrow", "uid, image, text, width, height"),
            ("csv", "uid, text, width, height"),
            ("jsonl", "uid, text, width, height"),
        ] {
            let target = small.path(&format!("small.{extension}"));
            let query = format!(
                "SELECT {columns} FROM '{CAPTIONS}' WHERE note IS NULL AND image IS NOT NULL AND text IS NOT NULL \
                 ORDER BY uid LIMIT {SMALL_ROWS}"
            );
            let output = Tamis::sql(["-o", &target], &query).run();
            assert_eq!(output.code, Some(0), "{}", output.stderr);
        }
        small
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    pub(crate) fn parquet(&self) -> String {
        self.path("small.parquet")
    }
}

/// Compares rows: numbers may differ by what batching may do to a score.
pub(crate) fn assert_close(found: &[BTreeMap<String, Value>], expected: &[BTreeMap<String, Value>], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: rows");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.keys().eq(expected.keys()), "{what}: columns of {found:?}, expected {expected:?}");
        for (a, b) in found.values().zip(expected.values()) {
            let same = match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-5,
                _ => a == b,
            };
            assert!(same, "{what}: {found:?}, expected {expected:?}");
        }
    }
}

/// The sum of a counter over all `ScoreExec`s in the output of EXPLAIN ANALYZE, and how many there are.
pub(crate) fn counter(explained: &[BTreeMap<String, Value>], name: &str) -> (u64, usize) {
    let mut sum = 0;
    let mut nodes = 0;
    for plan in explained.iter().filter_map(|row| row.get("plan")?.as_str()) {
        for line in plan.lines().filter(|line| line.contains("ScoreExec:")) {
            let value = line.split([',', '[', ']']).find_map(|m| m.trim().strip_prefix(name)?.strip_prefix('='));
            let value = value.unwrap_or_else(|| panic!("no {name} in {line}"));
            sum += value.parse::<u64>().unwrap_or_else(|_| panic!("{name} is {value}, not a plain integer"));
            nodes += 1;
        }
    }
    (sum, nodes)
}
