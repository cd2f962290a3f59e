//! A row is scored once, and only if the cheap predicates keep it.

use crate::support::{CAPTIONS, Tamis, assert_close, counter, small};

fn kept(file: &str) -> u64 {
    let rows = Tamis::sql([], &format!("SELECT count(*) AS n FROM '{file}' WHERE width > 200")).rows();
    rows[0]["n"].as_u64().expect("a number")
}

/// The same question asked in several ways: each counts model calls by EXPLAIN ANALYZE and gives the same rows as the
/// naive plan.
#[test]
fn the_model_is_called_once_for_each_row_that_the_cheap_predicate_keeps() {
    let file = small().parquet();
    let n = kept(&file);
    assert!(n > 3 && n < 24, "a predicate that keeps all or nothing shows nothing: {n}");
    let view = format!("CREATE VIEW v AS SELECT *, unifilter(image, text) AS q FROM '{file}';");
    let queries = [
        (
            "",
            format!(
                "SELECT unifilter(image, text) AS q FROM '{file}' WHERE unifilter(image, text) >= 2 AND width > 200 \
                 ORDER BY unifilter(image, text) DESC LIMIT 10"
            ),
        ),
        (view.as_str(), "SELECT q FROM v WHERE q >= 2 AND width > 200 ORDER BY q DESC LIMIT 10".into()),
        (
            view.as_str(),
            "SELECT unifilter(image, text) AS q FROM v WHERE q >= 2 AND width > 200 ORDER BY unifilter(image, text) DESC \
             LIMIT 10"
                .into(),
        ),
        (
            "",
            format!(
                "SELECT q FROM (SELECT unifilter(image, text) AS q, width FROM '{file}') WHERE q >= 2 AND width > 200 \
                 ORDER BY q DESC LIMIT 10"
            ),
        ),
        (
            "",
            format!(
                "WITH s AS (SELECT *, unifilter(image, text) AS q FROM '{file}') SELECT unifilter(image, text) AS q FROM s \
                 WHERE unifilter(image, text) >= 2 AND width > 200 ORDER BY q DESC LIMIT 10"
            ),
        ),
    ];
    let naive = Tamis::sql(["--set", "tamis.planner.enabled=false"], &queries[0].1).rows();
    assert!(!naive.is_empty(), "no row to compare");
    for (before, query) in &queries {
        assert_close(&Tamis::sql([], &format!("{before}{query}")).rows(), &naive, query);
        let explained = Tamis::sql([], &format!("{before}EXPLAIN ANALYZE {query}")).rows();
        assert_eq!(counter(&explained, "rows_scored"), (n, 1), "{query}");
        assert_eq!(counter(&explained, "model_calls"), (n, 1), "{query}");
        assert_eq!(counter(&explained, "rows_failed"), (0, 1), "{query}");
        assert!(counter(&explained, "batches").0 >= 1, "{query}");
    }
}

#[test]
fn groups_aggregates_and_errors_share_the_call() {
    let file = small().parquet();
    let n = kept(&file);
    for query in [
        format!(
            "SELECT floor(unifilter(image, text)) AS bucket, count(*), max(unifilter(image, text)) FROM '{file}' \
             WHERE width > 200 GROUP BY floor(unifilter(image, text)) HAVING max(unifilter(image, text)) > 0"
        ),
        format!(
            "SELECT unifilter(image, text), unifilter_error(image, text) FROM '{file}' \
             WHERE width > 200 AND unifilter_error(image, text) IS NULL"
        ),
    ] {
        let explained = Tamis::sql([], &format!("EXPLAIN ANALYZE {query}")).rows();
        assert_eq!(counter(&explained, "rows_scored"), (n, 1), "{query}");
    }
}

#[test]
fn explain_shows_the_node_and_scores_nothing() {
    let query = format!("EXPLAIN SELECT unifilter(image, text) FROM '{CAPTIONS}' WHERE width > 200");
    let output = Tamis::sql([], &query).run();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("ScoreNode") && output.stdout.contains("ScoreExec"), "{}", output.stdout);
    assert!(!output.stderr.contains("random weights"), "a model was loaded: {}", output.stderr);
}
