//! Only the rows are scored whose score decides something.

use std::sync::Arc;

use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use crate::session::{ALL, PICTURES, U, WIDE, bare_session, compared, config, displayed, metric, rows, run, session};

/// Runs `sql` with and without the rules: equal answers, `scored` rows by all nodes together.
async fn assert_scored(context: &SessionContext, sql: &str, scored: usize) {
    let (with, _) = compared(context, sql).await;
    assert!(!with.rows.is_empty(), "a query without rows shows nothing: {sql}");
    assert_eq!(with.scored.iter().sum::<usize>(), scored, "{sql}\n{}", displayed(&with.plan));
}

macro_rules! scored {
    ($($name:ident: $sql:expr => $scored:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            assert_scored(&session(config()), $sql, $scored).await;
        })*
    };
}

// width > 200 is ids 6 to 11; 5 of them can be scored, as id 8 is no picture. width < 140 is ids 0 and 1; NULL is id 3.
scored! {
    or_in_where:
        "SELECT id FROM t WHERE width < 140 OR unifilter(image, text) > -100" => ALL - 2;
    or_in_where_written_the_other_way:
        "SELECT id FROM t WHERE unifilter(image, text) > -100 OR width < 140 OR id = 2" => ALL - 3;
    or_of_a_condition_that_is_null:
        "SELECT id FROM t WHERE nullif(width > 200, true) OR unifilter(image, text) > -100" => ALL;
    and_in_select:
        "SELECT id, width > 200 AND unifilter(image, text) > 1 FROM t" => WIDE;
    and_within_or:
        "SELECT id FROM t WHERE width < 140 OR (width > 200 AND unifilter(image, text) > -100)" => WIDE;
    the_same_call_in_both_branches:
        "SELECT id FROM t WHERE (width < 140 AND unifilter(image, text) > 100) OR \
         (width > 200 AND unifilter(image, text) > -100)" => WIDE + 2;
    case_branch:
        "SELECT id, CASE WHEN width > 200 THEN unifilter(image, text) ELSE 0 END FROM t" => WIDE;
    case_else:
        "SELECT id, CASE WHEN width > 200 THEN 9 WHEN width < 140 THEN 8 ELSE unifilter(image, text) END FROM t"
        => ALL - WIDE - 2;
    case_with_a_base:
        "SELECT id, CASE id WHEN 0 THEN 1.5 WHEN 4 THEN unifilter(image, text) END FROM t" => 1;
    case_condition_is_for_the_rows_that_come_to_it:
        "SELECT id, CASE WHEN width > 200 THEN 1 WHEN unifilter(image, text) > -100 THEN 2 ELSE 3 END FROM t"
        => ALL - WIDE;
    case_in_where_group_and_order:
        "SELECT CASE WHEN width > 200 THEN unifilter(image, text) END AS q, count(*) FROM t \
         WHERE CASE WHEN width > 200 THEN unifilter(image, text) > -100 ELSE id > 4 END GROUP BY 1 ORDER BY 1" => WIDE;
    coalesce_with_a_precomputed_score:
        "SELECT id, coalesce(CASE WHEN width <= 200 THEN 1.5 END, unifilter(image, text)) FROM t" => WIDE;
    coalesce_in_where:
        "SELECT id FROM t WHERE coalesce(nullif(CAST(width > 200 AS FLOAT), 1), unifilter(image, text)) > -100" => WIDE;
    a_guarded_call_that_is_needed_above_too:
        "SELECT id, unifilter(image, text) FROM t WHERE width < 140 OR unifilter(image, text) > -100" => ALL;
    a_guarded_call_beside_one_for_all:
        "SELECT id, CASE WHEN width > 200 THEN unifilter(image, text) END, unifilter(image, text) FROM t" => ALL;
    an_argument_that_fails_for_rows_that_do_not_reach_it:
        "SELECT id, CASE WHEN id > 6 THEN unifilter(image, concat(text, CAST(10 / (id - 6) AS VARCHAR))) END FROM t"
        => WIDE - 1;
    filtered_aggregates:
        "SELECT max(unifilter(image, text)) FILTER (WHERE width > 200), count(*) FILTER (WHERE width < 140 AND \
         unifilter(image, text) > -100) FROM t" => WIDE + 2;
    negated_and:
        "SELECT id FROM t WHERE NOT (width > 200 AND unifilter(image, text) < 100)" => WIDE;
    limit: "SELECT unifilter(image, text) IS NULL FROM u WHERE id <> 3 LIMIT 2" => 2;
    limit_with_offset: "SELECT unifilter(image, text) > -100 FROM u WHERE id <> 3 LIMIT 2 OFFSET 2" => 2;
    top_by_a_cheap_column: "SELECT id, unifilter(image, text) FROM t ORDER BY width DESC LIMIT 2" => 2;
    top_by_an_expression_of_renamed_columns:
        "SELECT n, q FROM (SELECT id + 1 AS n, width AS w, unifilter(image, text) AS q FROM t) x \
         ORDER BY w * -1, n LIMIT 2" => 2;
    top_over_a_view_of_scores:
        "WITH s AS (SELECT *, unifilter(image, text) AS q FROM t) SELECT id, q * 2 FROM s ORDER BY width, id LIMIT 3"
        => 3;
    top_by_the_score: "SELECT id FROM t ORDER BY unifilter(image, text) DESC NULLS LAST, id LIMIT 2" => ALL;
    top_of_rows_that_pass:
        "SELECT id FROM t WHERE unifilter(image, text) > -100 ORDER BY width LIMIT 2" => ALL;
    join_that_multiplies:
        "SELECT t.id, k.b FROM t JOIN (SELECT id, b FROM u CROSS JOIN (VALUES (1), (2), (3)) AS v(b)) k ON t.id = k.id \
         WHERE unifilter(t.image, t.text) > -100" => U;
    join_of_a_filtered_side_that_multiplies:
        "SELECT s.id, k.b, s.q FROM (SELECT id, unifilter(image, text) AS q FROM t) s \
         JOIN (SELECT id, b FROM u CROSS JOIN (VALUES (1), (2), (3)) AS v(b)) k USING (id) WHERE s.q > -100" => U;
    join_with_the_scored_table_on_the_right:
        "SELECT u.width, s.q FROM u JOIN (SELECT id AS n, unifilter(image, text) AS q FROM t) s ON s.n = u.id \
         WHERE q > -100" => U;
    join_on_a_score:
        "SELECT s.id FROM (SELECT id, unifilter(image, text) AS q FROM t) s JOIN u ON s.id = u.id AND s.q > u.id - 100"
        => U;
    semi_join:
        "SELECT id, q FROM (SELECT id, unifilter(image, text) AS q FROM t) s WHERE id IN (SELECT id FROM u)" => U;
    anti_join:
        "SELECT id, q FROM (SELECT id, unifilter(image, text) AS q FROM t) s \
         WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.id = s.id)" => ALL - U;
    self_join:
        "SELECT a.id FROM t a JOIN t b ON a.id = b.id + 1 WHERE unifilter(a.image, a.text) > -100 AND \
         unifilter(b.image, b.text) > -100" => ALL;
    union_all_over_one_table:
        "SELECT id, unifilter(image, text) FROM t WHERE width < 140 UNION ALL \
         SELECT id, unifilter(image, text) FROM t WHERE unifilter(image, text) > -100" => ALL;
    cte_that_is_read_twice:
        "WITH s AS (SELECT id, unifilter(image, text) AS q FROM t) SELECT a.id FROM s a JOIN s b ON a.id = b.id \
         AND a.q > b.q - 1" => ALL;
    or_of_two_models:
        "SELECT id FROM t WHERE unifilter(image, text) > -100 OR unifilter(image, upper(text)) > -100" => ALL;
    or_of_two_models_in_select:
        "SELECT id, unifilter(image, text) > -100 OR (width > 200 AND unifilter(image, upper(text)) > -100) FROM t"
        => ALL;
    and_of_two_models_in_select:
        "SELECT id, unifilter(image, text) > 100 AND unifilter(image, upper(text)) > -100 FROM t" => ALL;
    top_over_a_union:
        "SELECT * FROM (SELECT id, unifilter(image, text) AS q FROM t WHERE width < 200 UNION ALL \
         SELECT id, unifilter(image, text) FROM t WHERE width > 260) ORDER BY id LIMIT 2" => 4;
    guards_in_case_hold:
        "SELECT id, CASE WHEN width = 200 THEN 0 WHEN 1000 / (width - 200) > 5 THEN unifilter(image, text) ELSE 1 END \
         FROM t" => WIDE;
    guards_in_nested_case_hold:
        "SELECT id, CASE WHEN width <> 200 THEN CASE WHEN 1000 / (width - 200) > 5 THEN unifilter(image, text) END END \
         FROM t" => WIDE;
    guards_in_aggregates_hold:
        "SELECT sum(CASE WHEN width = 200 THEN 0 WHEN 1000 / (width - 200) > 5 THEN unifilter(image, text) END) > -100 \
         FROM t" => WIDE;
    a_filter_that_guards_a_join_s_key_stays_before_it:
        "WITH s AS (SELECT *, unifilter(image, text) AS q FROM t), g AS (SELECT id, q, 100 / (width - 200) AS r FROM s \
         WHERE width <> 200 OR q > 100) SELECT g.id, g.q, n FROM g JOIN (VALUES (1), (5), (-1)) AS v(n) ON g.r = v.n"
        => ALL;
    sample_by_lot: "SELECT unifilter(image, text) IS NULL FROM u WHERE id <> 3 ORDER BY random() LIMIT 2" => 2;
    sample_by_hand: "SELECT count(*) FROM t WHERE random() < 2 AND unifilter(image, text) > -100" => ALL;
    nothing_of_an_empty_sample:
        "SELECT count(*) FROM t WHERE random() < -1 AND unifilter(image, text) > -100" => 0;
}

/// A table of `copies` times the same two rows.
fn repeated(copies: usize) -> SessionContext {
    let context = bare_session(config(), Arc::default());
    let batches = |n| (0..n).map(|_| rows(vec![0, 1])).collect::<Vec<_>>();
    let table = MemTable::try_new(rows(vec![0]).schema(), vec![batches(copies), batches(copies)]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

#[tokio::test]
async fn equal_rows_are_scored_once() {
    let context = repeated(20);
    let run = run(&context, "SELECT count(*), count(DISTINCT unifilter(image, text)) FROM t").await;
    assert_eq!(run.rows, [["80", "2"]]);
    assert_eq!(run.scored, [2], "{}", displayed(&run.plan));
    assert_eq!(metric(&run.plan, "rows_shared"), [78]);
}

#[tokio::test]
async fn an_image_with_several_texts_is_encoded_once() {
    let context = repeated(2);
    let sql =
        "SELECT n, unifilter(image, concat(text, CAST(n AS VARCHAR))) FROM t CROSS JOIN (VALUES (1), (2), (3)) AS v(n)";
    let (with, _) = compared(&context, sql).await;
    assert_eq!(with.scored, [6], "{}", displayed(&with.plan));
    // Other tests' rows may be in the same pass, with the other pictures of these tests.
    let encoded = metric(&with.plan, "images_encoded")[0];
    assert!(encoded <= PICTURES.len(), "{encoded} images went through the vision tower");
}

#[tokio::test]
async fn scoring_stops_soon_after_enough_rows_have_passed() {
    let context = bare_session(config().with_target_partitions(2), Arc::default());
    let partition = |first: i64| (0..50).map(|i| rows_of(first + 4 * i)).collect::<Vec<_>>();
    let table = MemTable::try_new(rows(vec![0]).schema(), vec![partition(0), partition(200)]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    let sql = "SELECT id FROM t WHERE unifilter(image, text) > -100 LIMIT 10";
    let found = run(&context, sql).await;
    assert_eq!(found.rows.len(), 10);
    let scored: usize = found.scored.iter().sum();
    assert!((10..=30).contains(&scored), "{scored} rows scored\n{}", displayed(&found.plan));
    // None passes: every row is looked at, and the answer is empty all the same.
    let none = run(&context, "SELECT id FROM t WHERE unifilter(image, text) > 100 LIMIT 10").await;
    assert!(none.rows.is_empty());
    assert_eq!(none.scored.iter().sum::<usize>(), 400);
}

#[tokio::test]
async fn scoring_by_two_models_stops_soon_after_enough_rows_have_passed_both() {
    let context = bare_session(config(), Arc::default());
    let partition = |first: i64| (0..50).map(|i| rows_of(first + 4 * i)).collect::<Vec<_>>();
    let table = MemTable::try_new(rows(vec![0]).schema(), vec![partition(0), partition(200)]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    for sql in [
        "SELECT id FROM t WHERE unifilter(image, text) > -100 AND unifilter(image, upper(text)) > -100 LIMIT 10",
        "SELECT id FROM t WHERE unifilter(image, text) > 100 OR unifilter(image, upper(text)) > -100 LIMIT 10",
    ] {
        let found = run(&context, sql).await;
        assert_eq!(found.rows.len(), 10);
        let scored: usize = found.scored.iter().sum();
        assert!((10..=120).contains(&scored), "{scored} rows scored\n{}", displayed(&found.plan));
    }
}

#[tokio::test]
async fn nothing_reads_ahead_between_nodes_of_which_few_rows_are_wanted() {
    let context = bare_session(config(), Arc::default());
    let partition = (0..100).map(|i| rows_of(4 * i)).collect::<Vec<_>>();
    let table = MemTable::try_new(rows(vec![0]).schema(), vec![partition]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    let sql = "SELECT id FROM t WHERE unifilter(image, text) > -100 AND unifilter(image, upper(text)) > -100 AND \
               unifilter(image, concat(text, '!')) > -100 LIMIT 5";
    let found = run(&context, sql).await;
    assert_eq!(found.rows.len(), 5);
    let scored: usize = found.scored.iter().sum();
    assert!((15..=60).contains(&scored), "{scored} rows scored\n{}", displayed(&found.plan));
}

/// Four good rows with texts of their own.
fn rows_of(first: i64) -> arrow::array::RecordBatch {
    let batch = rows(vec![0, 1, 2, 4]);
    let texts: arrow::array::StringArray = (first..first + 4).map(|n| Some(format!("text {n}"))).collect();
    let mut columns = batch.columns().to_vec();
    columns[3] = Arc::new(texts);
    arrow::array::RecordBatch::try_new(batch.schema(), columns).unwrap()
}

#[tokio::test]
async fn images_end_at_the_score_node() {
    let context = session(config());
    let plan = context.sql("SELECT id FROM t WHERE unifilter(image, text) > -100 AND width > 200").await.unwrap();
    let plan = displayed(&plan.create_physical_plan().await.unwrap());
    assert!(plan.contains("unread=[image, text]"), "{plan}");
}

#[tokio::test]
async fn explain_scores_nothing() {
    let context = session(config());
    let explained = run(&context, "EXPLAIN SELECT unifilter(image, text) FROM t").await;
    assert!(format!("{:?}", explained.rows).contains("ScoreExec"));
    assert_eq!(explained.scored, [0; 0]);
}
