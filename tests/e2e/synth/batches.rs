//! Message Batches over a server on loopback: a batch that was made is waited for by whoever goes on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::{Json, Router};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::support::{SMALL_ROWS, Tamis, small};

const KEY: &str = "sk-ant-e2e-0123456789";

/// The batches that were made, and what was asked about them.
#[derive(Default)]
struct Batches {
    made: Mutex<Vec<Vec<String>>>,
    polls: Mutex<usize>,
    /// Batches end when this is set.
    is_ended: Mutex<bool>,
}

impl Batches {
    fn serve() -> (String, Arc<Self>) {
        let batches = Arc::new(Self::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&batches));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || runtime.block_on(async { axum::serve(listener, router).await }));
        (format!("http://{address}"), batches)
    }

    fn described(&self, number: usize, keys: &[String]) -> Value {
        let status = if *self.is_ended.lock().expect("a lock") { "ended" } else { "in_progress" };
        json!({"id": format!("batch_{number}"), "processing_status": status, "request_counts": {"processing": keys.len()}})
    }
}

async fn answer(
    State(batches): State<Arc<Batches>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> String {
    assert_eq!(headers["x-api-key"], KEY);
    assert_eq!(headers["anthropic-version"], "2023-06-01");
    let mut made = batches.made.lock().expect("a lock");
    if method == Method::POST {
        let Json(body): Json<Value> = Json::from_bytes(&body).expect("a request of JSON");
        let requests = body["requests"].as_array().expect("requests");
        let keys: Vec<String> =
            requests.iter().map(|request| request["custom_id"].as_str().expect("an id").to_string()).collect();
        made.push(keys.clone());
        return batches.described(made.len() - 1, &keys).to_string();
    }
    let rest = uri.path().strip_prefix("/v1/messages/batches").expect("a path of batches");
    let Some(named) = rest.strip_prefix("/batch_") else {
        let listed: Vec<Value> = made.iter().enumerate().map(|(i, keys)| batches.described(i, keys)).collect();
        return json!({"data": listed}).to_string();
    };
    let (number, is_results) = named.split_once('/').map_or((named, false), |(number, _)| (number, true));
    let number: usize = number.parse().expect("a number");
    if !is_results {
        *batches.polls.lock().expect("a lock") += 1;
        return batches.described(number, &made[number]).to_string();
    }
    let lines = made[number].iter().rev().map(|key| {
        let texts = json!({
            "level_3": format!("Two brown dogs run along a sandy beach, number {}.", &key[..6]),
            "level_2": format!("Two black dogs run along a sandy beach, number {}.", &key[..6]),
            "level_1": "Three grey horses stand on a sandy beach at night.",
            "level_0": "A bowl of soup stands on a wooden table beside a spoon.",
        });
        let message = json!({
            "content": [{"type": "tool_use", "name": "write_texts", "input": texts}],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 1_000, "output_tokens": 200},
        });
        json!({"custom_id": key, "result": {"type": "succeeded", "message": message}}).to_string()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn synth(url: &str, output: &Path, more: &[&str]) -> Tamis {
    let (data, output) = (small().parquet(), output.to_string_lossy().into_owned());
    let args = ["synth", "--data", &data, "-o", &output, "--provider", "anthropic", "--endpoint", url, "--batch"];
    let args = args.into_iter().chain(["--provider-model", "claude-sonnet-4-5", "--poll", "1", "--budget", "5"]);
    Tamis::new(args.chain(more.iter().copied())).env("ANTHROPIC_API_KEY", KEY)
}

#[test]
fn a_batch_of_a_killed_run_is_read_by_the_next_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.parquet");
    let (url, batches) = Batches::serve();
    synth(&url, &output, &[]).kill_when(|| *batches.polls.lock().expect("a lock") > 0);
    assert!(!output.exists());
    *batches.is_ended.lock().expect("a lock") = true;
    let run = synth(&url, &output, &["--resume"]).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let made = batches.made.lock().expect("a lock").clone();
    assert_eq!(made.len(), 1, "made once");
    // Whatever order results come in, each row has its own.
    let query = format!("SELECT image, text, cost_usd FROM '{}' WHERE level = 3", output.display());
    let rows = Tamis::sql([], &query).rows();
    assert_eq!(rows.len(), SMALL_ROWS);
    let mut by_image: BTreeMap<String, String> = BTreeMap::new();
    for row in &rows {
        let text = by_image.entry(row["image"].to_string()).or_insert_with(|| row["text"].to_string());
        assert_eq!(*text, row["text"].to_string());
    }
    let texts: std::collections::BTreeSet<&String> = by_image.values().collect();
    assert_eq!((texts.len(), by_image.len()), (made[0].len(), made[0].len()));
    // Half of 1,000 tokens at $3 and 200 at $15 a million, a quarter of it for each text.
    assert!(rows.iter().any(|row| row["cost_usd"].as_f64().is_some_and(|usd| (usd - 0.003 / 4.0).abs() < 1e-9)));
}
