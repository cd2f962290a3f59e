//! Whose queries are whose, how many a user has, wrong passwords, and wrong rules.

use serde_json::Value;

use super::guarded::{Guarded, READ};
use crate::cluster::support::{Server, ask, wait_until};
use crate::support::{Tamis, small};

#[test]
fn users_see_and_end_their_own_queries() {
    let guarded = Guarded::start("[limits]\nrunning = 1\nqueued = 1");
    let slow = |run: usize| {
        let scored = format!("SELECT sum(unifilter(image, concat(text, '<&>', {run}), 'slow')) AS q FROM corpus");
        format!("SET tamis.cache.path = 'off'; {scored}")
    };
    let jobs = |user: &str| -> Vec<String> {
        let (status, text) = guarded.rest(user, "GET", "/api/jobs");
        assert_eq!(status, 200, "{text}");
        let jobs: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        jobs.iter().map(|job| job["job_id"].as_str().expect("an id").to_string()).collect()
    };
    let run = guarded.sql("ada", &slow(1));
    let running = std::thread::spawn(move || run.run());
    wait_until("the query runs", || !jobs("ada").is_empty());
    let job = jobs("ada").remove(0);
    assert_eq!((jobs("grace"), jobs("root")), (vec![], vec![job.clone()]));
    // Pages for people: each their own, and nothing of a query is markup.
    let page = |user: &str| guarded.rest(user, "GET", "/");
    for user in ["ada", "root"] {
        let (status, page) = page(user);
        assert!(status == 200 && page.contains("&lt;&amp;&gt;") && page.contains(&job), "{user}: {page}");
        assert!(!page.contains("<&>") && !page.contains("<script") && !page.contains("http"), "{page}");
    }
    assert!(!page("grace").1.contains(&job));
    assert_eq!(ask(guarded.address(), "GET", "/", None).expect("an answer").0, 401);
    for path in ["", "/stages", "/dot", "/progress", "/config"] {
        assert_eq!(guarded.rest("grace", "GET", &format!("/api/job/{job}{path}")).0, 404, "{path}");
    }
    assert_eq!(guarded.rest("grace", "PATCH", &format!("/api/job/{job}")).0, 404);

    // One more of ada's waits, the next one is refused; grace has places of her own.
    let waits = guarded.sql("ada", "SELECT count(*) AS n FROM corpus");
    let waiting = std::thread::spawn(move || waits.run());
    wait_until("the second query waits", || guarded.metric("tamis_queries_waiting") == 1);
    let error = guarded.sql("ada", "SELECT count(*) AS n FROM corpus").error();
    assert!(error.contains("1 queries that run and 1 that wait"), "{error}");
    assert_eq!(guarded.metric("tamis_refused_total{reason=\"limits\"}"), 1);
    assert_eq!(guarded.sql("grace", "SELECT count(*) AS n FROM corpus").run().code, Some(0));
    // What is no query needs no place.
    assert_eq!(guarded.sql("ada", "SHOW TABLES").run().code, Some(0));

    assert_eq!(guarded.rest("root", "PATCH", &format!("/api/job/{job}")).0, 200);
    assert_eq!(running.join().expect("the query ends").code, Some(1));
    assert_eq!(waiting.join().expect("the query ends").code, Some(0));
    assert_eq!((guarded.metric("tamis_queries_waiting"), guarded.metric("tamis_queries_waited_total")), (0, 1));

    // The place of a client that goes away is free.
    let (_, _) = guarded.sql("ada", &slow(2)).kill_when(|| guarded.metric("tamis_queries_running") == 1);
    assert_eq!(guarded.sql("ada", "SELECT count(*) AS n FROM corpus").run().code, Some(0));
}

#[test]
fn wrong_passwords_make_the_next_one_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = String::new();
    for (name, password) in [("ada", "engine"), ("bob", "builder")] {
        let hashed = Tamis::new(["user", "password"]).input(&format!("{password}\n")).run();
        config += &format!("[[users]]\nname = \"{name}\"\n{}\n", hashed.stdout);
    }
    let file = folder.path().join("tamis.toml").display().to_string();
    std::fs::write(&file, config).expect("a file");
    let mut server = Server::start(folder.path(), "serve", &["serve", "--bind", "127.0.0.1:0", "--config", &file]);
    let url = server.address();
    let address = url.trim_start_matches("http://");
    // ada:wrong, ada:engine, bob:builder
    let [wrong, right, bob] =
        ["YWRhOndyb25n", "YWRhOmVuZ2luZQ==", "Ym9iOmJ1aWxkZXI="].map(|text| format!("Basic {text}"));
    let asked = |shown: &str| ask(address, "GET", "/api/state", Some(shown)).expect("an answer");
    let seconds =
        |text: &str| text.split_once("try again in ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
    wait_until("a wait of some seconds", || seconds(&asked(&wrong).1) >= Some(5));
    let (status, text) = asked(&right);
    assert!(status == 429 && seconds(&text).is_some(), "{status}: {text}");
    assert_eq!(asked(&bob).0, 200);
    let login = || {
        let sql = Tamis::sql(["--remote", &url, "--user", "ada"], "SELECT 1 AS one");
        sql.env("TAMIS_PASSWORD", "engine").run()
    };
    let refused = login();
    assert!(refused.stderr.contains("wrong too often: try again in"), "{refused:?}");
    wait_until("the right password is let in", || asked(&right).0 == 200);
    assert_eq!(login().code, Some(0));
    let metrics = ask(address, "GET", "/metrics", Some(&bob)).expect("an answer").1;
    assert!(metrics.contains("tamis_refused_total{reason=\"credentials\"}"), "{metrics}");
}

#[test]
fn rules_of_an_open_server_hold_for_all_and_wrong_ones_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tamis.toml").display().to_string();
    std::fs::write(&file, "[access]\nread = [\"/data\"]").expect("a file");
    let mut server = Server::start(folder.path(), "serve", &["serve", "--bind", "127.0.0.1:0", "--config", &file]);
    let url = server.address();
    let query = format!("SELECT count(*) FROM '{}'", small().parquet());
    let error = Tamis::sql(["--remote", &url], &query).error();
    assert!(error.contains(READ), "{error}");
    let refused = Tamis::new(["scheduler", "--bind", "127.0.0.1:0", "--config", &file]).run();
    assert!(refused.code == Some(2) && refused.stderr.contains("cluster.secret"), "{refused:?}");
    for (config, expected) in [
        ("[access]\nread = [\"data\"]", "access.read: data: expected an absolute path"),
        ("[[access.grants]]\nusers = [\"eve\"]", "access.grants[0].users: there is no user eve"),
        ("[access]\nmodels = \"all\"", "line 2"),
        ("[limits]\nrunning = 0", "limits.running: 0"),
    ] {
        std::fs::write(&file, config).expect("a file");
        let refused = Tamis::new(["serve", "--bind", "127.0.0.1:0", "--config", &file]).run();
        assert!(refused.code == Some(2) && refused.stderr.contains(expected), "{config}: {refused:?}");
    }
}
