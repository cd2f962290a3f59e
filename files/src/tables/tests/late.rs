//! Images of the winners alone.

use std::sync::Arc;

use datafusion::physical_plan::metrics::Count;
use futures::TryStreamExt;
use tamis_planner::RowTable;

use super::data::{IMAGE, metric, run, session, small_pages, streaming, write};
use crate::tables::bounded::Bounds;

const ROWS: i64 = 210;

/// Three files in folders, of several row groups each.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in 0..3 {
        let ids = part * 70..(part + 1) * 70;
        write(&folder.path().join(format!("part={part}/f.parquet")), ids, small_pages());
    }
    folder
}

#[tokio::test]
async fn the_rows_are_those_of_the_plan_without_the_rule() {
    let folder = folder();
    let queries = [
        "SELECT * FROM t ORDER BY width DESC NULLS LAST, id LIMIT 7",
        "SELECT * FROM t ORDER BY id DESC LIMIT 5 OFFSET 3",
        "SELECT * FROM t WHERE width > 20 AND part > 0 ORDER BY md5(text) LIMIT 9",
        "SELECT image AS a, image AS b, record AS r, x.id FROM (SELECT * FROM t WHERE id % 3 = 1) x \
         ORDER BY md5(text), id LIMIT 40",
        "SELECT images, record, part, id FROM t WHERE image IS NOT NULL ORDER BY width, id LIMIT 11",
        "SELECT md5(image), md5(record['bytes']), id FROM t ORDER BY width, id LIMIT 6",
        "SELECT * FROM t WHERE octet_length(md5(image)) > 5 ORDER BY id LIMIT 6",
        "SELECT * FROM t ORDER BY image, id LIMIT 6",
        "SELECT * FROM (SELECT * FROM t ORDER BY md5(text) LIMIT 20) ORDER BY id LIMIT 4",
        "SELECT a.id, a.image, b.id FROM t a JOIN t b ON a.id = b.id + 1 ORDER BY a.id DESC LIMIT 3",
        "SELECT id, image FROM t WHERE id IN (SELECT max(id) FROM t GROUP BY part) ORDER BY id LIMIT 3",
        "SELECT * FROM t WHERE id < 0 ORDER BY id LIMIT 3",
        "SELECT * FROM t ORDER BY id LIMIT 0",
    ];
    for bounds in [Bounds::default(), streaming()] {
        let on = session(folder.path(), bounds, &[]).await;
        let off = session(folder.path(), bounds, &[("tamis.planner.enabled", "false")]).await;
        for batch_size in ["3", "8192"] {
            let set = format!("SET datafusion.execution.batch_size = {batch_size}");
            on.sql(&set).await.unwrap();
            let mut late = 0;
            for sql in queries {
                let (with, without) = (run(&on, sql).await, run(&off, sql).await);
                assert_eq!(with.rows, without.rows, "{sql}\n{}", with.plan);
                assert!(!without.plan.contains("FetchExec"), "{}", without.plan);
                late += usize::from(with.plan.contains("FetchExec"));
            }
            assert!(late >= 7, "fetched late in {late} queries");
        }
    }
}

#[tokio::test]
async fn ten_rows_are_ten_images() {
    let folder = folder();
    let on = session(folder.path(), streaming(), &[]).await;
    let ran = run(&on, "SELECT id, image, record FROM t ORDER BY width, id LIMIT 10").await;
    let images = ran.scanned as f64 / IMAGE as f64;
    // Each row has the bytes twice, in `image` and in `record`.
    assert!((20.0..30.0).contains(&images), "{images} images of {}\n{}", 2 * ROWS, ran.plan);
    assert_eq!(metric(&ran.physical, "rows_fetched"), 10);
    assert_eq!(ran.plan.matches("FetchExec").count(), 1, "{}", ran.plan);
}

#[tokio::test]
async fn addresses_are_right_whatever_is_read() {
    let folder = folder();
    let context = session(folder.path(), streaming(), &[]).await;
    let table = context.table_provider("t").await.unwrap();
    let source = Arc::clone(table.downcast_ref::<RowTable>().unwrap().source());
    context.register_table("a", source.with_row_addresses("f", "r").unwrap()).unwrap();
    // Byte ranges: each file is split among partitions.
    context.sql("SET datafusion.optimizer.repartition_file_min_size = 1").await.unwrap();
    for (batch_size, predicate) in
        [(1, "true"), (9, "id % 5 = 2"), (9, "width > 30"), (8192, "part = 2"), (4, "part = 1 AND id > 130")]
    {
        context.sql(&format!("SET datafusion.execution.batch_size = {batch_size}")).await.unwrap();
        let sql = format!(
            "SELECT count(*) AS rows, sum(CASE WHEN r = id % 70 AND f LIKE concat('%part=', part, '/f.parquet') \
             THEN 0 ELSE 1 END) AS wrong FROM a WHERE {predicate}"
        );
        let expected = format!("SELECT count(*) AS rows, 0 AS wrong FROM t WHERE {predicate}");
        let (found, expected) = (run(&context, &sql).await, run(&context, &expected).await);
        assert_eq!(found.rows.lines().nth(3), expected.rows.lines().nth(3), "{predicate}\n{}", found.plan);
    }
}

#[tokio::test]
async fn files_that_have_changed_are_named() {
    let folder = folder();
    let context = session(folder.path(), Bounds::default(), &[]).await;
    let table = context.table_provider("t").await.unwrap();
    let source = Arc::clone(table.downcast_ref::<RowTable>().unwrap().source());
    let path = |part: usize| folder.path().join(format!("part={part}/f.parquet")).display().to_string();
    let fetch = |file: String, rows: Vec<u64>| {
        let (context, reader) = (context.task_ctx(), source.row_reader());
        async move {
            let file = file.trim_start_matches('/');
            let scanned = Count::new();
            let rows = reader.fetch_rows(file, rows.into(), &[2, 0], &context, &scanned)?;
            let batches = rows.try_collect::<Vec<_>>().await?;
            Ok::<_, datafusion::error::DataFusionError>(batches.iter().map(|batch| batch.num_rows()).sum::<usize>())
        }
    };
    assert_eq!(fetch(path(1), vec![3, 69]).await.unwrap(), 2);
    let short = fetch(path(1), vec![3, 70]).await.unwrap_err().to_string();
    assert!(short.contains("reading row 70") && short.contains("has 70 rows now"), "{short}");
    std::fs::remove_file(path(0)).unwrap();
    let gone = fetch(path(0), vec![1]).await.unwrap_err().to_string();
    assert!(gone.contains("part=0/f.parquet") && gone.contains("the file is gone"), "{gone}");
}
