//! A server of chat completions, which counts what it is asked about each image.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

/// What the server does with its nth request, from 0.
type Behaviour = dyn Fn(usize) -> Does + Send + Sync;

/// What may become of a request.
pub(super) enum Does {
    /// It is answered as it should be.
    Answer,
    /// It is answered by something else.
    Say(&'static str),
    /// It is refused.
    Refuse(u16),
    /// It is not answered.
    Hang,
}

/// What was asked so far.
pub(super) struct Asked {
    behaviour: Box<Behaviour>,
    /// How often each image was asked about, and how often that was answered.
    images: Mutex<BTreeMap<String, (usize, usize)>>,
    pub(super) authorization: Mutex<Vec<String>>,
    count: Mutex<usize>,
}

impl Asked {
    /// Serves until the process ends; where, and what it was asked.
    pub(super) fn serve(behaviour: impl Fn(usize) -> Does + Send + Sync + 'static) -> (String, Arc<Self>) {
        let asked = Arc::new(Self {
            behaviour: Box::new(behaviour),
            images: Mutex::default(),
            authorization: Mutex::default(),
            count: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&asked));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || runtime.block_on(async { axum::serve(listener, router).await }));
        (format!("http://{address}/v1"), asked)
    }

    pub(super) fn count(&self) -> usize {
        *self.count.lock().expect("a lock")
    }

    /// How often each image was answered.
    pub(super) fn answered(&self) -> Vec<usize> {
        self.images.lock().expect("a lock").values().map(|(_, answered)| *answered).collect()
    }
}

async fn answer(State(asked): State<Arc<Asked>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let body: Value = serde_json::from_slice(&body).expect("a request of JSON");
    let image = body.pointer("/messages/1/content/0/image_url/url").and_then(Value::as_str).expect("an image");
    let image = blake3::hash(image.as_bytes()).to_hex().to_string();
    let before = {
        let mut count = asked.count.lock().expect("a lock");
        *count += 1;
        *count - 1
    };
    let key = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_string();
    asked.authorization.lock().expect("a lock").push(key);
    asked.images.lock().expect("a lock").entry(image.clone()).or_default().0 += 1;
    let said = match (asked.behaviour)(before) {
        Does::Answer => texts().to_string(),
        Does::Say(said) => said.to_string(),
        Does::Refuse(status) => return (StatusCode::from_u16(status).expect("a status"), "refused".into()),
        Does::Hang => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            String::new()
        }
    };
    asked.images.lock().expect("a lock").entry(image).or_default().1 += 1;
    let answer = json!({
        "choices": [{"message": {"content": said}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 200},
    });
    (StatusCode::OK, answer.to_string())
}

fn texts() -> Value {
    json!({
        "level_3": "Two brown dogs run along a sandy beach under a clear sky.",
        "level_2": "Two brown dogs run along a sandy beach under a cloudy sky.",
        "level_1": "Three grey horses stand on a sandy beach at night.",
        "level_0": "A bowl of soup stands on a wooden table beside a spoon.",
    })
}
