//! Web servers, each with its own ways.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use object_store::path::Path;
use parking_lot::Mutex;
use tamis_udfs::web::Addresses;
use url::Url;

use crate::web_store::{WebStore, location_of};

/// How a server of the tests is not as it should be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Server {
    pub(super) no_ranges: bool,
    pub(super) no_head: bool,
    pub(super) no_lengths: bool,
    /// Parts do not tell the size of the whole, nor does HEAD.
    pub(super) no_totals: bool,
    pub(super) gzip: bool,
    pub(super) no_e_tag: bool,
    /// So many answers end in the middle of their body.
    pub(super) breaks: usize,
    /// So many requests are refused at first.
    pub(super) busy: usize,
    /// Each answer has another tag.
    pub(super) changes: bool,
    /// Each answer is longer than the one before.
    pub(super) grows: bool,
}

/// A server that runs, of one file.
pub(super) struct Running {
    pub(super) origin: Url,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn start(self, body: Vec<u8>) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&requests);
        let body = Arc::new(body);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (noted, body) = (Arc::clone(&noted), Arc::clone(&body));
                std::thread::spawn(move || self.serve(stream, &noted, &body));
            }
        });
        Running { origin, requests }
    }

    fn serve(self, mut stream: TcpStream, noted: &Mutex<Vec<String>>, file: &[u8]) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let lines = reader.by_ref().lines().map_while(Result::ok);
        let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let Some(first) = lines.first().cloned() else { return };
        let number = {
            let mut noted = noted.lock();
            noted.push(first.trim_end_matches(" HTTP/1.1").to_string());
            noted.len()
        };
        let header = |name: &str| {
            lines.iter().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_string())
            })
        };
        if let Some(length) = header("content-length") {
            reader.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
        }
        let is_head = first.starts_with("HEAD ");
        let tag = format!("\"{}\"", if self.changes { number } else { 0 });
        let mut head = vec!["Connection: close".to_string()];
        let mut body = file.to_vec();
        if self.grows {
            body.resize(file.len() + number, 0);
        }
        if self.gzip {
            body = gzip(&body);
            head.push("Content-Encoding: gzip".to_string());
        }
        let mut status = "200 OK".to_string();
        if let Some(range) = header("range").filter(|_| !self.no_ranges) {
            let range = range_of(&range, body.len());
            if range.is_empty() {
                status = "416 Range Not Satisfiable".to_string();
                head.push(format!("Content-Range: bytes */{}", body.len()));
                body = Vec::new();
            } else {
                status = "206 Partial Content".to_string();
                let total = if self.no_totals { "*".to_string() } else { body.len().to_string() };
                head.push(format!("Content-Range: bytes {}-{}/{total}", range.start, range.end - 1));
                body = body[range].to_vec();
            }
        }
        let target = first.split(' ').nth(1).unwrap();
        if target.starts_with("/absent") {
            (status, body) = ("404 Not Found".to_string(), Vec::new());
        } else if target.starts_with("/secret") {
            (status, body) = ("403 Forbidden".to_string(), Vec::new());
        } else if number <= self.busy {
            (status, body) = ("503 Service Unavailable".to_string(), Vec::new());
        } else if is_head && self.no_head {
            (status, body) = ("405 Method Not Allowed".to_string(), Vec::new());
        } else if header("if-match").is_some_and(|wanted| wanted != tag) {
            (status, body) = ("412 Precondition Failed".to_string(), Vec::new());
        }
        let tells_length = !(self.no_lengths || (is_head && self.no_totals));
        if tells_length {
            head.push(format!("Content-Length: {}", body.len()));
        }
        if !self.no_e_tag {
            head.push(format!("ETag: {tag}"));
        }
        if number <= self.breaks {
            body.truncate(body.len() / 2);
        }
        if is_head {
            body.clear();
        }
        let head = format!("HTTP/1.1 {status}\r\n{}\r\n\r\n", head.join("\r\n"));
        // The client may have what it wants and be gone.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    }
}

impl Running {
    pub(super) fn store(&self) -> WebStore {
        WebStore::new(&self.origin, Addresses::Any).unwrap()
    }

    pub(super) fn location(&self, target: &str) -> Path {
        location_of(&Url::parse(&format!("{}{target}", self.origin.as_str().trim_end_matches('/'))).unwrap())
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
}

fn range_of(header: &str, length: usize) -> std::ops::Range<usize> {
    let (first, last) = header.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    match (first, last) {
        ("", count) => length - count.parse::<usize>().unwrap().min(length)..length,
        (first, "") => first.parse().unwrap()..length,
        (first, last) => first.parse().unwrap()..(last.parse::<usize>().unwrap() + 1).min(length),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
