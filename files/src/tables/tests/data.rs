//! Files of rows with large images, and what a query over them does.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::BinaryBuilder;
use datafusion::arrow::array::{ArrayRef, BinaryArray, Int64Array, ListBuilder, RecordBatch, StringArray, StructArray};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::SessionContext;

use crate::tables::FileTables;
use crate::tables::bounded::Bounds;
use crate::tables::stream::Sizes;

/// Rows of a row group of a file, one image of each.
pub(super) const GROUP: i64 = 50;
pub(super) const IMAGE: usize = 20_000;

/// Row groups are large, and blocks small enough that passing over an image spares some.
pub(super) fn streaming() -> Bounds {
    let stream = Sizes { block: 1024, cut_larger_than: 64 << 10, cut_into: 32 << 10 };
    Bounds { row_group: 0, stream, ..Bounds::default() }
}

/// Bytes that do not compress and are not repeated.
pub(super) fn image(id: i64) -> Vec<u8> {
    let mut state = id as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..IMAGE).map(|_| next()).collect()
}

fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let images: Vec<Option<Vec<u8>>> = ids.clone().map(|id| (id % 10 != 9).then(|| image(id))).collect();
    let bytes: ArrayRef = Arc::new(images.iter().map(|image| image.as_deref()).collect::<BinaryArray>());
    let paths: ArrayRef = Arc::new(ids.clone().map(|id| Some(format!("{id}.jpg"))).collect::<StringArray>());
    let record = StructArray::from(vec![
        (Arc::new(Field::new("bytes", DataType::Binary, true)), Arc::clone(&bytes)),
        (Arc::new(Field::new("path", DataType::Utf8, true)), paths),
    ]);
    let mut images = ListBuilder::new(BinaryBuilder::new());
    for id in ids.clone() {
        (0..id % 3).for_each(|n| images.values().append_value([id as u8, n as u8]));
        images.append(id % 4 != 0);
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids.clone()))),
        ("width", Arc::new(ids.clone().map(|id| (id % 7 != 6).then_some(id % GROUP)).collect::<Int64Array>())),
        ("image", bytes),
        ("record", Arc::new(record)),
        ("images", Arc::new(images.finish())),
        ("text", Arc::new(ids.map(|id| Some(format!("text {id}"))).collect::<StringArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

/// One image a page, no statistics.
pub(super) fn small_pages() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_write_batch_size(1)
        .set_data_page_row_count_limit(1)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(GROUP as usize))
}

pub(super) fn write(path: &Path, ids: std::ops::Range<i64>, properties: WriterPropertiesBuilder) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let rows = batch(ids);
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties.build())).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

/// A session with the table `t` of these files.
pub(super) async fn session(files: &Path, bounds: Bounds, options: &[(&str, &str)]) -> SessionContext {
    let context = crate::test_session::session(options);
    let table = FileTables::open_within(&context.state(), files.to_str().unwrap(), bounds).await.unwrap();
    context.register_table("t", table).unwrap();
    context
}

/// What a query gave and did.
pub(super) struct Ran {
    pub(super) rows: String,
    pub(super) scanned: usize,
    pub(super) plan: String,
    pub(super) physical: Arc<dyn ExecutionPlan>,
}

pub(super) async fn run(context: &SessionContext, sql: &str) -> Ran {
    let physical = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let plan = displayable(physical.as_ref()).indent(false).to_string();
    let batches = collect(Arc::clone(&physical), context.task_ctx()).await.unwrap();
    Ran {
        rows: pretty_format_batches(&batches).unwrap().to_string(),
        scanned: metric(&physical, "bytes_scanned"),
        plan,
        physical,
    }
}

/// The sum of a metric over the plan.
pub(super) fn metric(plan: &Arc<dyn ExecutionPlan>, name: &str) -> usize {
    let mut sum = 0;
    plan.apply(|node| {
        let value = node.metrics().and_then(|metrics| metrics.sum_by_name(name));
        sum += value.map_or(0, |value| value.as_usize());
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    sum
}
