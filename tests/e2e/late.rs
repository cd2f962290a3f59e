//! Images are read for the rows that are wanted, and late.

use std::collections::BTreeMap;
use std::fs::File;

use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::file::properties::WriterProperties;
use serde_json::Value;

use crate::support::{CAPTIONS, Tamis, assert_close, root, small};

/// The example corpus with a page for each picture, as a writer that minds the size of pages makes it.
fn paged() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("paged.parquet");
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(root().join(CAPTIONS)).expect("the corpus"))
        .and_then(|builder| builder.build())
        .expect("a Parquet file");
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_write_batch_size(1)
        .set_data_page_size_limit(1024)
        .build();
    let mut batches = reader.map(|batch| batch.expect("a batch"));
    let first = batches.next().expect("rows");
    let file = File::create(&path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, first.schema(), Some(properties)).expect("a writer");
    for batch in std::iter::once(first).chain(batches) {
        writer.write(&batch).expect("rows are written");
    }
    writer.close().expect("the file is complete");
    (folder, path.to_string_lossy().into_owned())
}

fn explained(query: &str) -> String {
    let rows = Tamis::sql([], &format!("EXPLAIN ANALYZE {query}")).rows();
    rows.iter().filter_map(|row| row.get("plan")?.as_str()).collect()
}

/// The sum of `bytes_scanned` over a plan.
fn scanned(plan: &str) -> f64 {
    let values = plan.split("bytes_scanned=").skip(1).map(|rest| {
        let text = rest.split([',', ']']).next().unwrap_or_default().trim();
        let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
        let scale = match unit {
            "" | "B" => 1.0,
            "K" | "KB" => 1e3,
            "M" | "MB" => 1e6,
            other => panic!("{other} is no unit that is known: {rest}"),
        };
        number.parse::<f64>().expect("a number") * scale
    });
    values.sum()
}

fn without_planner(query: &str) -> Vec<BTreeMap<String, Value>> {
    Tamis::sql(["--set", "tamis.planner.enabled=false"], query).rows()
}

#[test]
fn the_best_rows_images_are_fetched_after_the_sort() {
    let file = small().parquet();
    let query = format!("SELECT * FROM '{file}' ORDER BY unifilter(image, text) DESC LIMIT 5");
    let plan = explained(&query);
    let at = |name: &str| plan.find(name).unwrap_or_else(|| panic!("no {name} in {plan}"));
    let (fetch, sort, score) = (at("FetchExec"), at("SortExec"), at("ScoreExec"));
    assert!(fetch < sort && sort < score, "{plan}");
    assert!(plan[fetch..sort].contains("rows_fetched=5"), "{plan}");
    // The image ends at the score.
    assert!(!plan[sort..score].contains("image") && plan[score..].contains("unread=[image]"), "{plan}");
    let rows = Tamis::sql([], &query).rows();
    assert!(rows.len() == 5 && rows[0].contains_key("image"), "{rows:?}");
    assert_close(&rows, &without_planner(&query), &query);
}

#[test]
fn a_sort_by_a_cheap_column_reads_few_images() {
    let (_folder, file) = paged();
    let size = std::fs::metadata(&file).expect("the file").len() as f64;
    let query = format!("SELECT * FROM '{file}' ORDER BY width, uid LIMIT 5");
    let plan = explained(&query);
    let share = scanned(&plan) / size;
    assert!(share > 0.0 && share < 0.25, "{share} of the file: {plan}");
    assert_close(&Tamis::sql([], &query).rows(), &without_planner(&query), &query);
}

#[test]
fn a_cheap_predicate_spares_the_images_that_it_drops() {
    let (_folder, file) = paged();
    let query = |predicate| {
        format!("SELECT uid, unifilter(image, text) AS q FROM '{file}' WHERE note IS NULL AND {predicate} ORDER BY uid")
    };
    let (few, all) = (query("width > 600"), query("width > 0"));
    let kept = Tamis::sql([], &few).rows();
    assert!(!kept.is_empty());
    let (of_few, of_all) = (scanned(&explained(&few)), scanned(&explained(&all)));
    assert!(of_few < 0.7 * of_all, "{of_few} of {of_all}");
    assert_close(&kept, &without_planner(&few), &few);
}
