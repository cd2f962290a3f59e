mod batches;

use std::borrow::Cow;
use std::sync::Mutex;

use serde_json::{Value, json};
use tamis_models::preprocess::Rgb;

use super::test_server::{Action, TestServer, completion, good, message};
use super::*;
use crate::prompt::Kind;
use crate::sheet::png;
use crate::sources::{Content, Source, examine};

const KEY: &str = "sk-secret-0123456789";

struct Bench {
    folder: tempfile::TempDir,
    sources: Sources,
}

/// Rows with images of one pixel each, all different.
fn bench(rows: u8) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = Sources::new(folder.path()).unwrap();
    for n in 0..rows {
        let bytes = png(&Rgb { width: 1, height: 1, pixels: vec![n, 0, 0] }).unwrap();
        let read = |bytes: &Vec<u8>| Ok::<_, String>(Cow::Owned(bytes.clone()));
        let (_, examined) = examine(std::slice::from_ref(&bytes), read, 100).remove(0).unwrap();
        let image = sources.keep(&bytes, examined).unwrap();
        sources.push(Source {
            uid: n.to_string(),
            split: None,
            content: Content::Pair { image, text: None, facts: None },
        });
    }
    Bench { folder, sources }
}

impl Bench {
    fn settings(&self, provider: Provider, server: &TestServer) -> AskSettings {
        AskSettings {
            api: ApiSettings {
                provider,
                endpoint: Some(server.url.clone()),
                model: "m".into(),
                key: Some(Secret::of(KEY)),
                answer_tokens: 500,
                timeout: Duration::from_millis(400),
                seed: 1,
            },
            prompt: Prompt::of(Kind::Captions),
            limits: Limits::default(),
            price: Some(Price { input: 1.0, output: 10.0 }),
            concurrency: 2,
            in_batches: false,
            journal: self.folder.path().join("journal"),
            resume: false,
            patience: Patience {
                first: Duration::from_millis(2),
                tries: 4,
                attempts: 3,
                poll: Duration::from_millis(5),
            },
        }
    }

    async fn ask(&self, settings: &AskSettings) -> Answered {
        ask(settings, &self.sources).await.unwrap()
    }

    /// The rows that have an answer.
    fn answered(answered: &Answered) -> usize {
        answered.answers.iter().flatten().count()
    }
}

fn ok() -> Action {
    Action::json(&completion(&good().to_string()))
}

#[tokio::test]
async fn every_row_has_an_answer_and_its_costs() {
    let server = TestServer::start(|_, _| ok());
    let bench = bench(5);
    let answered = bench.ask(&bench.settings(Provider::OpenAi, &server)).await;
    assert!(answered.stopped.is_none() && answered.quarantined.is_empty());
    assert_eq!((Bench::answered(&answered), server.count()), (5, 5));
    let (texts, usage) = answered.answers[0].clone().unwrap();
    assert!(texts[0].contains("soup") && texts[3].contains("clear sky"));
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cost_usd), (1_000, 100, 0.002));
    assert!((answered.spent.cost_usd - 0.01).abs() < 1e-9);
    let request = &server.requests()[0];
    assert_eq!(request.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(request.line, "POST /chat/completions HTTP/1.1");
    let image = request.body.pointer("/messages/1/content/0/image_url/url").unwrap().as_str().unwrap();
    assert!(image.starts_with("data:image/png;base64,iVBOR"), "{image}");
    assert_eq!(request.body.pointer("/response_format/json_schema/strict"), Some(&json!(true)));
}

#[tokio::test]
async fn a_server_that_fails_now_and_then_is_asked_again() {
    let server = TestServer::start(|_, before| match before {
        0 => Action::Reply(429, vec![("retry-after", "0.05".into())], "slow down".into()),
        1 => Action::Reply(529, vec![], r#"{"error": {"message": "overloaded"}}"#.into()),
        2 => Action::Hang(Duration::from_millis(900)),
        3 => Action::Drop,
        4 => Action::Cut(completion(&good().to_string()).to_string()),
        5 => Action::Reply(200, vec![], "<html>a proxy's page</html>".into()),
        _ => ok(),
    });
    let bench = bench(6);
    let mut settings = bench.settings(Provider::OpenAi, &server);
    settings.patience.tries = 8;
    let answered = bench.ask(&settings).await;
    assert!(answered.stopped.is_none(), "{:?}", answered.stopped);
    assert_eq!((Bench::answered(&answered), server.count()), (6, 12));
    // The same request has the same name, whatever became of it.
    let mut names: Vec<_> =
        server.requests().iter().map(|r| r.header("idempotency-key").unwrap().to_string()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 6);
}

#[tokio::test]
async fn all_wait_as_long_as_the_server_wants_to_be_left_alone() {
    let times = std::sync::Arc::new(Mutex::new(vec![]));
    let seen = std::sync::Arc::clone(&times);
    let server = TestServer::start(move |_, before| {
        seen.lock().unwrap().push(std::time::Instant::now());
        if before == 0 { Action::Reply(429, vec![("retry-after", "0.3".into())], String::new()) } else { ok() }
    });
    let bench = bench(3);
    let mut settings = bench.settings(Provider::OpenAi, &server);
    settings.concurrency = 1;
    assert_eq!(Bench::answered(&bench.ask(&settings).await), 3);
    let times = times.lock().unwrap();
    assert!(times[1] - times[0] >= Duration::from_millis(290));
}

#[tokio::test]
async fn answers_that_cannot_be_used_are_asked_for_again_and_then_quarantined() {
    let bad = |field: &str, text: Value| {
        let mut texts = good();
        texts[field] = text;
        completion(&texts.to_string())
    };
    let answers = [
        (completion("I would rather write a poem."), "not JSON"),
        (bad("level_1", Value::Null), "no text"),
        (completion(r#"{"level_3": "a", "level_2": "b", "level_1": "c"}"#), "no level_0"),
        (bad("level_1", json!("As requested, here is a wrong caption of the scene.")), "gives itself away"),
        (bad("level_2", good()["level_3"].clone()), "same text"),
        (bad("level_0", json!("")), "empty"),
        (json!({"choices": []}), "no text"),
        (json!({"choices": [{"message": {"content": "{}"}, "finish_reason": "length"}]}), "cut off"),
    ];
    for (answer, reason) in answers {
        let body = answer.to_string();
        let server = TestServer::start(move |_, _| Action::Reply(200, vec![], body.clone()));
        let bench = bench(1);
        let answered = bench.ask(&bench.settings(Provider::OpenAi, &server)).await;
        assert_eq!(server.count(), 3, "{reason}");
        let [quarantined] = &answered.quarantined[..] else { panic!("{answered:?}") };
        assert!(quarantined.reason.contains(reason) && quarantined.uid == "0", "{quarantined:?}, not {reason}");
        // They are paid for all the same.
        assert!(answered.spent.cost_usd > 0.005 || reason.contains("no text") || reason == "cut off");
    }
}

#[tokio::test]
async fn a_bad_answer_costs_one_more_request() {
    let server = TestServer::start(|_, before| if before == 0 { Action::json(&completion("no")) } else { ok() });
    let bench = bench(1);
    let answered = bench.ask(&bench.settings(Provider::OpenAi, &server)).await;
    assert_eq!((Bench::answered(&answered), server.count(), answered.spent.input_tokens), (1, 2, 2_000));
}

#[tokio::test]
async fn an_endpoint_without_schemas_is_asked_in_words() {
    let server = TestServer::start(|request, _| match request.body.get("response_format") {
        Some(_) => Action::Reply(400, vec![], r#"{"error": "response_format is not supported"}"#.into()),
        None => Action::json(&completion(&format!("Sure!\n```json\n{}\n```", good()))),
    });
    let bench = bench(4);
    let mut settings = bench.settings(Provider::OpenAi, &server);
    settings.concurrency = 1;
    settings.api.key = None;
    assert_eq!(Bench::answered(&bench.ask(&settings).await), 4);
    assert_eq!(server.count(), 5);
    let last = &server.requests()[4];
    let said = last.body.pointer("/messages/1/content/1/text").unwrap().as_str().unwrap();
    assert!(said.contains("one JSON object") && last.header("authorization").is_none());
}

#[tokio::test]
async fn a_refused_key_stops_at_once_and_is_not_shown() {
    let server = TestServer::start(|_, _| {
        Action::Reply(401, vec![], json!({"error": {"message": format!("invalid key {KEY}")}}).to_string())
    });
    let bench = bench(50);
    let settings = bench.settings(Provider::Anthropic, &server);
    let answered = bench.ask(&settings).await;
    let error = answered.stopped.unwrap().to_string();
    assert!(error.contains("401") && error.contains("[key]") && !error.contains(KEY), "{error}");
    assert!(server.count() <= 2);
    assert!(!std::fs::read_to_string(&settings.journal).unwrap().contains(KEY));
    let mut settings = bench.settings(Provider::Anthropic, &server);
    settings.api.key = None;
    let error = ask(&settings, &bench.sources).await.unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("ANTHROPIC_API_KEY"), "{error}");
}

#[tokio::test]
async fn one_refused_row_is_quarantined_and_a_server_that_refuses_all_stops() {
    let server = TestServer::start(|_, before| match before {
        0 => Action::Reply(400, vec![], r#"{"error": {"message": "image too strange"}}"#.into()),
        _ => Action::json(&message(&good())),
    });
    let bench = bench(12);
    let mut settings = bench.settings(Provider::Anthropic, &server);
    settings.concurrency = 1;
    let answered = bench.ask(&settings).await;
    assert_eq!((Bench::answered(&answered), answered.quarantined.len()), (11, 1));
    assert!(answered.quarantined[0].reason.contains("image too strange"));
    let server = TestServer::start(|_, _| Action::Reply(400, vec![], "no such model".into()));
    settings.api.endpoint = Some(server.url.clone());
    settings.journal = bench.folder.path().join("other");
    let answered = bench.ask(&settings).await;
    assert!(answered.stopped.unwrap().to_string().contains("no such model"));
    assert_eq!(server.count(), 5);
}

#[tokio::test]
async fn the_budget_stops_before_it_is_spent_and_more_goes_on() {
    let server = TestServer::start(|_, _| Action::json(&message(&good())));
    let bench = bench(20);
    let mut settings = bench.settings(Provider::Anthropic, &server);
    settings.concurrency = 1;
    settings.limits = Limits { usd: Some(0.02), tokens: None };
    let answered = bench.ask(&settings).await;
    let first = server.count();
    assert!((2..10).contains(&first) && answered.spent.cost_usd <= 0.02, "{first}: {:?}", answered.spent);
    assert!(matches!(answered.stopped, Some(SynthesisError::Budget { left, .. }) if left == 20 - first));
    settings.resume = true;
    let again = bench.ask(&settings).await;
    assert_eq!((server.count(), Bench::answered(&again)), (first, first), "spent is spent");
    settings.limits = Limits { usd: None, tokens: Some(1_000_000) };
    let answered = bench.ask(&settings).await;
    assert_eq!((Bench::answered(&answered), server.count()), (20, 20), "nothing is paid twice");
    settings.limits = Limits { usd: Some(1.0), tokens: None };
    settings.price = None;
    assert!(ask(&settings, &bench.sources).await.unwrap_err().to_string().contains("price of m is not known"));
}

#[tokio::test]
async fn equal_rows_are_asked_about_once_and_a_second_run_not_at_all() {
    let server = TestServer::start(|_, _| ok());
    let mut bench = bench(3);
    let twice: Vec<Source> = [bench.sources.rows(), bench.sources.rows()].concat();
    bench.sources.replace(twice);
    let mut settings = bench.settings(Provider::OpenAi, &server);
    let answered = bench.ask(&settings).await;
    assert_eq!((Bench::answered(&answered), server.count()), (6, 3));
    let sum: f64 = answered.answers.iter().flatten().map(|(_, usage)| usage.cost_usd).sum();
    assert!((sum - answered.spent.cost_usd).abs() < 1e-9);
    settings.resume = true;
    assert_eq!(Bench::answered(&bench.ask(&settings).await), 6);
    assert_eq!(server.count(), 3);
}

#[test]
fn an_estimate_counts_different_rows() {
    let server_less = TestServer::start(|_, _| Action::Drop);
    let bench = bench(3);
    let settings = bench.settings(Provider::OpenAi, &server_less);
    let estimate = estimate(&settings, &bench.sources).unwrap();
    assert_eq!(estimate.requests, 3);
    assert!(estimate.likely.cost_usd > 0.0 && estimate.most.cost_usd > estimate.likely.cost_usd);
    assert_eq!(server_less.count(), 0, "nothing is asked");
}
