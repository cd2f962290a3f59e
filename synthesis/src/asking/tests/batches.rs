//! Batches, those of runs that ended too early among them.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::test_server::{Action, TestServer, good, message};
use super::{Bench, bench};
use crate::Provider;
use crate::journal::{Journal, Record};

/// A server of batches: it keeps what it is sent, and ends a batch when it has been asked about it `polls` times.
fn batch_server(polls: usize, line: impl Fn(&str, usize) -> Value + Send + Sync + 'static) -> TestServer {
    let batches: Mutex<Vec<(Vec<String>, usize)>> = Mutex::default();
    TestServer::start(move |request, _| {
        let mut batches = batches.lock().unwrap();
        let path = request.line.split(' ').nth(1).unwrap().to_string();
        let described = |i: usize, (keys, asked): &(Vec<String>, usize)| {
            let status = if *asked >= polls { "ended" } else { "in_progress" };
            json!({"id": format!("b{i}"), "processing_status": status, "request_counts": {"processing": keys.len()},
                   "results_url": "https://elsewhere.invalid/results"})
        };
        if request.line.starts_with("POST") {
            let requests = request.body["requests"].as_array().unwrap();
            let keys = requests.iter().map(|r| r["custom_id"].as_str().unwrap().to_string()).collect();
            batches.push((keys, 0));
            return Action::json(&described(batches.len() - 1, batches.last().unwrap()));
        }
        let rest = path.strip_prefix("/v1/messages/batches").unwrap();
        if let Some(id) = rest.strip_prefix("/b") {
            let (number, results) = id.split_once('/').map_or((id, false), |(number, _)| (number, true));
            let number: usize = number.parse().unwrap();
            if results {
                // In another order than they were sent.
                let lines: Vec<String> = batches[number]
                    .0
                    .iter()
                    .enumerate()
                    .rev()
                    .map(|(i, key)| line(key, i + number * 100).to_string())
                    .collect();
                return Action::Reply(200, vec![], lines.join("\n"));
            }
            batches[number].1 += 1;
            return Action::json(&described(number, &batches[number]));
        }
        let listed: Vec<Value> = batches.iter().enumerate().rev().map(|(i, batch)| described(i, batch)).collect();
        Action::json(&json!({"data": listed}))
    })
}

fn succeeded(key: &str) -> Value {
    json!({"custom_id": key, "result": {"type": "succeeded", "message": message(&good())}})
}

fn created(server: &TestServer) -> usize {
    server.requests().iter().filter(|request| request.line.starts_with("POST")).count()
}

#[tokio::test]
async fn batches_are_half_the_price_and_what_expired_is_asked_again() {
    let server = batch_server(2, |key, i| match i {
        1 => json!({"custom_id": key, "result": {"type": "expired"}}),
        2 => json!({"custom_id": key, "result": {"type": "errored",
                    "error": {"error": {"type": "invalid_request_error", "message": "bad image"}}}}),
        _ => succeeded(key),
    });
    let bench = bench(5);
    let mut settings = bench.settings(Provider::Anthropic, &server);
    settings.in_batches = true;
    let answered = bench.ask(&settings).await;
    assert!(answered.stopped.is_none(), "{:?}", answered.stopped);
    assert_eq!((Bench::answered(&answered), created(&server)), (4, 2));
    assert!(answered.quarantined.len() == 1 && answered.quarantined[0].reason.contains("bad image"));
    assert!((answered.spent.cost_usd - 4.0 * 0.001).abs() < 1e-9, "{:?}", answered.spent);
    let body = &server.requests()[0].body;
    assert_eq!(body.pointer("/requests/0/params/tool_choice/name"), Some(&json!("write_texts")));
}

#[tokio::test]
async fn a_batch_that_is_under_way_is_picked_up() {
    let server = batch_server(40, |key, _| succeeded(key));
    let bench = bench(4);
    let mut settings = bench.settings(Provider::Anthropic, &server);
    settings.in_batches = true;
    // The run ends in the middle, when the batch was asked about a few times.
    let run = bench.ask(&settings);
    tokio::select! {
        _ = run => panic!("it ended"),
        () = async { while server.count() < 5 { tokio::time::sleep(Duration::from_millis(2)).await; } } => {}
    }
    settings.resume = true;
    let answered = bench.ask(&settings).await;
    assert_eq!((Bench::answered(&answered), created(&server)), (4, 1));
}

#[tokio::test]
async fn a_batch_whose_id_was_not_written_is_found() {
    let server = batch_server(3, |key, _| succeeded(key));
    let bench = bench(4);
    let mut settings = bench.settings(Provider::Anthropic, &server);
    settings.in_batches = true;
    bench.ask(&settings).await;
    // What the journal would have, had the process ended right after the request.
    let text = std::fs::read_to_string(&settings.journal).unwrap();
    let until: Vec<&str> = text.split_inclusive('\n').take_while(|line| !line.contains("batch_made")).collect();
    std::fs::write(&settings.journal, until.concat()).unwrap();
    assert!(until.last().unwrap().contains("batch_wanted"));
    settings.resume = true;
    let answered = bench.ask(&settings).await;
    assert_eq!((Bench::answered(&answered), created(&server)), (4, 1));
    // One that was never made is made.
    std::fs::remove_file(&settings.journal).unwrap();
    let (mut journal, _) = Journal::open(&settings.journal, &settings.identity(), true).unwrap();
    journal.append(&Record::BatchWanted { keys: vec!["other".into()], at: 0 }).unwrap();
    drop(journal);
    assert_eq!(Bench::answered(&bench.ask(&settings).await), 4);
    assert_eq!(created(&server), 2);
}
