//! What users of a server may reach, and the ways around it that they may try.

mod guarded;
mod limits;

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::cluster::access::guarded::{Guarded, READ, USERS, trap, web};
use crate::support::{CAPTIONS, SMALL_ROWS, root};

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
