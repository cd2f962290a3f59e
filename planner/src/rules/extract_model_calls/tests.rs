use std::sync::Arc;

use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::OptimizerRule;

use super::super::test_plans::{analyzed, session};
use super::ExtractModelCalls;

async fn try_extract(sql: &str) -> Result<Option<String>> {
    let context = session();
    let plan = analyzed(&context, sql).await;
    let rewritten = ExtractModelCalls.rewrite(plan, &context.state())?;
    Ok(rewritten.transformed.then(|| rewritten.data.display_indent().to_string()))
}

/// The plan after the rule alone, or `None` if it changed nothing.
async fn extract(sql: &str) -> Option<String> {
    try_extract(sql).await.unwrap()
}

async fn assert_extracted(sql: &str, expected: &[&str]) {
    let plan = extract(sql).await.expect("the rule fires");
    assert_eq!(plan.lines().collect::<Vec<_>>(), expected, "\n{plan}");
}

#[tokio::test]
async fn one_node_for_select_where_and_order() {
    assert_extracted(
        "SELECT unifilter(image, text) AS q FROM t WHERE unifilter(image, text) >= 2 AND width > 200 ORDER BY q DESC",
        &[
            "Sort: q DESC NULLS FIRST",
            "  Projection: __unifilter_1 AS q",
            "    Filter: __unifilter_1 >= CAST(Int64(2) AS Float32)",
            "      ScoreNode: unifilter(t.image, t.text) AS __unifilter_1",
            "        Filter: CAST(t.width AS Int64) > Int64(200)",
            "          TableScan: t",
        ],
    )
    .await;
}

#[tokio::test]
async fn names_are_kept() {
    assert_extracted(
        "SELECT unifilter(image, text), unifilter(image, text) + 1 FROM t",
        &[
            "Projection: __unifilter_1 AS unifilter(t.image,t.text), \
             __unifilter_1 + CAST(Int64(1) AS Float32) AS unifilter(t.image,t.text) + Int64(1)",
            "  ScoreNode: unifilter(t.image, t.text) AS __unifilter_1",
            "    TableScan: t",
        ],
    )
    .await;
}

#[tokio::test]
async fn score_and_error_share_a_node() {
    assert_extracted(
        "SELECT unifilter_error(image, text) AS e FROM t WHERE unifilter(image, text) IS NULL",
        &[
            "Projection: __unifilter_error_1 AS e",
            "  Filter: __unifilter_1 IS NULL",
            "    ScoreNode: unifilter(t.image, t.text) AS __unifilter_1, error=__unifilter_error_1",
            "      TableScan: t",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_score_serves_the_queries_around_it() {
    assert_extracted(
        "WITH s AS (SELECT *, unifilter(image, text) AS q FROM t) \
         SELECT unifilter(image, text) AS again FROM s AS v WHERE q >= 2 AND width > 200",
        &[
            "Projection: v.q AS again",
            "  Filter: v.q >= CAST(Int64(2) AS Float32) AND CAST(v.width AS Int64) > Int64(200)",
            "    SubqueryAlias: v",
            "      SubqueryAlias: s",
            "        Projection: t.id, t.width, t.image, t.text, __unifilter_1 AS q",
            "          ScoreNode: unifilter(t.image, t.text) AS __unifilter_1",
            "            TableScan: t",
        ],
    )
    .await;
}

#[tokio::test]
async fn hidden_columns_travel_and_are_trimmed() {
    assert_extracted(
        "SELECT * FROM (SELECT image AS i, text AS c FROM t WHERE unifilter(image, text) > 1) x \
         ORDER BY unifilter(i, c)",
        &[
            "Projection: x.i, x.c",
            "  Sort: x.__unifilter_1 ASC NULLS LAST",
            "    Projection: x.i, x.c, x.__unifilter_1",
            "      SubqueryAlias: x",
            "        Projection: t.image AS i, t.text AS c, __unifilter_1",
            "          Filter: __unifilter_1 > CAST(Int64(1) AS Float32)",
            "            ScoreNode: unifilter(t.image, t.text) AS __unifilter_1",
            "              TableScan: t",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_second_model_sees_what_the_first_lets_through() {
    assert_extracted(
        "SELECT id FROM t WHERE unifilter(image, text) > 1 AND unifilter(image, text, 'default') > 2 AND width > 3",
        &[
            "Projection: t.id",
            "  Filter: __unifilter_2 > CAST(Int64(2) AS Float32)",
            "    ScoreNode: unifilter(t.image, t.text) AS __unifilter_2, model=default",
            "      Filter: __unifilter_1 > CAST(Int64(1) AS Float32)",
            "        ScoreNode: unifilter(t.image, t.text) AS __unifilter_1",
            "          Filter: CAST(t.width AS Int64) > Int64(3)",
            "            TableScan: t",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_condition_of_an_inner_join_runs_over_the_joined_rows() {
    assert_extracted(
        "SELECT t.id FROM t JOIN u ON t.id = u.id AND unifilter(t.image, u.text) > 1 AND t.width < u.width",
        &[
            "Projection: t.id",
            "  Filter: __unifilter_1 > CAST(Int64(1) AS Float32)",
            "    ScoreNode: unifilter(t.image, u.text) AS __unifilter_1",
            "      Inner Join:  Filter: t.id = u.id AND t.width < u.width",
            "        TableScan: t",
            "        TableScan: u",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_outer_join_passes_scores_on_that_its_nulls_leave_true() {
    let plan = extract(
        "SELECT unifilter(s.image, s.text), unifilter(s.image, coalesce(s.text, 'x')) FROM t LEFT JOIN \
         (SELECT * FROM u WHERE unifilter(image, text) > 1 AND unifilter(image, coalesce(text, 'x')) > 1) s ON t.id = s.id",
    )
    .await
    .unwrap();
    assert_eq!(plan.matches("ScoreNode").count(), 2, "a NULL image gives a NULL score\n{plan}");
    let plan = extract(
        "SELECT unifilter(decode('00', 'hex'), coalesce(s.text, 'x')) FROM t LEFT JOIN \
         (SELECT * FROM u WHERE unifilter(decode('00', 'hex'), coalesce(text, 'x')) > 1) s ON t.id = s.id",
    )
    .await
    .unwrap();
    assert_eq!(plan.matches("ScoreNode").count(), 2, "no argument is NULL where the join fills in NULLs\n{plan}");
}

#[tokio::test]
async fn aggregates_windows_and_distinct_keep_their_names() {
    assert_extracted(
        "SELECT max(unifilter(image, text)) FROM t GROUP BY unifilter(image, text) > 1",
        &[
            "Projection: max(unifilter(t.image,t.text))",
            "  Aggregate: groupBy=[[__unifilter_1 > CAST(Int64(1) AS Float32) AS unifilter(t.image,t.text) > Int64(1)]], \
             aggr=[[max(__unifilter_1) AS max(unifilter(t.image,t.text))]]",
            "    ScoreNode: unifilter(t.image, t.text) AS __unifilter_1",
            "      TableScan: t",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_union_gets_a_node_a_branch() {
    assert_extracted(
        "SELECT id FROM t WHERE unifilter(image, text) > 1 UNION ALL SELECT id FROM u ORDER BY 1",
        &[
            "Sort: id ASC NULLS LAST",
            "  Union",
            "    Projection: t.id",
            "      Filter: __unifilter_1 > CAST(Int64(1) AS Float32)",
            "        ScoreNode: unifilter(t.image, t.text) AS __unifilter_1",
            "          TableScan: t",
            "    Projection: u.id",
            "      TableScan: u",
        ],
    )
    .await;
}

#[tokio::test]
async fn correlated_predicates_stay_above_the_node() {
    assert_extracted(
        "SELECT id FROM t WHERE EXISTS \
         (SELECT 1 FROM u WHERE u.id = t.id AND u.width > 5 AND unifilter(u.image, u.text) > 1)",
        &[
            "Projection: t.id",
            "  Filter: EXISTS (<subquery>)",
            "    Subquery:",
            "      Projection: Int64(1)",
            "        Filter: u.id = outer_ref(t.id) AND __unifilter_1 > CAST(Int64(1) AS Float32)",
            "          ScoreNode: unifilter(u.image, u.text) AS __unifilter_1",
            "            Filter: CAST(u.width AS Int64) > Int64(5)",
            "              TableScan: u",
            "    TableScan: t",
        ],
    )
    .await;
}

#[tokio::test]
async fn what_no_node_can_make_stays_a_function() {
    for sql in [
        "SELECT id FROM t WHERE width > 200",
        "SELECT unifilter(image, concat(text, CAST(random() AS VARCHAR))) FROM t",
        "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE unifilter(t.image, u.text) > 1)",
        "SELECT t.id FROM t LEFT JOIN u ON unifilter(t.image, u.text) > 1",
        "SELECT unifilter(image, (SELECT max(text) FROM u)) FROM t",
        "SELECT count(*) FROM t GROUP BY ROLLUP (unifilter(image, text))",
    ] {
        assert_eq!(extract(sql).await, None, "{sql}");
    }
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let context = session();
    let plan = analyzed(&context, "SELECT unifilter(image, text) FROM t").await;
    context.sql("SET tamis.planner.enabled = false").await.unwrap().collect().await.unwrap();
    assert!(!ExtractModelCalls.rewrite(plan, &context.state()).unwrap().transformed);
}

#[tokio::test]
async fn a_model_that_is_no_literal_is_refused() {
    let context = session();
    let Ok(plan) = context.state().create_logical_plan("SELECT unifilter(image, text, text) FROM t").await else {
        return;
    };
    let error = ExtractModelCalls.rewrite(plan, &context.state()).unwrap_err().to_string();
    assert!(error.contains("must be a string literal, found t.text"), "{error}");
}

#[tokio::test]
async fn it_keeps_every_schema_and_is_idempotent() {
    let context = session();
    for sql in [
        "SELECT *, unifilter(image, text), unifilter_error(image, text) AS e FROM t WHERE unifilter(image, text) > 1",
        "SELECT x.*, unifilter(x.image, x.text) FROM (SELECT * FROM t WHERE unifilter(image, text) > 1) x",
        "SELECT unifilter(image, text), count(*), max(unifilter(image, text)) FROM t GROUP BY 1",
        "SELECT image, text, unifilter(image, text) FROM t GROUP BY image, text",
        "SELECT id, rank() OVER (PARTITION BY width ORDER BY unifilter(image, text)) FROM t ORDER BY 2",
        "SELECT DISTINCT unifilter(image, text) FROM t",
        "SELECT DISTINCT ON (width) id, unifilter(image, text) FROM t ORDER BY width, unifilter(image, text)",
        "SELECT t.*, unifilter(u.image, u.text) FROM t FULL JOIN u ON t.id = u.id AND unifilter(u.image, u.text) > 1",
        "SELECT * FROM t LEFT SEMI JOIN u ON t.id = u.id AND unifilter(u.image, u.text) > 1",
        "SELECT * FROM t JOIN u USING (id) WHERE unifilter(t.image, u.text) > unifilter(u.image, t.text)",
        "SELECT (SELECT max(unifilter(image, text)) FROM u) AS m, unifilter(image, text, 'default') FROM t",
        "SELECT id FROM t WHERE id IN (SELECT id FROM u WHERE unifilter(image, text) > 1 LIMIT 3)",
        "SELECT unifilter(image, text) FROM t UNION SELECT unifilter(image, text) FROM u",
        "EXPLAIN SELECT unifilter(image, text) FROM t",
        "SELECT unifilter(decode('00', 'hex'), 'x')",
    ] {
        let plan = analyzed(&context, sql).await;
        let once = ExtractModelCalls.rewrite(plan.clone(), &context.state()).unwrap();
        assert!(once.transformed, "{sql}");
        let fields =
            |plan: &LogicalPlan| plan.schema().iter().map(|(q, f)| (q.cloned(), Arc::clone(f))).collect::<Vec<_>>();
        assert_eq!(fields(&once.data), fields(&plan), "{sql}");
        let twice = ExtractModelCalls.rewrite(once.data.clone(), &context.state()).unwrap();
        assert!(!twice.transformed, "{sql}\n{}", twice.data.display_indent());
        assert_eq!(twice.data, once.data, "{sql}");
    }
}
