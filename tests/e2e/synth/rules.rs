//! Samples by rules, without a model.

use std::path::{Path, PathBuf};

use crate::support::{CAPTIONS, DOCUMENTS, SMALL_ROWS, Tamis, small};

/// Facts of four kinds of images, in turn.
const FACTS: [&str; 4] = [
    r#"{"objects":[{"name":"kangaroo","names":["kangaroo","roo"],"keywords":["animal","marsupial"],"kin":["koala"],"count":2,"colour":"brown","place":"top left"}],"background":"light blue"}"#,
    r#"{"objects":[{"name":"koala","keywords":["animal","marsupial"],"kin":["kangaroo"],"colour":"grey"}],"background":"white","style":"drawing"}"#,
    r#"{"objects":[{"name":"bus","keywords":["vehicle"],"kin":["tram"],"colour":"red","place":"left"},{"name":"bicycle","keywords":["vehicle"],"kin":["scooter"],"size":"small","place":"right"}]}"#,
    r#"{"objects":[{"name":"tram","keywords":["vehicle"],"kin":["bus"],"colour":"yellow","count":3}],"background":"green"}"#,
];

/// The small corpus with facts in place of texts.
fn with_facts(folder: &Path) -> PathBuf {
    let table = folder.join("facts.parquet");
    let cases: Vec<String> = (0..4).map(|i| format!("WHEN {i} THEN '{}'", FACTS[i])).collect();
    let query = format!(
        "SELECT uid, image, CASE row_number() OVER (ORDER BY uid) % 4 {} END AS facts FROM '{}'",
        cases.join(" "),
        small().parquet()
    );
    let output = Tamis::sql(["-o", &table.to_string_lossy()], &query).run();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    table
}

fn synth(data: &str, output: &Path, more: &[&str]) {
    let output = output.to_string_lossy();
    let args = ["synth", "--data", data, "-o", &output, "--provider", "rules"];
    let run = Tamis::new(args.iter().chain(more)).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout, "", "results go to the file");
}

#[test]
fn facts_give_four_levels_in_as_many_variants_as_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = with_facts(folder.path()).to_string_lossy().into_owned();
    let (a, b) = (folder.path().join("a.parquet"), folder.path().join("b.parquet"));
    synth(&table, &a, &["--variants", "3", "--seed", "7", "--split", "0.5,0.25,0.25"]);
    synth(&table, &b, &["--variants", "3", "--seed", "7", "--split", "0.5,0.25,0.25"]);
    let all = |file: &Path| Tamis::sql([], &format!("SELECT * EXCEPT (image) FROM '{}'", file.display())).rows();
    let rows = all(&a);
    assert_eq!(rows, all(&b), "the seed decides");
    assert_eq!(rows.len(), SMALL_ROWS * 4 * 3);
    for row in &rows {
        let level = row["level"].as_i64().expect("a level");
        assert_eq!(row["changed"].is_null(), [0, 3].contains(&level), "{row:?}");
        assert!(row["provider"] == "rules" && row["prompt"] == "rules-1" && row["model"].is_null(), "{row:?}");
    }
    let query = format!(
        "SELECT count(DISTINCT s.split) AS splits, count(DISTINCT s.image) AS images, bool_and(s.image = t.image) AS same, \
         count(DISTINCT s.text) AS texts FROM '{}' s JOIN '{table}' t ON s.uid = t.uid GROUP BY s.uid",
        a.display()
    );
    for row in Tamis::sql([], &query).rows() {
        assert!(row["splits"] == 1 && row["images"] == 1 && row["same"] == true, "{row:?}");
        assert!(row["texts"].as_i64() > Some(8), "{row:?}");
    }
    let scored = format!("SELECT count(unifilter(image, text)) AS n FROM '{}'", a.display());
    assert_eq!(Tamis::sql([], &scored).rows()[0]["n"], SMALL_ROWS * 12, "a model reads them");
}

#[test]
fn true_texts_are_made_wrong_and_what_cannot_be_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("texts.parquet");
    let data = format!("SELECT uid, image, text FROM '{CAPTIONS}' WHERE image IS NOT NULL AND text IS NOT NULL");
    synth(&data, &output, &[]);
    let query = format!(
        "SELECT s.level, count(*) AS n, sum(CASE WHEN s.text = t.text THEN 1 ELSE 0 END) AS same FROM '{}' s JOIN '{CAPTIONS}' t \
         ON s.uid = t.uid GROUP BY s.level ORDER BY s.level",
        output.display()
    );
    let rows = Tamis::sql([], &query).rows();
    assert_eq!(rows.len(), 4, "{rows:?}");
    for row in &rows[..3] {
        assert!(row["same"] == 0 && row["n"].as_i64() > Some(20), "{row:?}");
    }
    assert_eq!(rows[3]["same"], rows[3]["n"], "level 3 is as it was");
    let quarantine = folder.path().join("texts.quarantine.jsonl");
    let lost = format!(
        "SELECT count(*) AS n FROM ({data}) t WHERE uid NOT IN (SELECT uid FROM '{}') AND uid NOT IN (SELECT uid FROM '{}')",
        output.display(),
        quarantine.display()
    );
    assert_eq!(Tamis::sql([], &lost).rows()[0]["n"], 0, "every row is in one of the files");
}

#[test]
fn documents_are_made_worse_and_made_of_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let (own, made) = (folder.path().join("own.parquet"), folder.path().join("made.parquet"));
    synth(DOCUMENTS, &own, &[]);
    let table = with_facts(folder.path()).to_string_lossy().into_owned();
    synth(&table, &made, &["--documents", "3", "--split", "1,0,0"]);
    for (file, least) in [(&own, 40), (&made, SMALL_ROWS / 3 * 4)] {
        let query = format!(
            "SELECT count(*) AS n, count(unifilter(images, texts)) AS scored, count(DISTINCT level) AS levels FROM '{}'",
            file.display()
        );
        let row = &Tamis::sql([], &query).rows()[0];
        assert!(row["n"].as_u64() >= Some(least as u64) && row["levels"] == 4, "{row:?}");
        assert!(row["scored"].as_u64() > Some(least as u64 / 2), "a model reads them: {row:?}");
    }
}

#[test]
fn images_that_are_unlike_are_chosen() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("some.parquet");
    synth(&small().parquet(), &output, &["--clusters", "4", "--per-cluster", "2"]);
    let query = format!("SELECT count(DISTINCT uid) AS n FROM '{}'", output.display());
    let n = Tamis::sql([], &query).rows()[0]["n"].as_u64().expect("a count");
    assert!((4..=8).contains(&n), "{n}");
}

#[test]
fn inspect_counts_and_draws() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("a.parquet");
    synth(&with_facts(folder.path()).to_string_lossy(), &output, &[]);
    let (output, sheet) = (output.to_string_lossy().into_owned(), folder.path().join("sheet.png"));
    let run = Tamis::new(["synth", "inspect", &output, "--json", "-o", &sheet.to_string_lossy(), "--each", "4"]).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    let levels = json["levels"].as_array().expect("levels");
    assert!(levels.len() == 4 && levels.iter().all(|level| level["samples"] == SMALL_ROWS), "{json}");
    assert!(levels[2]["changed"].as_object().is_some_and(|changed| changed.len() > 2), "{json}");
    assert!(std::fs::read(&sheet).expect("a sheet").starts_with(b"\x89PNG"));
    let text = Tamis::new(["synth", "inspect", &output]).run();
    assert!(text.stdout.contains("mean words") && text.stdout.contains("changed in level 2"), "{}", text.stdout);
    let error = Tamis::new(["synth", "inspect", &small().parquet()]).run();
    assert!(error.code == Some(2) && error.stderr.contains("no samples"), "{}", error.stderr);
}

#[test]
fn what_cannot_be_read_is_one_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("a.parquet").to_string_lossy().into_owned();
    let run = |data: &str, more: &[&str]| {
        let args = ["synth", "--data", data, "-o", &output, "--provider", "rules"];
        Tamis::new(args.iter().chain(more)).run()
    };
    assert!(run("no/such.parquet", &[]).stderr.contains("no/such.parquet"));
    let columns = run("SELECT 1 AS a", &[]);
    assert!(columns.code == Some(2) && columns.stderr.contains("no column image"), "{}", columns.stderr);
    let split = run(&small().parquet(), &["--split", "0.5,0.1,0.1"]);
    assert!(split.code == Some(2) && split.stderr.contains("sum up to 1"), "{}", split.stderr);
    let missing = run("SELECT 'no/such.png' AS image, 'a red car' AS text, 'x' AS uid", &[]);
    assert_eq!(missing.code, Some(0), "{}", missing.stderr);
    assert!(missing.stderr.contains("quarantined") && missing.stderr.contains("no/such.png"), "{}", missing.stderr);
}
