//! Late fetching of images, by queries over a table that knows its rows' addresses.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, DictionaryArray, RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int32Type, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::exec_err;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::metrics::Count;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::prelude::SessionContext;
use futures::stream;
use tamis_planner::{RowReader, RowSource, RowTable};

use crate::session::{ROWS, bare_session, config, rows, run};

/// What was asked for: the file, the rows and the columns.
type Fetched = (String, Vec<u64>, Vec<usize>);

/// Rows 0 to 5 and 6 to 11 of the small table are its files `a` and `b`.
#[derive(Debug, Clone)]
struct Files {
    files: [(&'static str, RecordBatch); 2],
    fetched: Arc<Mutex<Vec<Fetched>>>,
}

impl Files {
    fn new() -> Arc<Self> {
        let files = [("a", rows((0..6).collect())), ("b", rows((6..ROWS).collect()))];
        Arc::new(Self { files, fetched: Arc::default() })
    }
}

#[async_trait]
impl TableProvider for Files {
    fn schema(&self) -> SchemaRef {
        self.files[0].1.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = self.files.iter().map(|(_, rows)| vec![rows.clone()]).collect();
        MemTable::try_new(self.schema(), partitions)?.scan(state, projection, filters, limit).await
    }
}

impl RowSource for Files {
    fn with_row_addresses(&self, file: &str, row: &str) -> Result<Arc<dyn TableProvider>> {
        let partition = |(name, rows): &(&str, RecordBatch)| {
            let names: DictionaryArray<Int32Type> = (0..rows.num_rows()).map(|_| Some(*name)).collect();
            let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(0..rows.num_rows() as u64));
            let own = rows.schema();
            let own = own.fields().iter().map(|f| (f.name().clone(), f.is_nullable())).zip(rows.columns().to_vec());
            let added = [((file.to_string(), false), Arc::new(names) as ArrayRef), ((row.to_string(), false), numbers)];
            let columns = own.chain(added).map(|((name, nullable), array)| (name, array, nullable));
            RecordBatch::try_from_iter_with_nullable(columns).unwrap()
        };
        let partitions: Vec<_> = self.files.iter().map(|file| vec![partition(file)]).collect();
        Ok(Arc::new(MemTable::try_new(partitions[0][0].schema(), partitions)?))
    }

    fn row_reader(&self) -> Arc<dyn RowReader> {
        Arc::new(self.clone())
    }
}

impl RowReader for Files {
    fn fetch_rows(
        &self,
        file: &str,
        numbers: Arc<[u64]>,
        columns: &[usize],
        _: &TaskContext,
        scanned: &Count,
    ) -> Result<SendableRecordBatchStream> {
        let Some((_, rows)) = self.files.iter().find(|(name, _)| *name == file) else { return exec_err!("no {file}") };
        assert!(numbers.is_sorted(), "{numbers:?}");
        self.fetched.lock().unwrap().push((file.to_string(), numbers.to_vec(), columns.to_vec()));
        let rows = take_record_batch(&rows.project(columns)?, &UInt64Array::from(numbers.to_vec()))?;
        scanned.add(rows.get_array_memory_size());
        // A batch for each row: what belongs together is the reader's business.
        let batches: Vec<_> = (0..rows.num_rows()).map(|row| Ok(rows.slice(row, 1))).collect();
        Ok(Box::pin(RecordBatchStreamAdapter::new(rows.schema(), stream::iter(batches))))
    }
}

fn session() -> (SessionContext, Arc<Files>) {
    let context = bare_session(config(), Arc::default());
    let files = Files::new();
    context.register_table("t", Arc::new(RowTable::new(Arc::clone(&files) as _))).unwrap();
    (context, files)
}

/// Runs with and without the planner's rules; gives the plan and what was fetched.
async fn compare(sql: &str) -> (String, Vec<Fetched>) {
    let (context, files) = session();
    let with = run(&context, sql).await;
    let plan = displayable(with.plan.as_ref()).indent(false).to_string();
    let fetched = std::mem::take(&mut *files.fetched.lock().unwrap());
    context.sql("SET tamis.planner.enabled = false").await.unwrap();
    assert_eq!(with.rows, run(&context, sql).await.rows, "{sql}\n{plan}");
    (plan, fetched)
}

#[tokio::test]
async fn the_winners_images_are_fetched_in_their_order() {
    let (plan, mut fetched) = compare("SELECT * FROM t ORDER BY id % 5, id DESC LIMIT 4").await;
    assert!(plan.contains("FetchExec: columns=[image]"), "{plan}");
    // Ids 10, 5 and 0, then 11.
    fetched.sort();
    assert_eq!(fetched, [("a".to_string(), vec![0, 5], vec![2]), ("b".to_string(), vec![4, 5], vec![2])]);
}

#[tokio::test]
async fn images_are_scored_and_then_left() {
    let (plan, fetched) =
        compare("SELECT * FROM t WHERE width > 150 ORDER BY unifilter(image, text) DESC NULLS LAST, id LIMIT 3").await;
    let (sort, fetch, score) = (plan.find("SortExec"), plan.find("FetchExec"), plan.find("ScoreExec"));
    assert!(fetch.is_some() && fetch < sort && sort < score, "{plan}");
    let scored = plan[score.unwrap()..].lines().next().unwrap();
    assert!(scored.ends_with("unread=[image]"), "{plan}");
    assert_eq!(fetched.iter().map(|(_, rows, _)| rows.len()).sum::<usize>(), 3);
}

#[tokio::test]
async fn a_column_under_two_names_is_fetched_once() {
    let (_, fetched) = compare("SELECT image AS a, id, image AS b FROM t ORDER BY id DESC LIMIT 2").await;
    assert_eq!(fetched, [("b".to_string(), vec![4, 5], vec![2])]);
}

#[tokio::test]
async fn every_row_and_none() {
    let (_, fetched) = compare("SELECT * FROM t ORDER BY text, id LIMIT 5000").await;
    let rows: BTreeSet<_> =
        fetched.iter().flat_map(|(file, rows, _)| rows.iter().map(move |row| (file, row))).collect();
    assert_eq!(rows.len(), ROWS as usize);
    let (_, fetched) = compare("SELECT * FROM t WHERE id < 0 ORDER BY id LIMIT 3").await;
    assert!(fetched.is_empty(), "{fetched:?}");
}

#[tokio::test]
async fn explain_analyze_tells_what_was_fetched() {
    let (context, _) = session();
    let sql = "EXPLAIN ANALYZE SELECT * FROM t ORDER BY id DESC LIMIT 4";
    let text = format!("{:?}", run(&context, sql).await.rows);
    let fetch = text.split("FetchExec").nth(1).unwrap();
    assert!(fetch.contains("rows_fetched=4") && fetch.contains("bytes_scanned="), "{text}");
}
