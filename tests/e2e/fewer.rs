//! Rows whose score decides nothing are not scored: the table of docs/planner.md through the command.

use crate::support::{CAPTIONS, SMALL_ROWS, Tamis, assert_close, counter, small};

/// The one number that a query gives.
fn number(query: &str) -> u64 {
    let rows = Tamis::sql([], query).rows();
    rows.first().and_then(|row| row.values().next()?.as_u64()).unwrap_or_else(|| panic!("no number from {query}"))
}

/// Runs `query` with and without the rules, which must agree, and gives what EXPLAIN ANALYZE counts of rows scored.
fn scored<const N: usize>(args: [&str; N], query: &str) -> u64 {
    let args =
        |more: &[&'static str]| args.iter().copied().chain(more.iter().copied()).map(String::from).collect::<Vec<_>>();
    let call = |args: Vec<String>, query: &str| {
        let fixed = ["sql", "-q"].map(String::from);
        Tamis::new(fixed.into_iter().chain(args).chain(["-c".to_string(), query.to_string()])).rows()
    };
    let found = call(args(&[]), query);
    assert!(!found.is_empty(), "a query without rows shows nothing: {query}");
    assert_close(&found, &call(args(&["--set", "tamis.planner.enabled=false"]), query), query);
    counter(&call(args(&[]), &format!("EXPLAIN ANALYZE {query}")), "rows_scored").0
}

#[test]
fn conditions_limits_and_joins_come_before_the_model() {
    let file = small().parquet();
    let narrow = number(&format!("SELECT count(*) FROM '{file}' WHERE width < 200"));
    let rows = SMALL_ROWS as u64;
    assert!(narrow > 2 && narrow < rows - 2, "a predicate that keeps all or nothing shows nothing: {narrow}");
    let distinct = |predicate: &str| {
        number(&format!("SELECT count(*) FROM (SELECT DISTINCT image, text FROM '{file}' WHERE {predicate})"))
    };
    let joined = format!("(SELECT uid, n FROM '{file}' CROSS JOIN (VALUES (1), (2)) AS v(n) WHERE width < 200) AS k");
    for (query, expected) in [
        (
            format!("SELECT uid FROM '{file}' WHERE width < 200 OR unifilter(image, text) >= -100 ORDER BY uid"),
            distinct("width >= 200"),
        ),
        (
            format!(
                "SELECT uid, CASE WHEN width < 200 THEN unifilter(image, text) ELSE 0 END AS q FROM '{file}' ORDER BY uid"
            ),
            distinct("width < 200"),
        ),
        (format!("SELECT unifilter(image, text) AS q FROM '{file}' ORDER BY uid LIMIT 3"), 3),
        (
            format!(
                "SELECT t.uid, k.n FROM '{file}' AS t JOIN {joined} ON t.uid = k.uid \
                 WHERE unifilter(t.image, t.text) >= -100 ORDER BY t.uid, k.n"
            ),
            distinct("width < 200"),
        ),
        (
            format!(
                "SELECT uid, unifilter(image, text) AS q FROM '{file}' WHERE width < 200 UNION ALL \
                 SELECT uid, unifilter(image, text) FROM '{file}' ORDER BY uid, q"
            ),
            distinct("true"),
        ),
    ] {
        assert_eq!(scored([], &query), expected, "{query}");
    }
}

#[test]
fn the_cheaper_model_comes_first_however_the_query_is_written() {
    let file = small().parquet();
    let models = ["--model", "a=models/tests/golden/tiny-qwen2", "--model", "b=models/assets/tiny-qwen3"];
    let (a, b) = ("unifilter(image, text, 'a') > 0.1", "unifilter(image, text, 'b') > 0.1");
    let kept = |predicate: &str| {
        let query = format!("SELECT count(*) AS n FROM '{file}' WHERE {predicate}");
        Tamis::sql(models, &query).rows()[0]["n"].as_u64().expect("a number")
    };
    let (rows, kept) = (SMALL_ROWS as u64, [kept(a), kept(b)]);
    let one_way = scored(models, &format!("SELECT uid FROM '{file}' WHERE {a} AND {b} ORDER BY uid"));
    let other_way = scored(models, &format!("SELECT uid FROM '{file}' WHERE {b} AND {a} ORDER BY uid"));
    assert_eq!(one_way, other_way);
    assert!(
        kept.map(|kept| rows + kept).contains(&one_way) && one_way < 2 * rows,
        "{one_way} of {rows}, {kept:?} kept"
    );
}

#[test]
fn samples_are_taken_before_the_model() {
    let query =
        format!("SELECT count(unifilter(image, text)) AS n FROM '{CAPTIONS}' TABLESAMPLE (10) WHERE note IS NULL");
    let explained = Tamis::sql([], &format!("EXPLAIN ANALYZE {query}")).rows();
    let (rows, _) = counter(&explained, "rows_scored");
    // 202 rows, each with a probability of a tenth: fewer than 3 or more than 60 come once in a billion times.
    assert!((3..=60).contains(&rows), "{rows} rows of a sample of 10 per cent");
    let error = Tamis::sql([], &format!("SELECT count(*) FROM '{CAPTIONS}' TABLESAMPLE (10) REPEATABLE (1)")).error();
    assert!(error.contains("line 1, column") && error.contains("cannot be repeated"), "{error}");
}

#[test]
fn scoring_stops_soon_after_the_limit() {
    let query = format!("SELECT uid FROM '{CAPTIONS}' WHERE unifilter(image, text) > -100 LIMIT 5");
    assert_eq!(Tamis::sql([], &query).rows().len(), 5);
    let explained = Tamis::sql([], &format!("EXPLAIN ANALYZE {query}")).rows();
    let (rows, _) = counter(&explained, "rows_scored");
    assert!((5..=20).contains(&rows), "{rows} rows scored for five");
}
