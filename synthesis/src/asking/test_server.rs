//! A real HTTP server that behaves as a test tells it to, the bad ways included.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// A request that has come.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Value,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// What the server does with it.
pub(super) enum Action {
    /// Answers.
    Reply(u16, Vec<(&'static str, String)>, String),
    /// Says nothing for so long.
    Hang(Duration),
    /// Closes the connection.
    Drop,
    /// Closes it in the middle of the answer.
    Cut(String),
}

impl Action {
    pub(super) fn json(body: &Value) -> Self {
        Self::Reply(200, vec![], body.to_string())
    }
}

/// A server and what it was asked.
pub(super) struct TestServer {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl TestServer {
    /// Serves until the test's process ends; `behave` is told the request and how many came before it.
    pub(super) fn start(behave: impl Fn(&Request, usize) -> Action + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (seen, behave) = (Arc::clone(&requests), Arc::new(behave));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, behave) = (Arc::clone(&seen), Arc::clone(&behave));
                std::thread::spawn(move || {
                    if let Some(request) = read(&stream) {
                        let before = {
                            let mut seen = seen.lock().unwrap();
                            seen.push(request.clone());
                            seen.len() - 1
                        };
                        act(stream, behave(&request, before));
                    }
                });
            }
        });
        Self { url, requests }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.requests().len()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut headers = vec![];
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_string()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Request { line: line.trim().to_string(), headers, body })
}

fn act(mut stream: TcpStream, action: Action) {
    match action {
        Action::Reply(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes());
        }
        Action::Hang(time) => std::thread::sleep(time),
        Action::Drop => {}
        Action::Cut(body) => {
            let half = &body[..body.len() / 2];
            let _ =
                stream.write_all(format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n{half}", body.len()).as_bytes());
        }
    }
}

/// Four texts as a model should write them.
pub(super) fn good() -> Value {
    json!({
        "level_3": "Two brown dogs run along a sandy beach under a clear sky.",
        "level_2": "Two brown dogs run along a sandy beach under a cloudy sky.",
        "level_1": "Three grey horses stand on a sandy beach at night.",
        "level_0": "A bowl of soup stands on a wooden table beside a spoon.",
    })
}

/// A chat completion that says something.
pub(super) fn completion(said: &str) -> Value {
    json!({
        "choices": [{"message": {"content": said}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
    })
}

/// A message that uses the tool.
pub(super) fn message(input: &Value) -> Value {
    json!({
        "content": [{"type": "text", "text": "."}, {"type": "tool_use", "name": "write_texts", "input": input}],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 1000, "output_tokens": 100},
    })
}
