//! What users of a server may reach and do, and the ways around it that they may try.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::cluster::support::{Server, ask, wait_until};
use crate::support::{CAPTIONS, SMALL_ROWS, Tamis, root, small};

/// A user without grants, one with a grant, and an admin. Each has a token of their own name.
const USERS: [&str; 3] = ["ada", "grace", "root"];
/// Two that may read by http: from the public internet alone, and from a host of this machine.
const WEB_USERS: [&str; 2] = ["wendy", "walter"];
/// What a refusal says to do.
const READ: &str = "you may not read there; ask an operator for [access] read";

fn token(user: &str) -> String {
    format!("{user}-{}", "0".repeat(40))
}

/// A server with users, and files that some of them may read.
struct Guarded {
    server: Server,
    url: String,
    folder: tempfile::TempDir,
}

impl Guarded {
    fn start(more: &str) -> Self {
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
             slow = \"stand-in://5s\"\n[options]\n\"tamis.cache.path\" = \"{shown}/scores\"\n\
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
        Self { server, url, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn sql(&self, user: &str, query: &str) -> Tamis {
        Tamis::sql(["--remote", &self.url], query).env("TAMIS_TOKEN", token(user))
    }

    fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    fn rest(&self, user: &str, method: &str, path: &str) -> (u16, String) {
        let shown = format!("Bearer {}", token(user));
        ask(self.address(), method, path, Some(&shown)).expect("an answer")
    }

    fn metric(&self, line: &str) -> u64 {
        let (_, metrics) = self.rest("root", "GET", "/metrics");
        let value = metrics.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {line} in {metrics}")).parse().expect("a number")
    }
}

/// A web server on this machine: it has a folder's files, and sends who asks for `/away/PORT` to this port.
fn web(folder: std::path::PathBuf) -> u16 {
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
fn trap() -> (u16, Arc<AtomicUsize>) {
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

#[test]
fn what_is_allowed_works() {
    let guarded = Guarded::start("");
    let [shared, granted, links] = ["shared", "granted", "links"].map(|name| guarded.path(name));
    let rows = |user: &str, query: &str| guarded.sql(user, query).rows();
    let count = |user: &str, from: &str| rows(user, &format!("SELECT count(*) AS n FROM {from}"))[0]["n"].clone();
    for user in USERS {
        assert!(count(user, "corpus").as_u64() > Some(200), "{user}");
        let scored =
            "SELECT count(unifilter(image, text)) AS a, count(unifilter(image, text, 'other')) AS b FROM corpus";
        assert!(rows(user, scored)[0]["b"].as_u64() > Some(100), "{user}");
        for from in [format!("{shared}/a.parquet"), format!("{shared}/a*.parquet"), format!("{links}/in.parquet")] {
            assert_eq!(count(user, &format!("'{from}'")), SMALL_ROWS, "{user}: {from}");
        }
        let picture =
            format!("SELECT unifilter('{shared}/picture.png', 'a') AS q, image_width('{shared}/picture.png') AS w");
        let row = &rows(user, &picture)[0];
        assert!(row["q"].is_f64() && row["w"].as_u64() > Some(0), "{user}: {row:?}");
        let made = format!(
            "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{shared}/a.parquet'; CREATE VIEW v AS SELECT uid FROM t; \
             SET tamis.unifilter.model = 'other'; SET tamis.cache.path = 'off'; SELECT count(*) AS n FROM v"
        );
        assert_eq!(rows(user, &made)[0]["n"], SMALL_ROWS, "{user}");
    }
    for user in ["grace", "root"] {
        assert_eq!(count(user, &format!("'{granted}/g.parquet'")), SMALL_ROWS, "{user}");
        let place = format!("{}/models/assets/tiny-qwen3", root().display());
        let scored = format!("SELECT unifilter('{shared}/picture.png', 'a', '{place}') AS q");
        assert!(rows(user, &scored)[0]["q"].is_f64(), "{user}");
    }
    assert_eq!(count("root", &format!("'{}/s.parquet'", guarded.path("secret"))), SMALL_ROWS);
}

#[test]
fn tables_are_read_by_name_and_in_places_that_are_shared() {
    let guarded = Guarded::start("");
    let at = |name: &str| guarded.path(name);
    let refused = |user: &str, query: &str, name: &str| {
        let error = guarded.sql(user, query).error();
        assert!(error.contains(&format!("reading {name}: {READ}")), "{user}: {query}: {error}");
        assert!(error.len() < 400, "{error}");
    };
    for name in [
        at("secret/s.parquet"),
        at("secret/"),
        at("granted/g.parquet"),
        at("shared-too/t.parquet"),
        at("shared/../secret/s.parquet"),
        at("shared/out/s.parquet"),
        at("shared/link.parquet"),
        at("*/a.parquet"),
        // Whether it is there is not told.
        at("secret/not-there.parquet"),
        "/etc/passwd".into(),
        format!("{}/{CAPTIONS}", root().display()),
        format!("file://{}", at("secret/s.parquet")),
        "s3://corpora/x.parquet".into(),
        "http://127.0.0.1:9/x.parquet".into(),
    ] {
        refused("ada", &format!("SELECT * FROM '{name}'"), &name);
    }
    let secret = at("secret/s.parquet");
    for query in [
        "EXPLAIN SELECT * FROM '{}'",
        "EXPLAIN ANALYZE SELECT * FROM '{}'",
        "CREATE VIEW v AS SELECT * FROM '{}'",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{}'",
        "SELECT count(*) FROM corpus WHERE uid IN (SELECT uid FROM '{}')",
        "SELECT uid FROM corpus UNION ALL SELECT uid FROM '{}'",
        "WITH c AS (SELECT * FROM '{}') SELECT count(*) FROM c",
        "PREPARE p AS SELECT * FROM '{}'",
        "DESCRIBE '{}'",
    ] {
        refused("ada", &query.replace("{}", &secret), &secret);
        refused("grace", &query.replace("{}", &secret), &secret);
    }
    // A pattern reads no file that a link leads to from elsewhere.
    let all = at("shared/*.parquet");
    let error = guarded.sql("ada", &format!("SELECT count(*) FROM '{all}'")).error();
    assert!(error.contains(READ) && error.contains("link.parquet"), "{error}");
    assert!(guarded.metric("tamis_refused_total{reason=\"rights\"}") > 20);
}

#[test]
fn pictures_are_read_in_places_that_are_shared() {
    let guarded = Guarded::start("");
    let (port, visits) = trap();
    let secret = guarded.path("secret/picture.png");
    for name in [
        secret.clone(),
        guarded.path("shared/../secret/picture.png"),
        guarded.path("shared/out/picture.png"),
        format!("file://{secret}"),
        guarded.path("secret/not-there.png"),
        format!("http://127.0.0.1:{port}/x.png"),
        format!("http://localhost:{port}/x.png"),
        "s3://bucket/x.png".into(),
    ] {
        // In the scheduler, which computes what is constant; by executors, in and outside of plan nodes.
        for query in [
            format!("SELECT unifilter('{name}', 'a') AS q, unifilter_error('{name}', 'a') AS e"),
            format!("SELECT unifilter(p, 'a') AS q, unifilter_error(p, 'a') AS e FROM (VALUES ('{name}')) AS t(p)"),
            format!("SELECT unifilter('{name}', uid) AS q, unifilter_error('{name}', uid) AS e FROM corpus LIMIT 1"),
            format!(
                "SET tamis.planner.enabled = false; SELECT unifilter('{name}', uid) AS q, unifilter_error('{name}', uid) AS e FROM corpus LIMIT 1"
            ),
        ] {
            let row = &guarded.sql("ada", &query).rows()[0];
            assert!(row["q"].is_null(), "{query}: {row:?}");
            assert_eq!(row["e"], format!("image: reading {name}: {READ}"), "{query}");
        }
        for query in [
            format!("SELECT image_width('{name}') AS w"),
            format!("SELECT image_width(concat('{name}', left(uid, 0))) AS w FROM corpus LIMIT 1"),
        ] {
            assert!(guarded.sql("ada", &query).rows()[0]["w"].is_null(), "{query}");
        }
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0, "somebody asked this machine");
    // Another's success is not told: the admin has scored it, the user may not.
    let query = format!("SELECT unifilter('{secret}', 'once') AS q, unifilter_error('{secret}', 'once') AS e");
    assert!(guarded.sql("root", &query).rows()[0]["q"].is_f64());
    assert!(guarded.sql("ada", &query).rows()[0]["q"].is_null());
    assert!(guarded.sql("root", &query).rows()[0]["q"].is_f64());
    // DataFusion looks at folders' names while it plans, without the session's options.
    let parts = guarded.path("shared/parts");
    let folder = guarded.path("secret");
    let query = format!("SELECT count(*) AS n FROM '{parts}' WHERE image_width(concat('{folder}/', part, '.png')) > 0");
    let output = guarded.sql("ada", &query).run();
    assert!(output.code == Some(1) && output.stderr.contains("image_width"), "{output:?}");
}

#[test]
fn web_servers_are_asked_at_addresses_that_are_allowed() {
    let guarded = Guarded::start("");
    let (trap, visits) = trap();
    let port = web(guarded.folder.path().join("shared"));
    let why = |user: &str, url: &str| {
        let query =
            format!("SELECT unifilter(p, 'a') AS q, unifilter_error(p, 'a') AS e FROM (VALUES ('{url}')) AS t(p)");
        let row = guarded.sql(user, &query).rows().remove(0);
        row["e"].as_str().map(str::to_string).unwrap_or_else(|| format!("a score: {}", row["q"].is_f64()))
    };
    let picture = format!("http://localhost:{port}/picture.png");
    assert_eq!(why("walter", &picture), "a score: true");
    assert!(
        why("wendy", &picture).ends_with("an operator can allow it under [access] addresses"),
        "{}",
        why("wendy", &picture)
    );
    assert!(why("ada", &picture).contains(READ));
    // An address that is not allowed, asked for straight or by way of one that is.
    for url in [
        format!("http://127.0.0.1:{trap}/x.png"),
        format!("http://[::1]:{trap}/x.png"),
        format!("http://localhost:{port}/away/{trap}"),
    ] {
        assert!(why("walter", &url).contains("[access] addresses"), "{url}: {}", why("walter", &url));
    }
    // Tables too.
    let count = |user: &str, url: &str| guarded.sql(user, &format!("SELECT count(*) AS n FROM '{url}'"));
    let table = format!("http://localhost:{port}/a.parquet");
    assert_eq!(count("walter", &table).rows()[0]["n"], SMALL_ROWS);
    for (user, url) in [("wendy", table.clone()), ("walter", format!("http://localhost:{port}/away/{trap}.parquet"))] {
        let error = count(user, &url).error();
        assert!(!error.contains("you may not read there") && !error.contains("404"), "{user}: {error}");
    }
    assert!(count("ada", &table).error().contains(READ));
    assert_eq!(visits.load(Ordering::SeqCst), 0, "somebody asked the address that is not allowed");
}

#[test]
fn models_and_options_are_the_servers() {
    let guarded = Guarded::start("");
    let place = format!("{}/models/assets/tiny-qwen3", root().display());
    let count = |model: &str| format!("SELECT count(unifilter(image, text, '{model}')) FROM corpus");
    for query in [
        count(&place),
        count("s3://models/x"),
        count("org/model"),
        format!("SET tamis.unifilter.model = '{place}'"),
        "SELECT * FROM tamis_scores('abcdef0123')".into(),
        format!("SET tamis.planner.enabled = false; {}", count(&place)),
    ] {
        let error = guarded.sql("ada", &query).error();
        assert!(error.contains("you may run models that the server has a name for"), "{query}: {error}");
    }
    for key in [
        "tamis.access",
        "tamis.cache.path",
        "tamis.cache.max_bytes",
        "tamis.model.mine",
        "tamis.scoring.device",
        "datafusion.runtime.temp_directory",
        "datafusion.runtime.memory_limit",
        "datafusion.catalog.location",
        "datafusion.sql_parser.dialect",
        "ballista.job.name",
    ] {
        for query in [format!("SET {key} = '/elsewhere'"), format!("RESET {key}")] {
            let error = guarded.sql("ada", &query).error();
            assert!(error.contains(&format!("setting {key}: this option is the server's; ")), "{query}: {error}");
        }
    }
    let copied = guarded.path("shared/copied.parquet");
    for query in [format!("COPY corpus TO '{copied}'"), format!("EXPLAIN COPY corpus TO '{copied}'")] {
        let error = guarded.sql("ada", &query).error();
        assert!(error.contains(&format!("writing {copied}: you may not write there")), "{query}: {error}");
        assert_eq!(guarded.sql("root", &query).run().code, Some(1), "{query}");
    }
    for query in ["INSERT INTO corpus SELECT * FROM corpus", "EXPLAIN INSERT INTO corpus SELECT * FROM corpus"] {
        assert_eq!(guarded.sql("root", query).run().code, Some(1), "{query}");
    }
    assert!(!Path::new(&copied).exists());
    let error = guarded.sql("root", "SET tamis.access = '{}'").error();
    assert!(error.contains("setting tamis.access"), "{error}");
}

#[test]
fn users_see_and_end_their_own_queries() {
    let guarded = Guarded::start("[limits]\nrunning = 1\nqueued = 1");
    let slow =
        |run: usize| format!("SELECT sum(unifilter(image, concat(text, '<&>', {run}), 'slow')) AS q FROM corpus");
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
    let (_, _) = guarded.sql("ada", &slow(2)).kill_when(|| jobs("ada").len() > 2);
    assert_eq!(guarded.sql("ada", "SELECT count(*) AS n FROM corpus").run().code, Some(0));
    drop(guarded.server);
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
