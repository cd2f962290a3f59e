//! A web server of the tests, which notes what it was asked for.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

/// A server on a free port of the loopback.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl TestServer {
    /// Answers each request, of which `answer` gets the line and the headers, with what it gives.
    pub(crate) fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1", answer)
    }

    /// The same at another address of the loopback.
    pub(crate) fn start_at(host: &str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heads);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &noted, answer.as_ref()));
            }
        });
        Self { address, heads }
    }

    /// Answers everything with 200 and `body`.
    pub(crate) fn of(body: &'static [u8]) -> Self {
        Self::start(move |_| reply("200 OK", "", body))
    }

    /// The URL of a path, as it is given.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The request lines and headers of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }

    /// What each request asked for.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.heads().iter().map(|head| head.split(' ').nth(1).unwrap().to_string()).collect()
    }
}

fn serve(mut stream: TcpStream, noted: &Mutex<Vec<String>>, answer: &dyn Fn(&str) -> Vec<u8>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let lines: Vec<_> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return;
    }
    let head = lines.join("\n");
    noted.lock().push(head.clone());
    // The client may have what it wants and be gone.
    let _ = stream.write_all(&answer(&head));
}

/// An answer with a body and further headers, each line of which ends with `\r\n`.
pub(crate) fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
