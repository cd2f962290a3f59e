//! Images are read for the rows that cheap predicates keep.

use super::data::{GROUP, IMAGE, metric, run, session, small_pages, streaming, write};
use crate::tables::bounded::Bounds;

const ROWS: i64 = 4 * GROUP;
/// The bytes of one image column.
const IMAGES: usize = ROWS as usize * IMAGE;

#[tokio::test]
async fn few_images_are_read_for_few_rows() {
    let folder = tempfile::tempdir().unwrap();
    for with_index in [true, false] {
        let file = folder.path().join(format!("{with_index}.parquet"));
        write(&file, 0..ROWS, small_pages().set_offset_index_disabled(!with_index));
        for (reading, bounds) in [("whole", Bounds::default()), ("streamed", streaming())] {
            let on = session(&file, bounds, &[]).await;
            let off = session(
                &file,
                bounds,
                &[
                    ("datafusion.execution.parquet.pushdown_filters", "false"),
                    ("datafusion.execution.parquet.pruning", "false"),
                ],
            );
            let off = off.await;
            // One row of each row group; one row group; none.
            for (predicate, rows_known) in [("width = 15", 4), ("id < 50", 50), ("id % 50 = 60", 0)] {
                let sql = format!("SELECT id, md5(image) FROM t WHERE {predicate} ORDER BY id");
                let (with, without) = (run(&on, &sql).await, run(&off, &sql).await);
                let name = format!("{reading}, index {with_index}, {predicate}: {}\n{}", with.scanned, with.plan);
                assert_eq!(with.rows, without.rows, "{name}");
                assert!(without.scanned >= IMAGES * 8 / 10, "{name}");
                assert!(!with.plan.contains("FilterExec"), "{name}");
                // Without an index DataFusion reads a row group's column or leaves it.
                let by_group = reading == "whole" && !with_index && rows_known == 4;
                let share = if by_group { 1.1 } else { rows_known as f64 / ROWS as f64 + 0.15 };
                assert!((with.scanned as f64) < share * IMAGES as f64, "{name}");
                assert_eq!(metric(&with.physical, "pushdown_rows_matched"), rows_known, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn light_rows_are_filtered_above_the_scan() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.parquet");
    write(&file, 0..ROWS, small_pages());
    for bounds in [Bounds::default(), streaming()] {
        let context = session(&file, bounds, &[]).await;
        let ran = run(&context, "SELECT id FROM t WHERE width = 15 AND id < 50").await;
        assert!(ran.plan.contains("FilterExec: "), "{}", ran.plan);
        assert_eq!(metric(&ran.physical, "pushdown_rows_matched"), 0, "{}", ran.plan);
        // What statistics tell is still used.
        assert!(ran.plan.contains("pruning_predicate="), "{}", ran.plan);
        let everywhere = session(&file, Bounds { least_filtered_row: 0, ..bounds }, &[]).await;
        let filtered = run(&everywhere, "SELECT id FROM t WHERE width = 15 AND id < 50").await;
        assert!(filtered.rows == ran.rows && !filtered.plan.contains("FilterExec"), "{}", filtered.plan);
    }
}

#[tokio::test]
async fn scored_are_the_images_of_the_rows_that_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.parquet");
    write(&file, 0..ROWS, small_pages());
    for bounds in [Bounds::default(), streaming()] {
        let context = session(&file, bounds, &[]).await;
        let ran = run(&context, "SELECT id, unifilter(image, text) FROM t WHERE width = 11").await;
        assert!(ran.scanned < IMAGES / 5, "{} of {IMAGES}\n{}", ran.scanned, ran.plan);
    }
}

/// NULLs, predicates that read the heavy column, columns that are not in every file, and the folders' columns.
#[tokio::test]
async fn predicates_keep_their_meaning() {
    let folder = tempfile::tempdir().unwrap();
    for part in 0..3 {
        let ids = part * 70..(part + 1) * 70;
        write(&folder.path().join(format!("part={part}/f.parquet")), ids, small_pages());
    }
    let predicates = [
        "width IS NULL",
        "width > 10 AND width < 13",
        "width <> 3 OR width IS NULL",
        "NOT (width > 3)",
        "octet_length(md5(image)) > 5 AND width = 5",
        "image IS NULL",
        "part = 1 AND width < 9",
        "CAST(part AS INT) + width > 49",
        "record['path'] = '77.jpg'",
        "record['bytes'] IS NULL AND width > 5",
        "images IS NOT NULL AND id % 11 = 0",
        "cardinality(images) = 2 AND id < 100",
        "width > (SELECT avg(width) + 20 FROM t)",
        "random() < 2 AND width = 4",
    ];
    // Counts read light columns alone, which would be filtered above the scan.
    let everywhere = |bounds| Bounds { least_filtered_row: 0, ..bounds };
    for bounds in [Bounds::default(), streaming(), everywhere(Bounds::default()), everywhere(streaming())] {
        let on = session(folder.path(), bounds, &[]).await;
        let off = session(folder.path(), bounds, &[("datafusion.execution.parquet.pushdown_filters", "false")]).await;
        for predicate in predicates {
            let sql = format!(
                "SELECT id, part, md5(image), md5(record['bytes']), images, text FROM t WHERE {predicate} ORDER BY id"
            );
            let (with, without) = (run(&on, &sql).await, run(&off, &sql).await);
            assert_eq!(with.rows, without.rows, "{predicate}\n{}", with.plan);
            let count = format!("SELECT count(*) FROM t WHERE {predicate}");
            assert_eq!(run(&on, &count).await.rows, run(&off, &count).await.rows, "{predicate}");
        }
        let limited = run(&on, "SELECT id FROM t WHERE width > 10 LIMIT 5").await;
        assert_eq!(limited.rows.lines().count(), 5 + 4, "{}", limited.plan);
    }
}

/// Without the planner the model is called by a filter above the scan, not by the scan.
#[tokio::test]
async fn a_model_is_no_row_filter() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.parquet");
    write(&file, 0..GROUP, small_pages());
    for bounds in [Bounds::default(), streaming()] {
        let context = session(&file, bounds, &[("tamis.planner.enabled", "false")]).await;
        let sql = "SELECT id FROM t WHERE unifilter(image, text) IS NULL AND width < 5 \
                   ORDER BY unifilter(image, text), id LIMIT 3";
        let ran = run(&context, sql).await;
        let scan = ran.plan.lines().find(|line| line.contains("DataSourceExec")).unwrap();
        let predicate = scan.split_once("predicate=").unwrap().1;
        assert!(ran.plan.contains("FilterExec") && !predicate.contains("unifilter"), "{}", ran.plan);
    }
}
