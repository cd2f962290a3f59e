//! A session with our rules over small tables of real pictures.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use tamis_planner::ScoreExec;
use tamis_udfs::options::TamisOptions;

/// Rows of table `t`: `id` counts from 0, `width` is 100 + 20 * id, one picture is NULL and one is none.
pub(crate) const ROWS: i64 = 12;
pub(crate) const NULL_IMAGE: i64 = 3;
pub(crate) const BAD_IMAGE: i64 = 8;

/// Real pictures, small ones.
pub(crate) const PICTURES: [&[u8]; 4] = [
    include_bytes!("../../../models/tests/golden/images/c13.png"),
    include_bytes!("../../../models/tests/golden/images/c15.png"),
    include_bytes!("../../../models/tests/golden/images/c16.png"),
    include_bytes!("../../../models/tests/golden/images/c19.png"),
];

/// Rows of `t` that the model can score.
pub(crate) const ALL: usize = ROWS as usize - 2;
/// Those with width > 200: ids 6 to 11 without the bad one.
pub(crate) const WIDE: usize = 5;
/// Rows of `u` that it can score: ids 2 to 7 without the NULL.
pub(crate) const U: usize = 5;

/// The options of a session of these tests.
pub(crate) fn config() -> SessionConfig {
    SessionConfig::new().with_target_partitions(2).with_option_extension(TamisOptions::default())
}

/// A session with our functions, rules and planner, and no table.
pub(crate) fn bare_session(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionContext {
    let builder = SessionStateBuilder::new().with_default_features().with_config(config).with_runtime_env(runtime);
    let context = SessionContext::new_with_state(tamis_planner::configure(builder).build());
    for function in tamis_udfs::functions::all() {
        context.register_udf(function.as_ref().clone());
    }
    context
}

/// A session with the tables `t` (12 rows in two partitions) and `u` (rows 2 to 7 of it).
pub(crate) fn session(config: SessionConfig) -> SessionContext {
    let context = bare_session(config, Arc::default());
    let batches = |ids: std::ops::Range<i64>| vec![rows(ids.clone().take(2).collect()), rows(ids.skip(2).collect())];
    let table = |partitions| Arc::new(MemTable::try_new(schema(), partitions).unwrap());
    context.register_table("t", table(vec![batches(0..6), batches(6..ROWS)])).unwrap();
    context.register_table("u", table(vec![batches(2..8)])).unwrap();
    context
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("width", DataType::Int32, false),
        Field::new("image", DataType::Binary, true),
        Field::new("text", DataType::Utf8, true),
    ]))
}

/// The rows of these ids.
pub(crate) fn rows(ids: Vec<i64>) -> RecordBatch {
    let image = |id: &i64| match *id {
        NULL_IMAGE => None,
        BAD_IMAGE => Some(b"not an image at all".as_slice()),
        id => Some(PICTURES[usize::try_from(id).unwrap() % PICTURES.len()]),
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.clone())),
        Arc::new(ids.iter().map(|id| i32::try_from(100 + 20 * id).unwrap()).collect::<Int32Array>()),
        Arc::new(ids.iter().map(image).collect::<BinaryArray>()),
        Arc::new(ids.iter().map(|id| Some(format!("a picture of number {id}"))).collect::<StringArray>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// What a query did: its rows, and of each score node how many rows the model scored.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) scored: Vec<usize>,
    pub(crate) failed: usize,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
}

pub(crate) async fn run(context: &SessionContext, sql: &str) -> Run {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let batches = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    let scored = metric(&plan, "rows_scored");
    let failed = metric(&plan, "rows_failed").iter().sum();
    Run { rows: batches.iter().flat_map(formatted).collect(), scored, failed, plan }
}

/// A metric of each score plan in `plan`.
pub(crate) fn metric(plan: &Arc<dyn ExecutionPlan>, name: &str) -> Vec<usize> {
    let mut values = vec![];
    plan.apply(|node| {
        if let Some(score) = node.downcast_ref::<ScoreExec>() {
            let metrics = score.metrics().unwrap();
            values.push(metrics.sum(|metric| metric.value().name() == name).map_or(0, |value| value.as_usize()));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    values
}

/// Cells as text; floats with four digits, as a score depends on its batch beyond that.
fn formatted(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
    let cell = |column: usize, row: usize| {
        let text = columns[column].value(row).to_string();
        match (batch.column(column).data_type().is_floating(), text.parse::<f64>()) {
            (true, Ok(value)) => format!("{value:.4}"),
            _ => text,
        }
    };
    (0..batch.num_rows()).map(|row| (0..columns.len()).map(|column| cell(column, row)).collect()).collect()
}

/// Runs `sql` with and without the rules and holds the answers equal; the run with them, and how many score nodes it has.
///
/// Without the rules the functions score as often as they stand: these runs, whose calls nobody counts, share a cache.
pub(crate) async fn compared(context: &SessionContext, sql: &str) -> (Run, usize) {
    let with = run(context, sql).await;
    let cache = TamisOptions::from_config(context.copied_config().options()).cache_path();
    let set = async |key: &str, value: &str| {
        context.sql(&format!("SET {key} = '{value}'")).await.unwrap().collect().await.unwrap();
    };
    set("tamis.planner.enabled", "false").await;
    set("tamis.cache.path", scores()).await;
    let without = run(context, sql).await;
    set("tamis.cache.path", &cache).await;
    set("tamis.planner.enabled", "true").await;
    assert_eq!(without.scored, [0; 0], "no node without the rules: {sql}");
    let (mut rows, mut expected) = (with.rows.clone(), without.rows);
    if !sql.contains("ORDER BY") {
        rows.sort();
        expected.sort();
    }
    assert_eq!(rows, expected, "{sql}\n{}", displayed(&with.plan));
    let nodes = with.scored.len();
    (with, nodes)
}

/// A folder for the scores of this process.
pub(crate) fn scores() -> &'static str {
    static FOLDER: LazyLock<tempfile::TempDir> =
        LazyLock::new(|| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    FOLDER.path().to_str().unwrap()
}

/// A plan as EXPLAIN shows it.
pub(crate) fn displayed(plan: &Arc<dyn ExecutionPlan>) -> String {
    datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string()
}
