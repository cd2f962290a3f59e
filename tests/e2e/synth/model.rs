//! Models behind an API: what is paid is paid once, whatever happens.

use std::path::Path;

use super::server::{Asked, Does};
use crate::support::{SMALL_ROWS, Tamis, small};

const KEY: &str = "sk-e2e-0123456789";

/// `tamis synth` over the small corpus, with a model at this address.
fn synth(url: &str, output: &Path, more: &[&str]) -> Tamis {
    let (data, output) = (small().parquet(), output.to_string_lossy().into_owned());
    let args = ["synth", "--data", &data, "-o", &output, "--provider", "openai", "--endpoint", url];
    let args = args.into_iter().chain(["--provider-model", "m", "--concurrency", "2", "--timeout", "20"]);
    Tamis::new(args.chain(more.iter().copied())).env("OPENAI_API_KEY", KEY)
}

/// How many of the small corpus' images are different: equal ones are asked about once.
fn images() -> usize {
    let query = format!("SELECT count(DISTINCT image) AS n FROM '{}'", small().parquet());
    Tamis::sql([], &query).rows()[0]["n"].as_u64().and_then(|n| usize::try_from(n).ok()).expect("a count")
}

fn answers_in(journal: &Path) -> usize {
    std::fs::read_to_string(journal)
        .map_or(0, |text| text.lines().filter(|line| line.starts_with(r#"{"answer""#)).count())
}

fn rows_in(output: &Path) -> u64 {
    let query = format!("SELECT count(*) AS n, count(DISTINCT uid) AS rows FROM '{}'", output.display());
    let rows = Tamis::sql([], &query).rows();
    let number = |name: &str| rows[0][name].as_u64().expect("a count");
    assert_eq!(number("n"), 4 * number("rows"), "four texts a row");
    number("rows")
}

#[test]
fn killed_in_the_middle_and_resumed_no_answer_is_paid_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, journal) = (folder.path().join("out.parquet"), folder.path().join("out.parquet.journal"));
    let (url, asked) = Asked::serve(|before| match before {
        0..7 => Does::Answer,
        7..9 => Does::Hang,
        _ => Does::Answer,
    });
    let (killed, _) = synth(&url, &output, &[]).kill_when(|| answers_in(&journal) == 7 && asked.count() == 9);
    assert_eq!(killed.code, None);
    assert!(!output.exists(), "no half file");
    // A line that was not written to its end, as power loss leaves it.
    let mut text = std::fs::read_to_string(&journal).expect("a journal");
    text.push_str(r#"{"answer":{"key":"0a"#);
    std::fs::write(&journal, text).expect("a journal");
    let refused = synth(&url, &output, &[]).error();
    assert!(refused.contains("7 of them") && refused.contains("--resume"), "{refused}");
    let resumed = synth(&url, &output, &["--resume"]).run();
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let images = images();
    assert_eq!(asked.answered(), vec![1; images], "each image answered once");
    assert_eq!(asked.count(), images + 2, "two were under way");
    assert_eq!(rows_in(&output), SMALL_ROWS as u64);
    assert!(resumed.stderr.contains("2 requests were under way"), "{}", resumed.stderr);
    let again = synth(&url, &output, &["--resume"]).run();
    assert_eq!((again.code, asked.count()), (Some(0), images + 2));
    let other = synth(&url, &output, &["--resume", "--seed", "5"]).error();
    assert!(other.contains("another seed: 0 there, 5 here"), "{other}");
}

#[test]
fn the_budget_ends_a_run_and_more_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.parquet");
    let (url, asked) = Asked::serve(|_| Does::Answer);
    let price = ["--price-in", "1", "--price-out", "10"];
    let unknown = synth(&url, &output, &["--budget", "1"]).run();
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("price of m is not known"), "{}", unknown.stderr);
    let error = synth(&url, &output, &[&price[..], &["--budget", "0.06"]].concat()).error();
    assert!(error.contains("the budget is spent") && error.contains("--resume"), "{error}");
    let first = asked.count();
    let images = images();
    assert!((2..images).contains(&first), "{first}");
    assert!(rows_in(&output) >= first as u64, "what is paid for is there");
    let whole = synth(&url, &output, &[&price[..], &["--budget", "5", "--resume"]].concat()).run();
    assert_eq!((whole.code, asked.count()), (Some(0), images), "{}", whole.stderr);
    let query = format!("SELECT sum(cost_usd) AS usd, sum(input_tokens) AS tokens FROM '{}'", output.display());
    let row = &Tamis::sql([], &query).rows()[0];
    assert!((row["usd"].as_f64().expect("a sum") - images as f64 * 0.003).abs() < 1e-6, "{row:?}");
    assert_eq!(row["tokens"].as_u64(), Some(images as u64 * 1_000));
}

#[test]
fn a_key_comes_from_the_environment_and_goes_nowhere_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.parquet");
    for (provider, variable) in [("anthropic", "ANTHROPIC_API_KEY"), ("openai", "OPENAI_API_KEY")] {
        let (data, output) = (small().parquet(), output.to_string_lossy().into_owned());
        let args = ["synth", "--data", &data, "-o", &output, "--provider", provider, "--provider-model", "m"];
        let run = Tamis::new(args).run();
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(variable) && run.stderr.lines().count() == 1, "{}", run.stderr);
    }
    let (url, asked) = Asked::serve(|_| Does::Answer);
    let run = synth(&url, &output, &[]).env("RUST_LOG", "trace").run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let expected = format!("Bearer {KEY}");
    assert!(asked.authorization.lock().expect("a lock").iter().all(|found| *found == expected));
    assert!(!run.stderr.contains(KEY) && !run.stdout.contains(KEY), "a key in the log");
    for entry in std::fs::read_dir(folder.path()).expect("a folder").flatten() {
        let bytes = std::fs::read(entry.path()).expect("a file");
        assert!(!String::from_utf8_lossy(&bytes).contains(KEY), "a key in {:?}", entry.file_name());
    }
    let (url, asked) = Asked::serve(|_| Does::Refuse(403));
    let error = synth(&url, &folder.path().join("refused.parquet"), &[]).error();
    assert!(error.contains("403") && !error.contains(KEY) && asked.count() <= 2, "{error}");
}

#[test]
fn nonsense_and_missing_images_are_quarantined_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.parquet");
    // The first row is asked about first, and gets no answer that can be used.
    let (url, _) = Asked::serve(|before| match before {
        0 => Does::Say("Sorry?"),
        1 => Does::Refuse(529),
        2 => Does::Say(r#"{"level_3": "As requested, a caption.", "level_2": "b", "level_1": "c", "level_0": "d"}"#),
        3 => Does::Say(r#"{"level_3": "Three texts of four."}"#),
        _ => Does::Answer,
    });
    let data = format!(
        "SELECT image, uid FROM (SELECT image, uid FROM '{}' ORDER BY uid LIMIT 5) UNION ALL SELECT CAST('no picture' AS BYTEA), 'broken' \
         UNION ALL SELECT NULL, 'missing'",
        small().parquet()
    );
    let more = ["--data", &data, "-o", &output.to_string_lossy(), "--concurrency", "1"].map(str::to_string);
    let args = ["synth", "--provider", "openai", "--endpoint", &url, "--provider-model", "m"].map(str::to_string);
    let run = Tamis::new(args.iter().chain(&more)).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(rows_in(&output), 4);
    let quarantine = folder.path().join("out.quarantine.jsonl");
    let rows = Tamis::sql([], &format!("SELECT uid, reason FROM '{}' ORDER BY uid", quarantine.display())).rows();
    let reasons: Vec<&str> = rows.iter().filter_map(|row| row["reason"].as_str()).collect();
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(reasons.iter().any(|reason| reason.contains("not an image")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("no image")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("3 answers cannot be used")), "{reasons:?}");
}

#[test]
fn a_dry_run_asks_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.parquet");
    let (url, asked) = Asked::serve(|_| Does::Answer);
    let run = synth(&url, &output, &["--dry-run", "--price-in", "3", "--price-out", "15"]).run();
    assert_eq!((run.code, asked.count()), (Some(0), 0), "{}", run.stderr);
    assert!(
        run.stdout.contains(&format!("requests       {}\n", images())) && run.stdout.contains('$'),
        "{}",
        run.stdout
    );
    assert!(std::fs::read_dir(folder.path()).expect("a folder").next().is_none(), "nothing is written");
}
