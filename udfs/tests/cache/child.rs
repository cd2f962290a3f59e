//! Another process with the cache open, and what it is told to do.

use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::config::ExtensionOptions;
use tamis_udfs::cache::{KnownScore, ModelScores, ScoreCache, ScoreKey};
use tamis_udfs::options::TamisOptions;

/// The variable that says where a child's cache lies; what it has to do comes through its standard input.
const PATH: &str = "TAMIS_TEST_CACHE_PATH";

const MODEL: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// A machine may be slow; it must not be for ever.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// Runs in the child: reads commands, answers each with a line.
#[test]
#[ignore = "runs in the processes that the other tests start"]
fn child() {
    let path = std::env::var(PATH).expect("started by another test");
    let mut options = TamisOptions::default();
    options.set("cache.path", &path).expect("an option");
    let cache = ScoreCache::open(&options).expect("a cache");
    let model = cache.model(MODEL);
    for line in std::io::stdin().lines() {
        let line = line.expect("a command");
        let words: Vec<&str> = line.split(' ').collect();
        let rows = || {
            let bound = |n: usize| words.get(n).and_then(|word| word.parse::<u32>().ok()).expect("a number");
            bound(1)..bound(2)
        };
        let answer = match words[0] {
            "put" => put(&model, rows()),
            "found" => found(&model, rows()),
            "flush" => usize::from(cache.flush(LONG)),
            // Small pieces, so that there are many segments, and others merge them at the same time.
            "pieces" => rows().step_by(50).map(|n| put(&model, n..n + 50) + usize::from(cache.flush(LONG))).sum(),
            other => panic!("unknown command {other}"),
        };
        let mut out = std::io::stderr().lock();
        writeln!(out, "answer {answer}").expect("somebody listens");
    }
}

fn put(model: &Arc<ModelScores>, rows: Range<u32>) -> usize {
    let number = rows.len();
    rows.for_each(|n| model.put(key(n), known(n)));
    number
}

/// How many rows are known; a wrong score ends the process.
fn found(model: &Arc<ModelScores>, rows: Range<u32>) -> usize {
    let check = |n: &u32| match model.get(&key(*n)) {
        Some(answer) if same(&answer, &known(*n)) => true,
        Some(answer) => panic!("row {n} is {:?}, not {answer:?}", known(*n)),
        None => false,
    };
    rows.filter(check).count()
}

fn same(a: &KnownScore, b: &KnownScore) -> bool {
    match (a, b) {
        (KnownScore::Score(a), KnownScore::Score(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

fn key(n: u32) -> ScoreKey {
    // Spread evenly, as hashes are: the finaliser of MurmurHash3 twice.
    let mix = |mut x: u64| {
        x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^ (x >> 33)
    };
    let (high, low) = (mix(u64::from(n) + 1), mix(u64::from(n) + (1 << 40)));
    ScoreKey::from_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
}

fn known(n: u32) -> KnownScore {
    match n % 7 {
        0 => KnownScore::Failed(format!("row {n} cannot be scored").into()),
        _ => KnownScore::Score(n as f32 / 3.0),
    }
}

/// A child process. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStderr>,
    _stdout: ChildStdout,
    /// What it has said besides its answers.
    log: String,
}

impl Process {
    pub(crate) fn start(path: &str) -> Self {
        Self::start_with(path, |command| command)
    }

    /// Starts a child whose command is changed by `with`.
    pub(crate) fn start_with(path: &str, with: impl FnOnce(Command) -> Command) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(["--exact", "child::child", "--ignored", "--nocapture", "--test-threads=1"]);
        let mut command = with(command);
        command.env(PATH, path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stderr.take().expect("a pipe"));
        let stdout = child.stdout.take().expect("a pipe");
        Self { child, input, output, _stdout: stdout, log: String::new() }
    }

    /// Gives a command without waiting for the answer.
    pub(crate) fn tell(&mut self, command: &str) {
        let input = self.input.as_mut().expect("a child that runs");
        writeln!(input, "{command}").expect("the child listens");
    }

    /// Waits for the answer to a command.
    pub(crate) fn answer(&mut self) -> usize {
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).expect("the child speaks");
            assert!(read > 0, "the child has ended: {}", self.log);
            match line.trim().strip_prefix("answer ") {
                Some(number) => return number.parse().expect("a number"),
                None => self.log.push_str(&line),
            }
        }
    }

    pub(crate) fn ask(&mut self, command: &str) -> usize {
        self.tell(command);
        self.answer()
    }

    /// Asks again and again until the answer is this number at least, and gives it.
    pub(crate) fn ask_until(&mut self, command: &str, least: usize) -> usize {
        let started = Instant::now();
        loop {
            let answer = self.ask(command);
            if answer >= least {
                return answer;
            }
            assert!(started.elapsed() < LONG, "{command}: {answer}, and never {least}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a child that runs");
        self.child.wait().expect("a child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
