//! `tamis eval`: figures of models and of columns of scores.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{CAPTIONS, DOCUMENTS, Output, Tamis};

/// What the JSON of each model or column has at least.
const KEYS: [&str; 11] = [
    "n",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "mse",
    "spearman",
    "kendall",
    "auc_3_vs_rest",
    "auc_3_vs_0",
    "confusion",
];

/// Eight rows: one without a label, one without a score, two whose scores end in a half.
const ROWS: &str = "level,quality,other,kind\n\
    0,0.5,0,photo\n\
    1,1.5,2,photo\n\
    2,2.5,2,\n\
    3,7.25,1,drawing\n\
    3,2.75,3,drawing\n\
    0,-3,NaN,photo\n\
    2,,2,NULL\n\
    ,3,3,photo\n";

fn rows() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rows.csv").display().to_string();
    std::fs::write(&file, ROWS).expect("a file");
    (folder, file)
}

fn eval(args: &[&str]) -> Tamis {
    Tamis::new(["eval"].iter().chain(args))
}

fn report(output: &Output) -> Value {
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    serde_json::from_str(&output.stdout).expect("JSON")
}

#[test]
fn columns_of_scores_are_evaluated_side_by_side() {
    let (_folder, file) = rows();
    let output = eval(&["--data", &file, "--score", "quality", "--score", "other", "--json"]).run();
    let report = report(&output);
    assert_eq!(report.as_object().map(|columns| columns.keys().collect::<Vec<_>>()).unwrap(), ["other", "quality"]);
    for column in ["quality", "other"] {
        for key in KEYS {
            assert!(report[column].get(key).is_some(), "{column}: {key}");
        }
        assert_eq!((&report[column]["unlabelled"], &report[column]["unscored"]), (&json!(1), &json!(1)));
        assert_eq!(report[column]["n"], 6);
    }
    let quality = &report["quality"];
    // 1.5 is 2, 0.5 is 0 and 2.5 is 2.
    assert_eq!(quality["confusion"], json!([[2, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 2]]));
    assert_eq!(quality["accuracy"].as_f64(), Some(5.0 / 6.0));
    assert_eq!(quality["auc_3_vs_rest"], 1.0);
    assert!((quality["mse"].as_f64().expect("a number") - (4.0 * 0.25 + 18.0625 + 9.0 - 0.1875) / 6.0).abs() < 1e-12);
    let difference = &report["other"]["difference"];
    assert_eq!((&difference["to"], &difference["n"]), (&json!("quality"), &json!(5)));
    assert!((difference["accuracy"]["value"].as_f64().expect("a number") + 0.2).abs() < 1e-12, "{difference}");
    for line in [
        "warning: 1 rows have no label and are left out",
        "warning: quality: 1 of 7 labelled rows have no score and are left out",
    ] {
        assert!(output.stderr.lines().any(|found| found == line), "{}", output.stderr);
    }
}

#[test]
fn the_column_named_score_needs_no_flag_and_a_seed_gives_the_same_report() {
    let query = "SELECT value % 4 AS label, (value * 7919 % 1000) / 300.0 AS score FROM range(10000)";
    let run = |seed: &str| eval(&["--data", query, "--json", "--resamples", "50", "--seed", seed]).run();
    let first = run("1");
    assert_eq!(report(&first)["score"]["n"], 10_000);
    assert_eq!(first.stdout, run("1").stdout);
    assert_ne!(first.stdout, run("2").stdout);
    let none = report(&eval(&["--data", query, "--json", "--resamples", "0"]).run());
    assert!(none["score"]["intervals"].is_null(), "{none}");
}

#[test]
fn groups_have_figures_of_their_own() {
    let (_folder, file) = rows();
    let args = ["--data", file.as_str(), "--score", "quality", "--by", "kind"];
    let report = report(&eval(&args.into_iter().chain(["--json"]).collect::<Vec<_>>()).run());
    let groups = report["quality"]["groups"].as_object().expect("groups");
    let sizes: Vec<_> = groups.iter().map(|(name, group)| (name.as_str(), group["n"].as_u64())).collect();
    assert_eq!(sizes, [("'NULL'", Some(0)), ("NULL", Some(1)), ("drawing", Some(2)), ("photo", Some(3))]);
    assert_eq!(groups["drawing"]["accuracy"], 1.0);
    assert!(groups["drawing"]["auc_3_vs_rest"].is_null() && groups["'NULL'"]["accuracy"].is_null());
    let text = eval(&args).run();
    assert!(
        text.stdout.contains("## By kind") && text.stdout.contains("| photo | quality | 3 | 0 |"),
        "{}",
        text.stdout
    );
}

/// Parses SVG files with Python's own XML parser, which refuses what is not well-formed.
fn assert_pictures(folder: &Path) {
    let script = "import sys, xml.etree.ElementTree as tree\n\
                  for file in sys.argv[1:]: assert tree.parse(file).getroot().tag.endswith('svg'), file";
    let files = ["calibration.svg", "kept.svg", "roc.svg", "confusion.svg"].map(|file| folder.join(file));
    let parsed = Command::new("python3").args(["-c", script]).args(files).output().expect("python3");
    assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
}

#[test]
fn a_folder_holds_the_report_and_its_pictures() {
    let (folder, file) = rows();
    let target = folder.path().join("a/report");
    let target_name = target.display().to_string();
    let args = ["--data", &file, "--score", "quality", "--score", "other", "-o", &target_name, "--json"];
    let output = eval(&args).run();
    let printed = report(&output);
    let read = |name: &str| std::fs::read_to_string(target.join(name)).expect("the file");
    let written: Value = serde_json::from_str(&read("report.json")).expect("JSON");
    assert_eq!(written, printed);
    let markdown = read("report.md");
    for part in ["| accuracy | 0.833 [", "## Difference to quality", "](kept.svg)", "](roc.svg)"] {
        assert!(markdown.contains(part), "no {part} in {markdown}");
    }
    assert_pictures(&target);
    let taken = format!("{file}/report");
    let error = eval(&["--data", &file, "--score", "quality", "-o", &taken]).error();
    assert!(error.contains(&taken), "{error}");
}

#[test]
fn what_cannot_be_evaluated_is_an_error_that_says_why() {
    let (_folder, file) = rows();
    let values = |label: &str, score: &str| format!("SELECT {label} AS level, {score} AS score FROM range(5)");
    for (data, args, expected) in [
        (file.clone(), vec![], "--data has no column image, or no text"),
        (file.clone(), vec!["--score", "qualty"], "no column qualty; its columns are: level, quality, other, kind"),
        (file.clone(), vec!["--score", "quality", "--label", "stars"], "no column stars"),
        (file.clone(), vec!["--score", "kind"], "column kind is Utf8"),
        (file.clone(), vec!["--score", "quality", "--label", "kind"], "labels are numbers"),
        (values("value", "1.0"), vec![], "column level has the label 4; labels are 0, 1, 2 and 3"),
        (values("0.5", "1.0"), vec![], "the label 0.5"),
        (values("NULL", "1.0"), vec![], "none of the 5 rows has a label"),
        (values("1", "NULL"), vec![], "score: none of the 5 labelled rows has a score"),
        (format!("{} WHERE value > 9", values("1", "1.0")), vec![], "the data has no rows"),
        ("SELECT 1 AS grade, 2.0 AS score".into(), vec![], "no column level and none named label"),
        ("SELECT value % 4 AS level, 1.0 AS score, value FROM range(500)".into(), vec!["--by", "value"], "200 groups"),
        ("no/such.parquet".into(), vec![], "no/such.parquet"),
    ] {
        let args: Vec<_> = ["--data", &data].into_iter().chain(args).collect();
        let error = eval(&args).error();
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    for args in [
        &["--score", "quality", "--score", "quality"][..],
        &["--score", "quality", "-o", "s3://bucket/report"],
        &["--score", "quality", "--resamples", "-1"],
        &["--score", "quality", "--set", "tamis.no_such=1"],
    ] {
        let args: Vec<_> = ["--data", &file].iter().chain(args).copied().collect();
        let output = eval(&args).run();
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{args:?}: {}", output.stderr);
    }
}

#[test]
fn the_default_model_scores_labelled_rows() {
    let report = report(&eval(&["--data", CAPTIONS, "--json", "-q"]).run());
    let model = &report["unifilter"];
    let query = format!(
        "SELECT count(*) AS n, avg(CASE WHEN round(greatest(0, least(3, unifilter(image, text)))) = level THEN 1.0 ELSE 0.0 END) \
         AS accuracy, corr(unifilter(image, text), level) AS r FROM '{CAPTIONS}' \
         WHERE level IS NOT NULL AND unifilter(image, text) IS NOT NULL"
    );
    let row = &Tamis::sql([], &query).rows()[0];
    assert_eq!(model["n"], row["n"]);
    assert_eq!((model["n"].as_u64(), model["unlabelled"].as_u64()), (Some(84), Some(242 - 84)));
    let accuracy = |value: &Value| value.as_f64().expect("a number");
    assert!((accuracy(&model["accuracy"]) - accuracy(&row["accuracy"])).abs() < 1e-9, "{row:?}");
    let from_query = format!("SELECT unifilter(image, text) AS score, level FROM '{CAPTIONS}' WHERE level IS NOT NULL");
    let same = self::report(&eval(&["--data", &from_query, "--json"]).run());
    assert_eq!(same["score"]["confusion"], model["confusion"]);
}

#[test]
fn wrong_labels_are_told_before_models_work() {
    let data = format!("SELECT image, text, width AS level FROM '{CAPTIONS}' WHERE width >= 200");
    let begun = Instant::now();
    let error = eval(&["--data", &data, "--model", "slow=stand-in://60000ms"]).error();
    assert!(error.contains("column level has the label"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn models_are_compared_with_each_other_and_with_columns() {
    let data =
        format!("SELECT image, text, level, level * 0.9 AS oracle, source FROM '{CAPTIONS}' WHERE level IS NOT NULL");
    let models = ["--model", "small=models/assets/tiny-qwen3", "--model", "unifilter=models/tests/golden/tiny-qwen2"];
    let args = ["--data", data.as_str(), "--score", "oracle", "--resamples", "100", "--json"];
    let report = report(&eval(&args.into_iter().chain(models).collect::<Vec<_>>()).run());
    assert_eq!(report["oracle"]["accuracy"], 1.0);
    for model in ["small", "unifilter"] {
        let difference = &report[model]["difference"];
        assert_eq!((&difference["to"], &difference["n"]), (&json!("oracle"), &json!(84)));
        assert!(difference["spearman"]["high"].as_f64().expect("a number") < 0.0, "{difference}");
    }
    assert_ne!(report["small"]["mse"], report["unifilter"]["mse"]);
}

#[test]
fn documents_are_scored_too() {
    let data = format!("SELECT images, texts, 1 + octet_length(uid) % 3 AS level FROM '{DOCUMENTS}'");
    let report = report(&eval(&["--data", &data, "--json"]).run());
    let model = &report["unifilter"];
    assert_eq!(model["n"].as_u64().zip(model["unscored"].as_u64()).map(|(n, unscored)| n + unscored), Some(31));
    assert!(model["unscored"].as_u64() > Some(0) && model["spearman"].is_null(), "one label: no rank correlation");
}
