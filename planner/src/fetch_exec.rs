//! The execution plan that reads columns of rows by address.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionMapping;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};

use crate::fetch_stream::fetch_stream;
use crate::{PlannerError, RowReader};

/// Appends columns of a table to rows that carry their addresses in it, in order.
///
/// Rows are fetched in chunks whose size follows what their values turn out to weigh.
#[derive(Debug)]
pub struct FetchExec {
    input: Arc<dyn ExecutionPlan>,
    reader: Arc<dyn RowReader>,
    file: usize,
    row: usize,
    columns: Vec<(usize, FieldRef)>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FetchExec {
    /// A plan that reads `columns` (places in the schema of the table that `reader` reads, and the fields that they become) for the rows whose
    /// addresses are in the columns `file` and `row` of `input`.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        reader: Arc<dyn RowReader>,
        file: usize,
        row: usize,
        columns: Vec<(usize, FieldRef)>,
    ) -> Result<Self> {
        let from = input.schema();
        if file.max(row) >= from.fields().len() {
            let reason = format!("its input has no columns {file} and {row}");
            return Err(PlannerError::InvalidFetch { reason }.into());
        }
        let fields: Vec<_> =
            from.fields().iter().cloned().chain(columns.iter().map(|(_, field)| Arc::clone(field))).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, from.metadata().clone()));
        let indices: Vec<_> = (0..from.fields().len()).collect();
        // The input's order, partitioning and boundedness hold for the output, whose first columns are the input's.
        let kept = ProjectionMapping::from_indices(&indices, &from)?;
        let equivalences = input.equivalence_properties().project(&kept, schema);
        let partitioning = input.output_partitioning().clone();
        let properties =
            PlanProperties::new(equivalences, partitioning, input.pipeline_behavior(), input.boundedness());
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { input, reader, file, row, columns, properties: Arc::new(properties), metrics })
    }

    /// The plan whose rows are completed.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// What reads the rows.
    pub fn reader(&self) -> &Arc<dyn RowReader> {
        &self.reader
    }

    /// The input's column that holds the file of a row.
    pub fn file(&self) -> usize {
        self.file
    }

    /// The input's column that holds the number of a row in its file.
    pub fn row(&self) -> usize {
        self.row
    }

    /// The columns that are read: places in the table's schema, and the fields that they become.
    pub fn columns(&self) -> &[(usize, FieldRef)] {
        &self.columns
    }

    pub(crate) fn metrics_set(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    pub(crate) fn output_schema(&self) -> SchemaRef {
        ExecutionPlan::schema(self)
    }
}

impl DisplayAs for FetchExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns.iter().map(|(_, field)| field.name().as_str()).collect::<Vec<_>>().join(", ");
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let from = self.input.schema();
                let (file, row) = (from.field(self.file).name(), from.field(self.row).name());
                write!(f, "FetchExec: columns=[{columns}], file={file}@{}, row={row}@{}", self.file, self.row)
            }
            DisplayFormatType::TreeRender => write!(f, "columns=[{columns}]"),
        }
    }
}

impl ExecutionPlan for FetchExec {
    fn name(&self) -> &'static str {
        "FetchExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    /// The rows are few.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            return Err(PlannerError::InvalidFetch { reason: "it takes exactly one input".into() }.into());
        };
        Ok(Arc::new(Self::try_new(input, Arc::clone(&self.reader), self.file, self.row, self.columns.clone())?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        Ok(fetch_stream(self, partition, input, context))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    /// As many rows as the input, its column statistics, and nothing known of what is fetched.
    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let Some(input) = inputs.first() else { return Ok(Arc::new(Statistics::new_unknown(&self.schema()))) };
        let mut statistics = input.as_ref().clone();
        statistics.column_statistics.resize_with(self.schema().fields().len(), ColumnStatistics::new_unknown);
        statistics.total_byte_size = Default::default();
        Ok(Arc::new(statistics))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
