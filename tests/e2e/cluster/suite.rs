//! The same SQL gives the same rows on a cluster as in one process.

use crate::cluster::support::Cluster;
use crate::support::{CAPTIONS, DOCUMENTS, Tamis, assert_close, counter, small};

/// Queries of every shape, each with an order of its rows.
const SUITE: &[&str] = &[
    "SELECT uid, width, height WHERE width > 200 ORDER BY uid",
    "SELECT count(*) AS n, max(width), min(height)",
    "SELECT uid, image WHERE width > 200 ORDER BY uid",
    "SELECT uid, unifilter(image, text) AS q ORDER BY q DESC NULLS LAST, uid LIMIT 7",
    "SELECT uid, text, unifilter(image, text) AS q WHERE width > 100 AND unifilter(image, text) >= 2 ORDER BY q, uid",
    "SELECT width > 200 AS wide, avg(unifilter(image, text)) AS q, count(*) GROUP BY 1 ORDER BY 1",
    "SELECT a.uid FROM corpus a JOIN corpus b ON a.uid = b.uid WHERE unifilter(a.image, b.text) > 2 ORDER BY 1",
    "SELECT uid WHERE uid IN (SELECT uid FROM corpus WHERE unifilter(image, text) > 2) ORDER BY uid",
    "SELECT uid, row_number() OVER (ORDER BY unifilter(image, text) DESC, uid) AS r ORDER BY uid",
    "SELECT uid, CASE WHEN width > 200 THEN unifilter(image, text) ELSE 0 END AS q ORDER BY uid",
    "SELECT uid WHERE width > 250 UNION ALL SELECT uid WHERE height > 250 ORDER BY 1",
    "SELECT count(*) AS n FROM ((SELECT uid FROM corpus ORDER BY uid LIMIT 9) UNION ALL SELECT uid FROM corpus WHERE width > 9)",
    "SELECT uid, unifilter(image, text) AS q WHERE width > 250 UNION ALL SELECT uid, 1 WHERE height > 250 ORDER BY 2, 1",
    "SELECT count(*) AS n FROM (SELECT max(width) AS w FROM corpus UNION ALL SELECT 1 UNION ALL SELECT width WHERE width > 9)",
    "(SELECT uid ORDER BY width DESC, uid LIMIT 3) UNION ALL (SELECT uid ORDER BY width, uid LIMIT 3) ORDER BY 1",
    "SELECT uid WHERE width > 250 UNION SELECT uid WHERE height > 250 ORDER BY 1",
    "SELECT uid WHERE width > 250 INTERSECT SELECT uid WHERE height > 200 ORDER BY 1",
    "SELECT uid WHERE width > 150 EXCEPT SELECT uid WHERE height > 250 ORDER BY 1",
    "SELECT a.uid, b.n FROM corpus a LEFT JOIN (SELECT width, count(*) AS n FROM corpus GROUP BY 1) b ON a.width = b.width ORDER BY 1",
    "SELECT uid WHERE width = (SELECT max(width) FROM corpus) ORDER BY 1",
    "SELECT uid WHERE width NOT IN (SELECT height FROM corpus) ORDER BY 1",
    "SELECT uid, sum(width) OVER (ORDER BY uid ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS s ORDER BY uid",
    "SELECT DISTINCT width, height ORDER BY 1, 2",
    "SELECT uid ORDER BY uid LIMIT 5 OFFSET 7",
    "SELECT image_format(image) AS f, count(*) GROUP BY 1 ORDER BY 2 DESC, 1",
    "WITH s AS (SELECT unifilter(image, text) AS q) SELECT floor(q) AS b, count(*) FROM s GROUP BY 1 ORDER BY 1",
    "SELECT uid, image, unifilter(image, text) AS q WHERE width > 100 ORDER BY q DESC, uid LIMIT 3",
    "SELECT uid WHERE NOT (unifilter(image, text) < 2) OR width > 250 ORDER BY uid",
    "SELECT max(unifilter(image, text)) AS q WHERE width > 100000",
    "SELECT unifilter_error(image, text) AS e, count(*) AS n GROUP BY 1 ORDER BY 1",
];

#[test]
fn a_cluster_answers_as_one_process_does() {
    let file = small().parquet();
    let cluster = Cluster::start(2, &["--slots", "2"]);
    for query in SUITE {
        let local = Tamis::sql(["--corpus", &file], query).rows();
        let remote = Tamis::sql(["--corpus", &file, "--remote", &cluster.url], query).rows();
        assert_close(&remote, &local, query);
    }
    let documents = format!("SELECT uid, unifilter(images, texts) AS q FROM '{DOCUMENTS}' ORDER BY uid LIMIT 8");
    assert_close(&cluster.sql(&documents).rows(), &Tamis::sql([], &documents).rows(), &documents);
    // Many files: other plans.
    let folder = tempfile::tempdir().expect("a folder");
    for n in 1..=5 {
        let target = folder.path().join(format!("{n}.parquet")).display().to_string();
        let query =
            format!("SELECT concat(uid, '-{n}') AS uid, width + {n} AS width FROM '{file}' WHERE width % 5 <> {n}");
        assert_eq!(Tamis::sql(["-o", &target], &query).run().code, Some(0));
    }
    let many = format!("{}/*.parquet", folder.path().display());
    for query in [
        "(SELECT uid FROM t ORDER BY width DESC, uid LIMIT 5) UNION ALL (SELECT uid FROM t ORDER BY width, uid LIMIT 5) ORDER BY 1",
        "SELECT count(*) AS n FROM (SELECT max(width) AS w FROM t UNION ALL SELECT min(width) FROM t UNION ALL SELECT width FROM t WHERE width > 9)",
        "SELECT uid, sum(width) OVER (ORDER BY uid ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS s FROM t ORDER BY uid",
        "SELECT a.uid, b.n FROM t a JOIN (SELECT width, count(*) AS n FROM t GROUP BY 1) b ON a.width = b.width ORDER BY 1",
        "SELECT a.uid, row_number() OVER (ORDER BY a.uid) AS r FROM t a JOIN (SELECT width, count(*) AS n FROM t GROUP BY 1) b ON a.width = b.width ORDER BY 1",
        "SELECT uid FROM t WHERE width > (SELECT avg(width) FROM t) ORDER BY uid",
    ] {
        let query =
            query.replace("FROM t a", &format!("FROM '{many}' AS a")).replace("FROM t", &format!("FROM '{many}' AS t"));
        assert_close(&cluster.sql(&query).rows(), &Tamis::sql([], &query).rows(), &query);
    }
    // One file with one row group is work for both.
    let both = cluster.progress();
    let rows = both["executors"].as_array().expect("executors").iter().map(|e| e["rows"].as_u64().expect("a number"));
    assert!(rows.clone().all(|rows| rows > 0), "one executor did it all: {both}");
}

#[test]
fn explain_analyze_counts_what_the_executors_did() {
    let file = small().parquet();
    let cluster = Cluster::start(2, &["--slots", "1"]);
    let query = format!(
        "SELECT uid, unifilter(image, text) AS q FROM '{file}' WHERE width > 200 AND unifilter(image, text) > 0 ORDER BY q"
    );
    let expected = Tamis::sql([], &format!("SELECT count(*) AS n FROM '{file}' WHERE width > 200")).rows();
    let explained = cluster.sql(&format!("EXPLAIN ANALYZE {query}")).rows();
    let rows_scored = counter(&explained, "rows_scored");
    assert_eq!(rows_scored, (expected[0]["n"].as_u64().expect("a number"), 1), "{explained:?}");
    assert_eq!(counter(&explained, "rows_failed").0, 0);
    let again = cluster.sql(&format!("EXPLAIN ANALYZE {query}")).rows();
    let (scored, hits) = (counter(&again, "rows_scored").0, counter(&again, "cache_hits").0);
    assert_eq!(scored + hits, rows_scored.0, "{again:?}");
}

#[test]
fn options_and_errors_reach_as_far_as_in_one_process() {
    let cluster = Cluster::start(1, &["--slots", "2"]);
    for query in [
        "SELECT nope FROM 'examples/corpus/captions.parquet'",
        "SELECT unifilter(text) FROM 'examples/corpus/captions.parquet'",
        "SELECT 1/0",
    ] {
        let (local, remote) = (Tamis::sql([], query).error(), cluster.sql(query).error());
        assert_eq!(local.split(". Did").next(), remote.split(". Did").next(), "{query}");
    }
    let failing = format!("SET tamis.scoring.on_error = 'fail'; SELECT sum(unifilter(image, text)) FROM '{CAPTIONS}'");
    let error = Tamis::sql(["--remote", &cluster.url, "--set", "tamis.scoring.on_error=fail"], &failing).error();
    assert!(error.contains("scoring with unifilter: ") && error.contains("tamis.scoring.on_error"), "{error}");
    let unknown = cluster.sql(&format!("SELECT sum(unifilter(image, text, 'strict')) FROM '{CAPTIONS}'")).error();
    assert!(unknown.contains("none of the 1 executors has the model strict"), "{unknown}");
}
