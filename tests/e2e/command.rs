//! The command line's contract: what goes where, in which form, with which exit status.

use crate::support::{CAPTIONS, SMALL_ROWS, Tamis, assert_close, small};

#[test]
fn a_query_without_from_reads_the_corpus() {
    let file = small().parquet();
    let short = Tamis::sql(
        ["--corpus", &file],
        "SELECT uid, unifilter(image, text) AS q WHERE unifilter(image, text) >= 2 ORDER BY uid",
    );
    let whole =
        format!("SELECT uid, unifilter(image, text) AS q FROM '{file}' WHERE unifilter(image, text) >= 2 ORDER BY uid");
    let rows = short.rows();
    assert!(!rows.is_empty() && rows.len() < SMALL_ROWS, "{} rows", rows.len());
    assert_close(&rows, &Tamis::sql([], &whole).rows(), &whole);
    let star = Tamis::sql(["--corpus", &file], "SELECT * WHERE unifilter(image, text) >= 2").rows();
    assert_eq!(star.len(), rows.len());
    assert!(star[0].contains_key("image") && star[0].contains_key("width"));
    assert_eq!(Tamis::sql([], "SELECT 1 AS one").rows()[0]["one"], 1);
    let error = Tamis::sql([], "SELECT * WHERE unifilter(image, text) >= 2").error();
    assert!(error.contains("--corpus"), "{error}");
}

#[test]
fn queries_come_from_an_argument_a_file_or_the_standard_input() {
    let file = small().path("query.sql");
    std::fs::write(&file, "SELECT 1 AS a;\nSELECT 'b' AS b;\n").expect("a file");
    let expected = "{\"a\":1}\n{\"b\":\"b\"}\n";
    assert_eq!(Tamis::new(["sql", "-q", "-f", &file]).run().stdout, expected);
    assert_eq!(Tamis::new(["sql", "-q", "-c", "SELECT 1 AS a; SELECT 'b' AS b"]).run().stdout, expected);
    assert_eq!(Tamis::new(["sql", "-q"]).input("SELECT 1 AS a;\nSELECT 'b' AS b").run().stdout, expected);
}

#[test]
fn results_have_the_format_that_was_asked_for() {
    let query = "SELECT * FROM (VALUES (1, 'x,y'), (2, NULL)) AS t(n, s) ORDER BY n";
    let printed = |format: &str| Tamis::sql(["--format", format], query).run().stdout;
    assert_eq!(printed("ndjson"), "{\"n\":1,\"s\":\"x,y\"}\n{\"n\":2,\"s\":null}\n");
    assert_eq!(printed("csv"), "n,s\n1,\"x,y\"\n2,\n");
    assert_eq!(printed("tsv"), "n\ts\n1\tx,y\n2\t\n");
    let json: serde_json::Value = serde_json::from_str(&printed("json")).expect("JSON");
    assert_eq!(json[0]["s"], "x,y");
    let table = printed("table");
    assert!(table.contains("| n | s    |") && table.contains("| 1 | x,y  |"), "{table}");
    assert_eq!(Tamis::sql([], query).run().stdout, printed("ndjson"), "into a pipe");
}

#[test]
fn tables_are_files_folders_and_globs() {
    let small = small();
    for name in ["small.parquet", "small.arrow", "small.csv", "small.jsonl", "small.par*"] {
        let rows = Tamis::sql([], &format!("SELECT count(*) AS n FROM '{}'", small.path(name))).rows();
        assert_eq!(rows[0]["n"], SMALL_ROWS, "{name}");
    }
    let folder = small.folder.path().join("folder");
    std::fs::create_dir_all(&folder).expect("a folder");
    for name in ["a.parquet", "b.parquet"] {
        std::fs::copy(small.parquet(), folder.join(name)).expect("a copy");
    }
    let rows = Tamis::sql([], &format!("SELECT count(*) AS n FROM '{}'", folder.display())).rows();
    assert_eq!(rows[0]["n"], 2 * SMALL_ROWS);
}

#[test]
fn results_are_written_by_extension() {
    let small = small();
    for extension in ["parquet", "csv", "json", "ndjson", "arrow"] {
        let target = small.path(&format!("written.{extension}"));
        let query = format!("SELECT uid, unifilter(image, text) AS q FROM '{}' ORDER BY uid LIMIT 5", small.parquet());
        let output = Tamis::sql(["-o", &target], &query).run();
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "{}", output.stderr);
        if extension != "json" {
            let back = Tamis::sql([], &format!("SELECT count(q) AS n FROM '{target}'")).rows();
            assert_eq!(back[0]["n"], 5, "{extension}");
        }
    }
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(small.path("written.json")).expect("the file")).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(5));
}

#[test]
fn a_failed_query_leaves_no_file() {
    let target = small().path("never.parquet");
    let query = format!("SELECT unifilter(image, text) FROM '{CAPTIONS}' WHERE note LIKE 'unscorable: JPEG cut off%'");
    Tamis::sql(["--set", "tamis.scoring.on_error=fail", "-o", &target], &query).error();
    let left = std::fs::read_dir(small().folder.path()).expect("the folder").flatten();
    let left: Vec<_> = left.map(|e| e.file_name()).filter(|n| n.to_string_lossy().contains("never")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn wrong_queries_fail_at_once_with_one_line() {
    let file = small().parquet();
    let cases = [
        ("SELECT no_such_function(1)".to_string(), vec!["no_such_function", "line 1, column 8"]),
        (format!("SELECT no_such_column FROM '{file}'"), vec!["no_such_column"]),
        ("SELECT * FROM 'no/such/file.parquet'".into(), vec!["no such file", "no/such/file.parquet"]),
        ("SELECT * FROM 'no/such/*.parquet'".into(), vec!["no/such/*.parquet"]),
        (format!("SELECT unifilter(width, text) FROM '{file}'"), vec!["unifilter", "argument 1 (image) is Int32"]),
        (format!("SELECT unifilter(image) FROM '{file}'"), vec!["unifilter"]),
        (format!("SELECT unifilter(image, text, 'no-such') FROM '{file}'"), vec!["no-such"]),
        (format!("SELECT unifilter(image, text, uid) FROM '{file}'"), vec!["string literal"]),
        ("SELEC 1".into(), vec!["SELEC"]),
        ("SELECT 1 FROM".into(), vec!["Expected: identifier, found: EOF"]),
    ];
    for (query, expected) in cases {
        let error = Tamis::sql([], &query).error();
        for part in expected {
            assert!(error.contains(part), "{query}: {error}");
        }
        assert!(!error.contains("DataFusionError") && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn bad_usage_has_status_2() {
    for args in [
        &["sql", "--no-such-flag"][..],
        &["sql", "--format", "xml", "-c", "SELECT 1"],
        &["sql", "--device", "tpu", "-c", "SELECT 1"],
        &["sql", "--model", "nameless", "-c", "SELECT 1"],
        &["sql", "--set", "tamis.no_such=1", "-c", "SELECT 1"],
        &["sql", "--set", "tamis.scoring.on_error=perhaps", "-c", "SELECT 1"],
        &["no-such-command"],
    ] {
        let output = Tamis::new(args).run();
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn options_can_be_set_and_shown() {
    let rows = Tamis::sql(["--set", "tamis.scoring.prefetch=7"], "SHOW tamis.scoring.prefetch").rows();
    assert_eq!(rows[0]["value"], "7");
    let rows = Tamis::sql([], "SET tamis.unifilter.max_text_tokens = 20; SHOW tamis.unifilter.max_text_tokens").rows();
    assert_eq!(rows[0]["value"], "20");
}

#[test]
fn image_functions_read_headers() {
    let query = format!(
        "SELECT count(*) AS n FROM '{}' WHERE image_width(image) = width AND image_height(image) = height \
         AND image_format(image) IS NOT NULL",
        small().parquet()
    );
    assert_eq!(Tamis::sql([], &query).rows()[0]["n"], SMALL_ROWS);
}

/// A closed pipe is how `| head` ends a command: quietly.
#[test]
fn a_closed_pipe_ends_the_command_quietly() {
    let command = format!("{} sql -q -c \"SELECT * FROM range(10000000)\" | head -n 1", env!("CARGO_BIN_EXE_tamis"));
    let output = std::process::Command::new("sh").args(["-c", &command]).output().expect("sh");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn the_best_rows_of_a_union_are_those_of_all_its_inputs() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, from: usize, k: usize| {
        let path = folder.path().join(name).display().to_string();
        let rows = format!(
            "SELECT value AS id, value % 40 AS k FROM generate_series({from}, {}) WHERE value % 40 < {}",
            from + 5000,
            k + 1
        );
        assert_eq!(Tamis::sql(["-o", &path], &rows).run().code, Some(0));
        format!("SELECT id, k FROM '{path}' WHERE k = {k}")
    };
    let (small, large) = (write("a.parquet", 1, 21), write("b.parquet", 6000, 16));
    let query = format!("SELECT id, k FROM ({small} UNION ALL {large}) ORDER BY k, id LIMIT 3");
    let rows = Tamis::sql([], &query).rows();
    let found: Vec<_> = rows.iter().map(|row| (row["id"].as_u64(), row["k"].as_u64())).collect();
    assert_eq!(found, [(Some(6016), Some(16)), (Some(6056), Some(16)), (Some(6096), Some(16))]);
}
