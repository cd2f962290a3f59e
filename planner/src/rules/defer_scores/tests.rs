use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::OptimizerRule;

use super::super::test_plans::{analyzed, session};
use super::super::{DeferScores, ExtractModelCalls};

/// The plan after the extraction, and after this rule if it changes it.
async fn deferred(sql: &str) -> (LogicalPlan, Option<LogicalPlan>) {
    let context = session();
    let state = context.state();
    let plan = analyzed(&context, sql).await;
    let extracted = ExtractModelCalls.rewrite(plan, &state).unwrap().data;
    let moved = DeferScores.rewrite(extracted.clone(), &state).unwrap();
    if !moved.transformed {
        return (extracted, None);
    }
    assert_eq!(moved.data.schema().columns(), extracted.schema().columns(), "{sql}");
    let again = DeferScores.rewrite(moved.data.clone(), &state).unwrap();
    assert!(!again.transformed, "{sql}\n{}", again.data.display_indent());
    (extracted, Some(moved.data))
}

async fn assert_deferred(sql: &str, expected: &[&str]) {
    let (before, after) = deferred(sql).await;
    let after = after.unwrap_or_else(|| panic!("the rule fires: {sql}\n{}", before.display_indent()));
    let after = after.display_indent().to_string();
    assert_eq!(after.lines().collect::<Vec<_>>(), expected, "\n{after}");
}

#[tokio::test]
async fn a_limit_moves_below() {
    assert_deferred(
        "SELECT unifilter(image, text) AS q FROM t LIMIT 10 OFFSET 3",
        &[
            "Projection: __unifilter_1 AS q",
            "  ScoreNode: unifilter(t.image, t.text) AS __unifilter_1",
            "    Limit: skip=3, fetch=10",
            "      TableScan: t",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_sort_by_cheap_columns_moves_below_with_its_limit() {
    assert_deferred(
        "SELECT q FROM (SELECT width * 2 AS w, unifilter(image, text) AS q FROM t) s ORDER BY w + 1 LIMIT 10",
        &[
            "Projection: s.q",
            "  Sort: s.w + Int64(1) ASC NULLS LAST",
            "    Projection: s.q, s.w",
            "      SubqueryAlias: s",
            "        Projection: CAST(t.width AS Int64) * Int64(2) AS w, __unifilter_1 AS q",
            "          ScoreNode: unifilter(t.image, t.text) AS __unifilter_1",
            "            Limit: skip=0, fetch=10",
            "              Sort: CAST(t.width AS Int64) * Int64(2) + Int64(1) ASC NULLS LAST",
            "                TableScan: t",
        ],
    )
    .await;
}

#[tokio::test]
async fn of_two_scores_the_one_that_is_sorted_by_stays_below() {
    let sql = "SELECT unifilter(image, text), unifilter(image, text, 'default') FROM t ORDER BY 1 LIMIT 10";
    let (_, after) = deferred(sql).await;
    let after = after.unwrap().display_indent().to_string();
    let place = |what: &str| after.find(what).unwrap_or_else(|| panic!("{what} in {after}"));
    assert!(place("model=default") < place("Limit") && place("Limit") < place("AS __unifilter_1\n"), "{after}");
}

#[tokio::test]
async fn an_inner_join_moves_below() {
    assert_deferred(
        "SELECT s.id, k.width, s.q FROM (SELECT id, unifilter(image, text) AS q FROM t) s JOIN k ON s.id = k.id \
         AND s.q > k.width WHERE s.q > 1",
        &[
            "Projection: s.id, k.width, s.q",
            "  Filter: s.q > CAST(Int64(1) AS Float32)",
            "    Filter: s.q > CAST(k.width AS Float32)",
            "      Projection: t.id AS id, q AS q, k.id, k.width, k.image, k.text",
            "        Projection: t.id, __unifilter_1 AS q, k.id, k.width, k.image, k.text",
            "          ScoreNode: unifilter(t.image, t.text) AS __unifilter_1",
            "            Inner Join:  Filter: t.id = k.id",
            "              TableScan: t",
            "              TableScan: k",
        ],
    )
    .await;
}

#[tokio::test]
async fn what_reads_the_score_or_leaves_no_row_out_stays() {
    for sql in [
        "SELECT id FROM t ORDER BY unifilter(image, text) LIMIT 10",
        "SELECT id FROM t WHERE unifilter(image, text) > 1 LIMIT 10",
        "SELECT id, unifilter(image, text) FROM t ORDER BY width",
        "SELECT max(unifilter(image, text)) FROM t LIMIT 10",
        "SELECT unifilter(image, text), random() AS r FROM t ORDER BY r LIMIT 10",
        "SELECT s.q FROM (SELECT id, unifilter(image, text) AS q FROM t) s LEFT JOIN k ON s.id = k.id",
        "SELECT s.q FROM (SELECT id, unifilter(image, text) AS q FROM t) s JOIN k ON s.q = k.width",
        "SELECT s.q FROM (SELECT id, unifilter(image, text) AS q FROM t) s CROSS JOIN k",
        "SELECT DISTINCT unifilter(image, text) FROM t LIMIT 10",
    ] {
        let (_, after) = deferred(sql).await;
        assert!(after.is_none(), "{sql}\n{}", after.unwrap().display_indent());
    }
}
