//! Starting servers, and doing to them what can happen to them.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Tamis, root};

/// What a test waits for comes within this time, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A server process; it is killed when the test ends.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    pub(crate) fn start(folder: &std::path::Path, name: &str, args: &[&str]) -> Self {
        Self::start_with(folder, name, args, &[])
    }

    /// The same, with variables of the environment.
    pub(crate) fn start_with(folder: &std::path::Path, name: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tamis"));
        command.args(args).current_dir(root()).env("XDG_CACHE_HOME", folder).envs(env.iter().copied());
        for name in ["HF_HOME", "HF_HUB_CACHE", "RUST_LOG", "RUST_BACKTRACE"] {
            command.env_remove(name);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out).spawn().expect("the server starts");
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The address at which the server says that it listens.
    pub(crate) fn address(&mut self) -> String {
        let mut address = None;
        wait_until("the server listens", || {
            assert!(self.child.try_wait().expect("a child").is_none(), "the server ended: {}", self.log());
            let log = self.log();
            address = log.split_once("listening at ").and_then(|(_, rest)| Some(rest.lines().next()?.to_string()));
            address.is_some()
        });
        address.expect("an address")
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the server is killed");
        self.child.wait().expect("the server ends");
    }

    /// Ends it as an operator does, and gives its exit status.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM");
        let mut code = None;
        wait_until("the server ends", || {
            code = self.child.try_wait().expect("a child").map(|status| status.code());
            code.is_some()
        });
        code.expect("an end")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A scheduler and its executors.
pub(crate) struct Cluster {
    pub(crate) scheduler: Server,
    pub(crate) executors: Vec<Server>,
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
    options: Vec<String>,
    /// How many executors were started.
    started: usize,
}

impl Cluster {
    /// A cluster of so many executors, each started with these arguments.
    pub(crate) fn start(executors: usize, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut scheduler = Server::start(folder.path(), "scheduler", &["scheduler", "--bind", "127.0.0.1:0"]);
        let url = scheduler.address();
        let options = options.iter().map(ToString::to_string).collect();
        let mut cluster = Self { scheduler, executors: vec![], url, folder, options, started: 0 };
        (0..executors).for_each(|_| cluster.add_executor());
        cluster.wait_for(executors);
        cluster
    }

    pub(crate) fn add_executor(&mut self) {
        self.started += 1;
        let name = format!("executor-{}", self.started);
        let mut args = vec!["executor", "--scheduler", &self.url];
        args.extend(self.options.iter().map(String::as_str));
        let executor = Server::start(self.folder.path(), &name, &args);
        self.executors.push(executor);
    }

    /// Starts an executor in the place of one that has ended.
    pub(crate) fn replace_executor(&mut self, at: usize) {
        self.add_executor();
        drop(self.executors.swap_remove(at));
    }

    /// Waits until so many executors are known.
    pub(crate) fn wait_for(&self, executors: usize) {
        wait_until(&format!("{executors} executors"), || {
            self.get("/readyz").is_some_and(|answer| answer == format!("{executors} executors\n"))
        });
    }

    /// Starts the scheduler again, at its address.
    pub(crate) fn restart_scheduler(&mut self) {
        let bind = self.url.trim_start_matches("http://").to_string();
        self.scheduler = Server::start(self.folder.path(), "scheduler-again", &["scheduler", "--bind", &bind]);
        self.scheduler.address();
    }

    /// What the scheduler answers, if it does.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        get(self.url.trim_start_matches("http://"), path)
    }

    /// How far scoring is, over all executors.
    pub(crate) fn progress(&self) -> Value {
        serde_json::from_str(&self.get("/api/progress").expect("an answer")).expect("JSON")
    }

    /// Rows that have gone through score nodes.
    pub(crate) fn rows(&self) -> u64 {
        self.progress()["total"]["rows"].as_u64().expect("a number")
    }

    /// Tasks that run, by executor.
    pub(crate) fn tasks(&self) -> Vec<u64> {
        let progress = self.progress();
        let executors = progress["executors"].as_array().expect("executors");
        executors.iter().map(|executor| executor["tasks_running"].as_u64().expect("a number")).collect()
    }

    /// A query on this cluster.
    pub(crate) fn sql(&self, query: &str) -> Tamis {
        Tamis::sql(["--remote", &self.url], query)
    }
}

/// A GET request over HTTP/1.1; the body of an answer of status 200.
pub(crate) fn get(address: &str, path: &str) -> Option<String> {
    let (status, body) = ask(address, "GET", path, None)?;
    (status == 200).then_some(body)
}

/// A request over HTTP/1.1, with credentials if there are any; the answer's status and body.
pub(crate) fn ask(address: &str, method: &str, path: &str, authorization: Option<&str>) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let shown = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{shown}Connection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let body = match head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        true => body.split("\r\n").skip(1).step_by(2).collect(),
        false => body.to_string(),
    };
    Some((status, body))
}
