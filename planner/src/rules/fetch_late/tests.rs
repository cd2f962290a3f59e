use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{JoinType, LogicalPlanBuilder, TableType, col, lit};
use datafusion::optimizer::OptimizerContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::Count;

use super::*;
use crate::{ModelCall, RowReader, RowSource, RowTable, ScoreColumns, ScoreNode};

/// A table that is planned and never read.
#[derive(Debug)]
struct Unread(SchemaRef);

#[async_trait]
impl TableProvider for Unread {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0)
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
        EmptyTable::new(self.schema()).scan(state, projection, filters, limit).await
    }
}

impl RowSource for Unread {
    fn with_row_addresses(&self, file: &str, row: &str) -> Result<Arc<dyn TableProvider>> {
        let addresses = [
            Field::new_dictionary(file, DataType::Int32, DataType::Utf8, false),
            Field::new(row, DataType::UInt64, false),
        ];
        let fields: Vec<_> = self.0.fields().iter().cloned().chain(addresses.map(Arc::new)).collect();
        Ok(Arc::new(EmptyTable::new(Arc::new(Schema::new(fields)))))
    }

    fn row_reader(&self) -> Arc<dyn RowReader> {
        Arc::new(Self(Arc::clone(&self.0)))
    }
}

impl RowReader for Unread {
    fn fetch_rows(
        &self,
        file: &str,
        _: Arc<[u64]>,
        _: &[usize],
        _: &TaskContext,
        _: &Count,
    ) -> Result<SendableRecordBatchStream> {
        datafusion::common::exec_err!("{file} is not there")
    }
}

fn schema() -> SchemaRef {
    let bytes = Field::new("bytes", DataType::Binary, true);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("width", DataType::Int32, false),
        Field::new("image", DataType::Binary, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("record", DataType::Struct(vec![bytes].into()), true),
    ]))
}

fn scan() -> LogicalPlanBuilder {
    let table = RowTable::new(Arc::new(Unread(schema())));
    LogicalPlanBuilder::scan("t", provider_as_source(Arc::new(table)), None).unwrap()
}

fn scored(input: LogicalPlanBuilder) -> LogicalPlanBuilder {
    let call = ModelCall { family: "unifilter".into(), model: None, args: vec![col("t.image"), col("t.text")] };
    let columns = ScoreColumns { score: "__q".into(), error: None };
    LogicalPlanBuilder::from(ScoreNode::try_new(input.build().unwrap(), call, columns).unwrap().into_plan())
}

fn sorted(input: LogicalPlanBuilder, key: Expr, fetch: usize) -> LogicalPlanBuilder {
    input.sort_with_limit([key.sort(false, true)], Some(fetch)).unwrap()
}

/// The rewritten plan; `None` if the rule declines. It keeps the schema, and does nothing the second time.
fn rewritten(plan: LogicalPlanBuilder) -> Option<String> {
    let plan = plan.build().unwrap();
    let rewritten = FetchLate.rewrite(plan.clone(), &OptimizerContext::new()).unwrap();
    assert_eq!(rewritten.data.schema().columns(), plan.schema().columns());
    assert_eq!(rewritten.data.schema().as_arrow(), plan.schema().as_arrow());
    let again = FetchLate.rewrite(rewritten.data.clone(), &OptimizerContext::new()).unwrap();
    assert!(!again.transformed, "{}", again.data.display_indent());
    rewritten.transformed.then(|| rewritten.data.display_indent().to_string())
}

#[test]
fn a_column_that_nobody_below_reads_is_not_scanned() {
    let plan = sorted(scan(), col("width"), 10);
    assert_plan(
        rewritten(plan),
        "Projection: t.id, t.width, t.image, t.text, t.record
           FetchNode: columns=[t.image, t.record], file=t.__file_1, row=t.__row_1
             Sort: t.width DESC NULLS FIRST, fetch=10
               TableScan: t projection=[id, width, text, __file_1, __row_1]",
    );
}

#[test]
fn a_column_goes_no_further_than_its_last_user() {
    let filter = col("image").is_not_null();
    let plan = scored(scan().filter(filter).unwrap()).project([col("id"), col("image").alias("i"), col("__q")]);
    let plan = sorted(plan.unwrap().alias("x").unwrap(), col("x.__q"), 10).limit(2, Some(8)).unwrap();
    assert_plan(
        rewritten(plan),
        "Projection: x.id, x.i, x.__q
           FetchNode: columns=[x.i], file=x.__file_1, row=x.__row_1
             Limit: skip=2, fetch=8
               Sort: x.__q DESC NULLS FIRST, fetch=10
                 SubqueryAlias: x
                   Projection: t.id, __q, t.__file_1, t.__row_1
                     Projection: t.id, t.width, t.text, t.__file_1, t.__row_1, __q
                       ScoreNode: unifilter(t.image, t.text) AS __q
                           Filter: t.image IS NOT NULL
                           TableScan: t projection=[id, width, image, text, __file_1, __row_1]",
    );
}

#[test]
fn a_column_for_the_score_alone_is_not_fetched() {
    let plan = sorted(scored(scan()), col("__q"), 10).project([col("t.record"), col("t.id")]).unwrap();
    assert_plan(
        rewritten(plan),
        "Projection: t.record, t.id
           FetchNode: columns=[t.record], file=t.__file_1, row=t.__row_1
             Sort: __q DESC NULLS FIRST, fetch=10
               Projection: t.id, t.width, t.text, t.__file_1, t.__row_1, __q
                 ScoreNode: unifilter(t.image, t.text) AS __q
                   TableScan: t projection=[id, width, image, text, __file_1, __row_1]",
    );
}

#[test]
fn what_is_not_read_above_is_not_fetched() {
    let plan = sorted(scan(), col("width"), 10).project([col("t.image"), col("t.id")]).unwrap();
    assert_plan(
        rewritten(plan),
        "Projection: t.image, t.id
           FetchNode: columns=[t.image], file=t.__file_1, row=t.__row_1
             Sort: t.width DESC NULLS FIRST, fetch=10
               TableScan: t projection=[id, width, text, __file_1, __row_1]",
    );
    assert_eq!(rewritten(sorted(scan(), col("width"), 10).project([col("t.id")]).unwrap()), None);
}

#[test]
fn a_score_above_the_limit_gets_its_image() {
    let plan = scored(sorted(scan(), col("width"), 10)).project([col("__q")]).unwrap();
    let text = rewritten(plan).unwrap();
    let expected = [
        "ScoreNode: unifilter(t.image, t.text)",
        "FetchNode: columns=[t.image",
        "Sort: t.width",
        "projection=[id, width, text, __file_1, __row_1]",
    ];
    let places: Vec<_> =
        expected.iter().map(|part| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"))).collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn scans_have_names_of_their_own() {
    let side = |alias: &str| sorted(scan(), col("width"), 10).alias(alias).unwrap();
    let plan = side("a").join_on(side("b").build().unwrap(), JoinType::Inner, [col("a.id").eq(col("b.id"))]).unwrap();
    let text = rewritten(plan).unwrap();
    assert!(text.contains("__file_1") && text.contains("__file_2"), "{text}");
}

#[test]
fn it_declines() {
    let other = LogicalPlanBuilder::scan("u", provider_as_source(Arc::new(EmptyTable::new(schema()))), None).unwrap();
    let cases = [
        ("no limit", scan().sort([col("width").sort(true, true)]).unwrap()),
        ("too many rows", sorted(scan(), col("width"), MOST_ROWS + 1)),
        ("no rows to fetch by", sorted(other.clone(), col("width"), 10)),
        ("a sort key", sorted(scan().project([col("image"), col("id")]).unwrap(), col("image"), 10)),
        ("nothing heavy", sorted(scan().project([col("width"), col("id")]).unwrap(), col("width"), 10)),
        ("a computed column", {
            let computed = datafusion::functions::core::expr_fn::coalesce(vec![col("image"), col("image")]);
            sorted(scan().project([col("id"), computed.alias("i")]).unwrap(), col("id"), 10)
        }),
        ("a join", {
            let other = other.project([col("id").alias("n")]).unwrap().build().unwrap();
            sorted(scan().join_on(other, JoinType::Inner, [col("id").eq(col("n"))]).unwrap(), col("width"), 10)
        }),
        ("an aggregate", {
            sorted(scan().aggregate([col("image"), col("id")], [max(col("width"))]).unwrap(), col("id"), 10)
        }),
        ("a limit below", sorted(scan().limit(0, Some(50)).unwrap(), col("width"), 10)),
        ("a union", sorted(scan().union(scan().build().unwrap()).unwrap(), col("width"), 10)),
        ("a score is no column of the table", {
            let plan = scored(scan()).project([col("id"), col("__q").is_null().alias("image")]).unwrap();
            sorted(plan, col("id"), 10)
        }),
    ];
    for (name, plan) in cases {
        assert_eq!(rewritten(plan), None, "{name}");
    }
    assert_eq!(rewritten(scan().filter(col("id").eq(lit(1))).unwrap()), None);
}

/// Compares plans without their indentation in the source.
fn assert_plan(found: Option<String>, expected: &str) {
    let lines = |text: &str| text.lines().map(|line| line.trim().to_string()).collect::<Vec<_>>();
    assert_eq!(found.map(|text| lines(&text)), Some(lines(expected)));
}
