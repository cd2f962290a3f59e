//! What a score node's stream holds and how it ends.

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};

use crate::session::{bare_session, config, displayed, metric, rows, run, session};

/// A session whose table `t` has `batches` batches of 4 good rows in one partition, each with a text of its own.
fn long_session(batches: i64, prefetch: &str, pool: Arc<dyn MemoryPool>) -> SessionContext {
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
    let config = config().with_target_partitions(1).set_str("tamis.scoring.prefetch", prefetch);
    let context = bare_session(config, runtime);
    let partition: Vec<_> = (0..batches).map(|n| rows([0, 4, 5, 6].map(|id| 100 * n + id).to_vec())).collect();
    let table = MemTable::try_new(partition[0].schema(), vec![partition]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

fn pool(bytes: usize) -> Arc<dyn MemoryPool> {
    Arc::new(TrackConsumersPool::new(GreedyMemoryPool::new(bytes), NonZeroUsize::MIN))
}

#[tokio::test]
async fn order_is_kept_in_every_partition() {
    let context = session(config().with_batch_size(1).set_str("tamis.scoring.prefetch", "1"));
    let run = run(&context, "SELECT id, unifilter(image, text) FROM t").await;
    let ids: Vec<i64> = run.rows.iter().map(|row| row[0].parse().unwrap()).collect();
    let of_partition = |low: bool| ids.iter().copied().filter(|id| (*id < 6) == low).collect::<Vec<_>>();
    assert_eq!(of_partition(true), [0, 1, 2, 3, 4, 5]);
    assert_eq!(of_partition(false), [6, 7, 8, 9, 10, 11]);
}

#[tokio::test]
async fn joins_and_filters_put_few_images_together() {
    let context = long_session(50, "64", pool(1 << 30));
    let sql = "SELECT t.id FROM t JOIN (SELECT id AS n FROM t) k ON t.id = k.n \
               WHERE unifilter(t.image, t.text) > -100 AND t.id % 2 < 2";
    let run = run(&context, sql).await;
    assert_eq!(run.rows.len(), 200);
    let mut most = 0;
    run.plan
        .apply(|node| {
            let metrics = node.metrics().unwrap_or_default();
            let batches = metrics.sum(|m| m.value().name() == "output_batches").map_or(0, |count| count.as_usize());
            let holds_images = node.schema().field_with_name("image").is_ok();
            if node.is::<HashJoinExec>() || holds_images && node.is::<FilterExec>() {
                most = most.max(metrics.output_rows().unwrap_or(0).div_ceil(batches.max(1)));
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
    assert!((1..=16).contains(&most), "{most} rows a batch\n{}", displayed(&run.plan));
}

#[tokio::test]
async fn a_dropped_stream_stops_the_work() {
    let context = long_session(12, "2", pool(1 << 30));
    let frame = context.sql("SELECT id, unifilter(image, text) FROM t").await.unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let mut stream = execute_stream(Arc::clone(&plan), context.task_ctx()).unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first.column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0), 0);
    drop(stream);
    // 4 times the prefetch is in flight at most, besides what was given out.
    let scored = metric(&plan, "model_calls")[0];
    assert!(scored <= first.num_rows() + 8, "{scored} rows scored");
    assert_eq!(context.runtime_env().memory_pool.reserved(), 0);
}

#[tokio::test]
async fn a_slow_consumer_stops_the_reading() {
    let context = long_session(12, "2", pool(1 << 30));
    let frame = context.sql("SELECT id, unifilter(image, text) FROM t").await.unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let mut stream = execute_stream(Arc::clone(&plan), context.task_ctx()).unwrap();
    let mut taken = 0;
    while taken < 8 {
        taken += stream.next().await.unwrap().unwrap().num_rows();
    }
    // 4 times the prefetch is in flight at most, besides what was taken.
    let scored = metric(&plan, "model_calls")[0];
    assert!(scored <= taken + 8, "{scored} rows scored, {taken} taken");
    let others: Vec<_> = stream.try_collect().await.unwrap();
    assert_eq!(others.iter().map(|batch| batch.num_rows()).sum::<usize>() + taken, 48);
    assert_eq!(metric(&plan, "rows_scored"), [48]);
}

#[tokio::test]
async fn memory_is_reserved_while_rows_are_in_flight() {
    // A batch of these rows takes about 10 KB: two fit, so reading waits for what is in flight.
    let tight = pool(24_000);
    let context = long_session(6, "4", Arc::clone(&tight));
    let run = run(&context, "SELECT id, unifilter(image, text) FROM t").await;
    assert_eq!(run.rows.len(), 24);
    assert_eq!(tight.reserved(), 0);
}

#[tokio::test]
async fn a_batch_that_fits_nowhere_is_the_pools_error() {
    let context = long_session(2, "4", pool(1_000));
    let error = context.sql("SELECT unifilter(image, text) FROM t").await.unwrap().collect().await.unwrap_err();
    assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{error}");
    assert!(error.to_string().contains("ScoreExec[0]"), "{error}");
}

#[tokio::test]
async fn a_bad_row_fails_the_query_if_asked_to() {
    let context = session(config().set_str("tamis.scoring.on_error", "fail"));
    let sql = "SELECT unifilter(image, text) FROM t";
    let error = context.sql(sql).await.unwrap().collect().await.unwrap_err().to_string();
    assert!(error.contains("scoring with unifilter: image") && error.contains("on_error"), "{error}");
    let good = run(&context, &format!("{sql} WHERE id <> 8")).await;
    assert_eq!(good.rows.len(), 11);
}

#[tokio::test]
async fn an_error_of_the_input_surfaces() {
    let context = session(config());
    let sql = "SELECT unifilter(image, text) FROM (SELECT image, text, 10 / (id - 7) AS x FROM t) WHERE x < 100";
    let error = context.sql(sql).await.unwrap().collect().await.unwrap_err().to_string();
    assert!(error.contains("Divide by zero"), "{error}");
}

#[tokio::test]
async fn an_unknown_model_fails_before_anything_runs() {
    let context = session(config());
    let frame = context.sql("SELECT unifilter(image, text, '/no/such/unknown-model') FROM t").await.unwrap();
    assert!(frame.create_physical_plan().await.is_err());
}

#[tokio::test]
async fn a_model_that_is_no_literal_is_a_planning_error() {
    let context = session(config());
    let result = match context.sql("SELECT unifilter(image, text, text) FROM t").await {
        Ok(frame) => frame.create_physical_plan().await.map(|_| ()),
        Err(error) => Err(error),
    };
    let error = result.unwrap_err().to_string();
    assert!(error.contains("must be a string literal"), "{error}");
}

#[tokio::test]
async fn explain_scores_nothing_and_shows_the_node() {
    let context = session(config());
    let sql = "EXPLAIN SELECT id, unifilter(image, text) AS q, unifilter_error(image, text) FROM t WHERE width > 200";
    let text = pretty_format_batches(&context.sql(sql).await.unwrap().collect().await.unwrap()).unwrap().to_string();
    for shown in [
        "ScoreNode: unifilter(t.image, t.text) AS __unifilter_1, error=__unifilter_error_1",
        "ScoreExec: unifilter(image@",
        "AS __unifilter_1, error=__unifilter_error_1",
    ] {
        assert!(text.contains(shown), "{shown} in\n{text}");
    }
}
