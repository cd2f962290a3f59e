//! Each row is scored once, whatever the query does with the score.

use arrow::array::RecordBatch;
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use crate::session::{
    ALL, BAD_IMAGE, NULL_IMAGE, PICTURES, ROWS, U, WIDE, compared, config, displayed, metric, rows, run, session,
};

/// Runs `sql` with and without the rules: equal answers, as many nodes as `scored` has numbers, and their sum of rows
/// scored in all: nodes of one call share its scores, and which of them comes first is open.
async fn assert_scores(context: &SessionContext, sql: &str, scored: &[usize]) {
    let (with, nodes) = compared(context, sql).await;
    assert!(!with.rows.is_empty(), "a query without rows shows nothing: {sql}");
    assert_eq!(nodes, scored.len(), "{sql}\n{}", displayed(&with.plan));
    assert_eq!(with.scored.iter().sum::<usize>(), scored.iter().sum::<usize>(), "{sql}\n{}", displayed(&with.plan));
}

macro_rules! scores {
    ($($name:ident: $sql:expr => $scored:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            assert_scores(&session(config()), $sql, &$scored).await;
        })*
    };
}

scores! {
    select_where_order_limit:
        "SELECT id, unifilter(image, text) AS q FROM t WHERE unifilter(image, text) > -100 AND width > 200 \
         ORDER BY unifilter(image, text) DESC, id LIMIT 10" => [WIDE];
    subquery:
        "SELECT id, unifilter(image, text) FROM (SELECT * FROM t WHERE unifilter(image, text) > -100) x \
         WHERE width > 200" => [WIDE];
    renamed_subquery:
        "SELECT n, unifilter(i, x.c) FROM (SELECT id AS n, image AS i, text AS c, width FROM t \
         WHERE unifilter(image, text) > -100) x WHERE width > 200" => [WIDE];
    cte:
        "WITH s AS (SELECT *, unifilter(image, text) AS q FROM t) SELECT id, unifilter(image, text) FROM s \
         WHERE q > -100 AND width > 200 ORDER BY q DESC, id LIMIT 10" => [WIDE];
    group_by_and_having:
        "SELECT floor(unifilter(image, text)) AS bucket, count(*) AS n, max(unifilter(image, text)) FROM t \
         GROUP BY floor(unifilter(image, text)) HAVING max(unifilter(image, text)) > -100 ORDER BY bucket" => [ALL];
    group_by_the_arguments:
        "SELECT image, text, unifilter(image, text) FROM t WHERE width > 200 GROUP BY image, text" => [WIDE];
    group_by_the_arguments_of_a_known_score:
        "SELECT text, unifilter(image, text), count(*), unifilter_error(image, text) IS NULL FROM t \
         WHERE unifilter(image, text) > -100 AND width > 200 GROUP BY image, text" => [WIDE];
    group_by_arguments_without_reading_the_score_above:
        "SELECT text, count(DISTINCT id) FROM t WHERE unifilter(image, text) > -100 GROUP BY image, text" => [ALL];
    aggregate_argument:
        "SELECT max(unifilter(image, text)), count(DISTINCT unifilter(image, text) > 1), \
         min(id) FILTER (WHERE unifilter(image, text) > -100) FROM t" => [ALL];
    grouping_sets_are_right:
        "SELECT width > 200, max(unifilter(image, text)) FROM t GROUP BY ROLLUP (width > 200)" => [ALL];
    window:
        "SELECT id, row_number() OVER (ORDER BY unifilter(image, text) DESC, id) AS rank, unifilter(image, text) AS q \
         FROM t WHERE width > 200 ORDER BY rank" => [WIDE];
    union_all:
        "SELECT id, unifilter(image, text) AS q FROM t WHERE width > 200 UNION ALL \
         SELECT id, unifilter(image, text) FROM u WHERE unifilter(image, text) > -100" => [WIDE, 3];
    join:
        "SELECT t.id, unifilter(t.image, t.text) FROM t JOIN u ON t.id = u.id AND unifilter(t.image, t.text) > -100 \
         WHERE t.width > 200" => [2];
    join_of_a_scored_side:
        "SELECT s.id, unifilter(s.image, s.text), u.width FROM (SELECT * FROM t WHERE unifilter(image, text) > -100) s \
         JOIN u ON s.id = u.id" => [U];
    join_over_both_sides:
        "SELECT t.id FROM t JOIN u ON t.id = u.id WHERE unifilter(t.image, u.text) > -100" => [U];
    cross_join_as_written:
        "SELECT t.id FROM t, u WHERE unifilter(t.image, u.text) > -100 AND t.id = u.id AND t.width > 200" => [2];
    outer_join:
        "SELECT t.id, s.id, unifilter(s.image, s.text) FROM t LEFT JOIN \
         (SELECT * FROM u WHERE unifilter(image, text) > -100) s ON t.id = s.id" => [U];
    outer_join_condition:
        "SELECT t.id, u.id FROM t LEFT JOIN u ON t.id = u.id AND unifilter(u.image, u.text) > -100" => [U];
    in_subquery:
        "SELECT id, width FROM t WHERE id IN (SELECT id FROM u WHERE unifilter(image, text) > -100)" => [U];
    in_subquery_beside_a_call:
        "SELECT id, unifilter(image, text) FROM t WHERE unifilter(image, text) > -100 AND id IN (SELECT id FROM u)"
        => [U];
    exists:
        "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id AND unifilter(u.image, u.text) > -100)"
        => [U];
    correlated_scalar_subquery:
        "SELECT id, (SELECT max(unifilter(u.image, u.text)) FROM u WHERE u.id = t.id) FROM t" => [U];
    scalar_subquery:
        "SELECT id FROM t WHERE unifilter(image, text) >= (SELECT min(unifilter(image, text)) FROM u)" => [ALL, 0];
    distinct:
        "SELECT DISTINCT unifilter(image, text) > 1, width > 200 FROM t" => [ALL];
    distinct_on:
        "SELECT DISTINCT ON (width > 200) width > 200, unifilter(image, text) FROM t \
         ORDER BY width > 200, unifilter(image, text) DESC NULLS LAST, id" => [ALL];
    error_beside_score:
        "SELECT id, unifilter(image, text), unifilter_error(image, text) FROM t WHERE width > 200" => [WIDE];
    error_alone:
        "SELECT id FROM t WHERE unifilter_error(image, text) IS NOT NULL" => [ALL];
    two_models:
        "SELECT id, unifilter(image, text), unifilter(image, text, 'default') FROM t \
         WHERE width > 200 AND unifilter(image, text) > -100" => [WIDE, 0];
    literal_that_is_no_picture:
        "SELECT id, unifilter(arrow_cast('not an image', 'Binary'), 'x') FROM t" => [0];
    case_and_or:
        "SELECT id, CASE WHEN width > 200 THEN unifilter(image, text) ELSE 0 END FROM t \
         WHERE unifilter(image, text) > -100 OR width > 300" => [ALL - 1, 1];
    view_over_a_view_of_renamed_columns:
        "SELECT n FROM (SELECT a.id AS n, a.image AS i, a.text AS c FROM t AS a) AS b \
         WHERE unifilter(b.i, b.c) > -100 ORDER BY unifilter(b.i, b.c), n" => [ALL];
    unread_score:
        "SELECT count(*) FROM (SELECT id, unifilter(image, text) AS q FROM t)" => [];
    limit_before_score:
        "SELECT id, unifilter(image, text) FROM (SELECT * FROM u ORDER BY id DESC LIMIT 2) ORDER BY id" => [2];
    top_of_the_scores_of_some:
        "SELECT id, unifilter(image, text) AS q FROM (SELECT * FROM u ORDER BY id DESC LIMIT 4) \
         ORDER BY q DESC NULLS LAST, id LIMIT 3" => [4];
    a_join_on_an_argument_whose_equal_is_read:
        "SELECT count(*), array_agg(k.caption ORDER BY k.caption DESC) FROM t JOIN (SELECT text AS caption FROM u) k \
         ON t.text = k.caption WHERE unifilter(t.image, t.text) > -100" => [U];
    limit_of_scores:
        "SELECT unifilter(image, text) IS NULL FROM u LIMIT 1" => [1];
    nested_arguments:
        "SELECT id, unifilter(image, upper(text)) FROM t WHERE unifilter(image, upper(text)) > -100 AND width > 200"
        => [WIDE];
    volatile_predicate:
        "SELECT id FROM t WHERE random() >= 0 AND unifilter(image, text) > -100 AND width > 200" => [WIDE];
    intersect:
        "SELECT id FROM t WHERE unifilter(image, text) > -100 INTERSECT SELECT id FROM u" => [ALL];
}

#[tokio::test]
async fn view() {
    let context = session(config());
    let view = "CREATE VIEW scored AS SELECT *, unifilter(image, text) AS q FROM t WHERE unifilter(image, text) > -100";
    context.sql(view).await.unwrap().collect().await.unwrap();
    let sql = "SELECT id, unifilter(image, text) FROM scored WHERE q > -100 AND width > 200 ORDER BY q DESC, id";
    assert_scores(&context, sql, &[WIDE]).await;
}

#[tokio::test]
async fn literal_is_scored_once() {
    let hex: String = PICTURES[1].iter().map(|byte| format!("{byte:02x}")).collect();
    let sql = format!("SELECT id, unifilter(decode('{hex}', 'hex'), 'a caption') FROM t");
    assert_scores(&session(config()), &sql, &[1]).await;
}

#[tokio::test]
async fn create_table_as() {
    let context = session(config());
    let sql = "CREATE TABLE kept AS SELECT id, unifilter(image, text) AS q FROM t WHERE unifilter(image, text) > -100";
    context.sql(sql).await.unwrap().collect().await.unwrap();
    assert_eq!(run(&context, "SELECT id, q FROM kept").await.rows.len(), ALL);
}

#[tokio::test]
async fn parquet_with_and_without_filter_pushdown() {
    let folder = tempfile::tempdir().unwrap();
    for (file, ids) in [("a.parquet", 0..6), ("b.parquet", 6..ROWS)] {
        write_parquet(&folder.path().join(file), &rows(ids.collect()));
    }
    for pushdown in [false, true] {
        let config = config().set_bool("datafusion.execution.parquet.pushdown_filters", pushdown);
        let context = session(config);
        let path = folder.path().to_str().unwrap();
        context.register_parquet("p", path, ParquetReadOptions::default()).await.unwrap();
        for (sql, scored) in [
            (
                "SELECT id, unifilter(image, text) FROM p WHERE unifilter(image, text) > -100 AND width > 200 \
                 ORDER BY unifilter(image, text) DESC, id LIMIT 10",
                vec![WIDE],
            ),
            ("SELECT id FROM (SELECT *, unifilter(image, text) AS q FROM p) WHERE q > -100 AND id < 3", vec![3]),
            ("SELECT count(*), max(unifilter(image, text)) FROM p WHERE width > 200 OR id = 0", vec![WIDE + 1]),
            ("SELECT p.id FROM p JOIN u ON p.id = u.id WHERE unifilter(p.image, u.text) > -100", vec![U]),
        ] {
            assert_scores(&context, sql, &scored).await;
        }
    }
}

fn write_parquet(path: &std::path::Path, batch: &RecordBatch) {
    use datafusion::parquet::arrow::ArrowWriter;
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

#[tokio::test]
async fn failures_are_counted_and_named() {
    let run = run(
        &session(config()),
        "SELECT id, unifilter(image, text) IS NULL, unifilter_error(image, text) FROM t ORDER BY id",
    )
    .await;
    assert_eq!(run.failed, 1);
    for (id, row) in (0..ROWS).zip(&run.rows) {
        assert_eq!(row[1] == "true", [NULL_IMAGE, BAD_IMAGE].contains(&id), "{row:?}");
        assert_eq!(row[2] != "NULL", id == BAD_IMAGE, "{row:?}");
    }
}

#[tokio::test]
async fn every_metric_is_final_when_the_query_is() {
    let run = run(&session(config()), "SELECT unifilter(image, text) FROM t").await;
    for name in ["model_calls", "rows_scored"] {
        assert_eq!(metric(&run.plan, name), [ALL], "{name}");
    }
    for name in ["batches", "prepare_time", "forward_time", "output_rows", "elapsed_compute"] {
        assert!(metric(&run.plan, name)[0] > 0, "{name}");
    }
}

#[tokio::test]
async fn explain_analyze_prints_plain_integers() {
    let text =
        format!("{:?}", run(&session(config()), "EXPLAIN ANALYZE SELECT unifilter(image, text) FROM t").await.rows);
    for shown in [format!("rows_scored={ALL}"), format!("model_calls={ALL}"), "rows_failed=1".to_string()] {
        assert!(text.contains(&shown), "{shown} in {text}");
    }
}
