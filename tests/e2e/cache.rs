//! `tamis cache` and `tamis_scores`: looking at the scores that are remembered.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datafusion::config::ExtensionOptions;
use tamis_models::checkpoint::Location;
use tamis_models::{DeviceChoice, DtypeChoice};
use tamis_udfs::cache::{KnownScore, ScoreCache, ScoreKey};
use tamis_udfs::options::TamisOptions;

use crate::support::{CAPTIONS, SMALL_ROWS, Tamis, assert_close, counter, root, small};

const OTHER: &str = "00112233445566778899aabbccddeeff";

fn fingerprint() -> String {
    tamis_models::fingerprint(&Location::Embedded, DeviceChoice::Cpu, DtypeChoice::Auto).expect("a fingerprint")
}

/// Remembers scores 0 to 9 and a reason for the built-in model, and one score for another.
fn fill(path: &str) {
    let mut options = TamisOptions::default();
    options.set("cache.path", path).expect("an option");
    let cache = ScoreCache::open(&options).expect("a cache");
    // Both are opened before anything is put: a write a second is under way from then on.
    let (model, other) = (cache.model(&fingerprint()), cache.model(OTHER));
    for n in 0..10_u8 {
        model.put(ScoreKey::from_bytes([n; 16]), KnownScore::Score(f32::from(n)));
    }
    model.put(ScoreKey::from_bytes([200; 16]), KnownScore::Failed(Arc::from("no such picture")));
    other.put(ScoreKey::from_bytes([1; 16]), KnownScore::Score(0.5));
    assert!(cache.flush(Duration::from_secs(300)));
}

fn json(run: Tamis) -> serde_json::Value {
    let output = run.run();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    serde_json::from_str(&output.stdout).expect("JSON")
}

#[test]
fn the_cache_is_shown_and_cleared() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("tamis/scores");
    let info = || json(Tamis::new(["cache", "info", "--json"]).env("XDG_CACHE_HOME", home.path()));
    let clear = |args: &[&str]| Tamis::new(["cache", "clear"].iter().chain(args)).env("XDG_CACHE_HOME", home.path());
    assert_eq!(info()["models"], serde_json::json!([]));
    fill(path.to_str().expect("UTF-8"));
    let shown = info();
    assert_eq!(shown["path"], path.canonicalize().expect("the folder").to_str().expect("UTF-8"));
    assert_eq!((shown["entries"].as_u64(), shown["segments"].as_u64()), (Some(12), Some(2)));
    let models: Vec<_> = shown["models"].as_array().into_iter().flatten().collect();
    let of = |digits: &str| models.iter().find(|model| model["fingerprint"] == digits).expect("the model");
    let entries = |digits: &str| of(digits)["entries"].as_u64();
    assert_eq!((entries(OTHER), entries(&fingerprint()[..32])), (Some(1), Some(11)));
    let text = Tamis::new(["cache", "info", "--path", path.to_str().expect("UTF-8")]).run().stdout;
    assert!(text.contains(OTHER) && text.contains("entries   11") && text.contains(" ago"), "{text}");

    assert!(clear(&["--model", "ffffff"]).error().contains("0 models have a fingerprint that begins with ffffff"));
    assert_eq!(clear(&["--model", &OTHER[..8]]).run().code, Some(0));
    assert_eq!((info()["entries"].as_u64(), info()["models"].as_array().map(Vec::len)), (Some(11), Some(1)));
    let cleared = clear(&[]).run();
    assert!(cleared.stdout.starts_with("removed 1 segments, "), "{cleared:?}");
    assert_eq!(info()["models"], serde_json::json!([]));
}

#[test]
fn what_is_known_of_a_model_is_a_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    fill(path);
    let run = |query: &str| Tamis::sql(["--device", "cpu", "--set", &format!("tamis.cache.path={path}")], query);
    let model = &fingerprint()[..12];
    for argument in ["", "'default'", &format!("'{model}'"), &format!("'{}'", fingerprint())] {
        let query = format!(
            "SELECT count(*) AS n, sum(score) AS s, count(error) AS e, max(error) AS why FROM tamis_scores({argument})"
        );
        let rows = run(&query).rows();
        assert_eq!((rows[0]["n"].as_u64(), rows[0]["s"].as_f64()), (Some(11), Some(45.0)), "{argument}");
        assert_eq!((rows[0]["e"].as_u64(), rows[0]["why"].as_str()), (Some(1), Some("no such picture")), "{argument}");
    }
    let rows = run(&format!("SELECT encode(key, 'hex') AS key, score FROM tamis_scores('{}')", &OTHER[..6])).rows();
    assert_eq!((rows[0]["key"].as_str(), rows[0]["score"].as_f64()), (Some("01".repeat(16).as_str()), Some(0.5)));
    for (argument, expected) in [
        ("1", "string literal"),
        ("'abcdef0'", "0 models have a fingerprint that begins with abcdef0"),
        ("'no such model'", "no such model"),
    ] {
        let error = run(&format!("SELECT * FROM tamis_scores({argument})")).error();
        assert!(error.contains(expected), "{error}");
    }
    let off = Tamis::sql(["--set", "tamis.cache.path=off"], "SELECT * FROM tamis_scores()").error();
    assert!(off.contains("the score cache is off"), "{off}");
}

#[test]
fn the_commands_default_is_the_users_folder_and_an_option_is_stronger() {
    let home = tempfile::tempdir().expect("a folder");
    let show = |args: [&str; 2]| {
        let rows = Tamis::sql(args, "SHOW tamis.cache.path").env("XDG_CACHE_HOME", home.path()).rows();
        rows[0]["value"].as_str().expect("a text").to_string()
    };
    assert_eq!(show(["--format", "ndjson"]), home.path().join("tamis/scores").to_str().expect("UTF-8"));
    assert_eq!(show(["--set", "tamis.cache.path=off"]), "off");
    let refused = Tamis::new(["cache", "info", "--path", "https://host/scores"]).error();
    assert!(refused.contains("https:// cannot hold a cache") && refused.contains("s3://"), "{refused}");
}

/// The files of the user's cache.
fn segments(home: &Path) -> Vec<PathBuf> {
    let models = std::fs::read_dir(home.join("tamis/scores/v1")).into_iter().flatten().flatten();
    models.flat_map(|model| std::fs::read_dir(model.path()).into_iter().flatten().flatten()).map(|f| f.path()).collect()
}

/// What EXPLAIN ANALYZE counts of scoring all small rows: model calls, hits, misses.
fn counts(args: [&str; 2], home: &Path) -> (u64, u64, u64) {
    let query = format!("EXPLAIN ANALYZE SELECT uid, unifilter(image, text) AS q FROM '{}'", small().parquet());
    let explained = Tamis::sql(args, &query).env("XDG_CACHE_HOME", home).rows();
    let of = |name| counter(&explained, name).0;
    (of("model_calls"), of("cache_hits"), of("cache_misses"))
}

#[test]
fn a_second_process_scores_nothing_and_gives_the_same_scores() {
    let home = tempfile::tempdir().expect("a folder");
    let query = format!("SELECT uid, unifilter(image, text) AS q FROM '{}' ORDER BY uid", small().parquet());
    let run = || Tamis::sql([], &query).env("XDG_CACHE_HOME", home.path()).run();
    let (first, second) = (run(), run());
    assert_eq!((first.code, second.code), (Some(0), Some(0)), "{}{}", first.stderr, second.stderr);
    assert_eq!(second.stdout, first.stdout, "a score came back otherwise than it was");
    assert_eq!(counts(["--format", "ndjson"], home.path()), (0, SMALL_ROWS as u64, 0));
    // Another limit is another question, and without a cache nothing is known.
    let (calls, hits, misses) = counts(["--set", "tamis.unifilter.max_text_tokens=3"], home.path());
    assert!(calls > 1 && hits == 0 && misses == calls, "{calls} calls, {hits} hits, {misses} misses");
    let (calls, hits, _) = counts(["--set", "tamis.cache.path=off"], home.path());
    assert!(calls > 1 && hits == 0, "{calls} calls, {hits} hits");
    let naive = ["--set", "tamis.planner.enabled=false"];
    let naive = Tamis::sql(naive, &query).env("XDG_CACHE_HOME", home.path()).run();
    assert_eq!(naive.stdout, first.stdout, "the function outside a node has another cache");
}

#[test]
fn a_model_whose_files_change_starts_anew() {
    let home = tempfile::tempdir().expect("a folder");
    let model = home.path().join("model");
    let tower = "siglip2-tiny-patch14-384";
    std::fs::create_dir_all(model.join(tower)).expect("a folder");
    for part in ["", tower] {
        let files = std::fs::read_dir(root().join("models/assets/tiny-qwen3").join(part)).expect("the checkpoint");
        for file in files.flatten().filter(|file| file.path().is_file()) {
            std::fs::copy(file.path(), model.join(part).join(file.file_name())).expect("a copy");
        }
    }
    let argument = format!("unifilter={}", model.display());
    let counts = || counts(["--model", &argument], home.path());
    let (calls, _, misses) = counts();
    assert!(calls > 1 && misses == calls, "{calls} calls, {misses} misses");
    assert_eq!(counts(), (0, SMALL_ROWS as u64, 0));
    // The last weight changes, and nothing that a listing of the folder shows but the time.
    let weights = model.join("model.safetensors");
    let mut content = std::fs::read(&weights).expect("the weights");
    *content.last_mut().expect("a weight") ^= 1;
    std::fs::write(&weights, content).expect("the weights");
    assert_eq!(counts(), (calls, 0, misses));
}

#[test]
fn damaged_segments_cost_a_warning_and_no_score() {
    let home = tempfile::tempdir().expect("a folder");
    let query = format!("SELECT uid, unifilter(image, text) AS q FROM '{}' ORDER BY uid", small().parquet());
    let run = || Tamis::sql([], &query).env("XDG_CACHE_HOME", home.path());
    let expected = run().rows();
    let segment = || segments(home.path()).into_iter().next().expect("a segment");
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 3] = [
        ("torn", |content| content.truncate(content.len() / 2)),
        ("flipped", |content| {
            let middle = content.len() / 2;
            content[middle] ^= 4;
        }),
        ("empty", Vec::clear),
    ];
    for (what, damage) in damages {
        let path = segment();
        let mut content = std::fs::read(&path).expect("a segment");
        damage(&mut content);
        std::fs::write(&path, content).expect("a segment");
        let output = run().run();
        assert_eq!(output.stderr.matches("is damaged").count(), 1, "{what}: {}", output.stderr);
        assert!(output.stderr.contains(&*path.file_name().expect("a name").to_string_lossy()), "{}", output.stderr);
        assert_close(&run().rows(), &expected, what);
        assert_eq!(counts(["--format", "ndjson"], home.path()).0, 0, "{what}: not written anew");
    }
}

#[test]
fn a_cache_that_cannot_be_used_costs_one_warning() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("file");
    std::fs::write(&file, "not a folder").expect("a file");
    let below = format!("tamis.cache.path={}/scores", file.display());
    let query = format!("SELECT uid, unifilter(image, text) AS q FROM '{}' ORDER BY uid LIMIT 4", small().parquet());
    let expected = Tamis::sql([], &query).rows();
    for setting in [below.as_str(), "tamis.cache.path=https://127.0.0.1/scores"] {
        let output = Tamis::sql(["--set", setting], &query).run();
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert_eq!(output.stderr.matches("score cache").count(), 1, "{}", output.stderr);
        assert_eq!(output.stdout.lines().count(), expected.len());
    }
}

#[test]
fn an_interrupted_query_keeps_what_it_has_scored() {
    let home = tempfile::tempdir().expect("a folder");
    let query = format!("SELECT uid, unifilter(image, text) AS q FROM '{CAPTIONS}'");
    // Row by row, so that a fast machine is not done before the first segment is written.
    let run = Tamis::sql(["--set", "tamis.scoring.prefetch=1"], &query).env("XDG_CACHE_HOME", home.path());
    let (output, time) = run.interrupt_when(|| !segments(home.path()).is_empty());
    assert_eq!(output.code, Some(130), "{output:?}");
    // A second, and what a busy machine takes to end a process.
    assert!(time < Duration::from_secs(5), "{time:?} until the end");
    let shown = json(Tamis::new(["cache", "info", "--json"]).env("XDG_CACHE_HOME", home.path()));
    let kept = shown["entries"].as_u64().expect("a number");
    assert!(kept > 0, "{shown}");
    let explained = Tamis::sql([], &format!("EXPLAIN ANALYZE {query}")).env("XDG_CACHE_HOME", home.path()).rows();
    assert!(counter(&explained, "cache_hits").0 >= kept, "{kept} were kept");
}
