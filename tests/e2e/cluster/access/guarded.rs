//! A server with users, files that some of them may read, and web servers on this machine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::cluster::support::{Server, ask};
use crate::support::{CAPTIONS, Tamis, root, small};

/// A user without grants, one with a grant, and an admin. Each has a token of their own name.
pub(super) const USERS: [&str; 3] = ["ada", "grace", "root"];
/// Two that may read by http: from the public internet alone, and from a host of this machine.
const WEB_USERS: [&str; 2] = ["wendy", "walter"];
/// What a refusal says to do.
pub(super) const READ: &str = "you may not read there; ask an operator for [access] read";

fn token(user: &str) -> String {
    format!("{user}-{}", "0".repeat(40))
}

/// A server with users, and files that some of them may read.
pub(super) struct Guarded {
    /// Ends with this.
    _server: Server,
    pub(super) url: String,
    pub(super) folder: tempfile::TempDir,
}

impl Guarded {
    pub(super) fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["shared", "shared/parts/part=picture", "shared-too", "secret", "granted"] {
            std::fs::create_dir_all(at(name)).expect("a folder");
        }
        for name in
            ["shared/a.parquet", "shared/parts/part=picture/p.parquet", "shared-too/t.parquet", "secret/s.parquet"]
        {
            std::fs::copy(small().parquet(), at(name)).expect("a copy");
        }
        std::fs::copy(small().parquet(), at("granted/g.parquet")).expect("a copy");
        let picture = root().join("models/tests/golden/images/c02.png");
        for name in ["shared/picture.png", "secret/picture.png"] {
            std::fs::copy(&picture, at(name)).expect("a copy");
        }
        symlink(at("secret"), at("shared/out")).expect("a link");
        std::fs::create_dir_all(at("links")).expect("a folder");
        symlink(at("secret/s.parquet"), at("shared/link.parquet")).expect("a link");
        symlink(at("shared/a.parquet"), at("links/in.parquet")).expect("a link");

        let shown = folder.path().display();
        let mut config = format!(
            "[tables]\ncorpus = \"{}/{CAPTIONS}\"\n[models]\nother = \"{}/models/tests/golden/tiny-qwen2\"\n\
             slow = \"stand-in://5000ms\"\n[options]\n\"tamis.cache.path\" = \"{shown}/scores\"\n\
             [access]\nread = [\"{shown}/shared\"]\n\
             [[access.grants]]\nusers = [\"grace\"]\nread = [\"{shown}/granted/\"]\nmodels = \"any\"\n",
            root().display(),
            root().display(),
        );
        config += "[[access.grants]]\nusers = [\"wendy\", \"walter\"]\nread = [\"http://\"]\n\
                   [[access.grants]]\nusers = [\"walter\"]\naddresses = [\"localhost\"]\n";
        for user in USERS.iter().chain(&WEB_USERS) {
            let hash = blake3::hash(token(user).as_bytes()).to_hex();
            let role = if *user == "root" { "admin" } else { "user" };
            config += &format!("[[users]]\nname = \"{user}\"\nrole = \"{role}\"\ntokens = [\"blake3:{hash}\"]\n");
        }
        let file = at("tamis.toml").display().to_string();
        std::fs::write(&file, format!("{more}\n{config}")).expect("a file");
        let args = ["serve", "--bind", "127.0.0.1:0", "--slots", "2", "--config", &file];
        let mut server = Server::start(folder.path(), "serve", &args);
        let url = server.address();
        Self { _server: server, url, folder }
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(super) fn sql(&self, user: &str, query: &str) -> Tamis {
        Tamis::sql(["--remote", &self.url], query).env("TAMIS_TOKEN", token(user))
    }

    pub(super) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub(super) fn rest(&self, user: &str, method: &str, path: &str) -> (u16, String) {
        let shown = format!("Bearer {}", token(user));
        ask(self.address(), method, path, Some(&shown)).expect("an answer")
    }

    pub(super) fn metric(&self, line: &str) -> u64 {
        let (_, metrics) = self.rest("root", "GET", "/metrics");
        let value = metrics.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {line} in {metrics}")).parse().expect("a number")
    }
}

/// A web server on this machine: it has a folder's files, and sends who asks for `/away/PORT` to this port.
pub(super) fn web(folder: std::path::PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            std::thread::spawn(move || answer(stream, &folder));
        }
    });
    port
}

fn answer(mut stream: TcpStream, folder: &Path) -> Option<()> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).ok()?;
    let (method, rest) = head.split_once(" /")?;
    let name = rest.split(' ').next()?;
    let (status, more, body) = match name.strip_prefix("away/").map(|port| port.trim_end_matches(".parquet")) {
        Some(port) => ("302 Found", format!("Location: http://127.0.0.1:{port}/x.png\r\n"), vec![]),
        None => match std::fs::read(folder.join(name)) {
            Ok(body) => ("200 OK", String::new(), body),
            Err(_) => ("404 Not Found", String::new(), vec![]),
        },
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n").ok()?;
    if method != "HEAD" {
        stream.write_all(&body).ok()?;
    }
    Some(())
}

/// A server that counts who comes, on this machine.
pub(super) fn trap() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
            let _ = stream.read(&mut [0; 1024]);
        }
    });
    (port, visits)
}
