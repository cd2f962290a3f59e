//! The execution plan that scores rows with a model.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionMapping;
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprRef};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, apply_expression_roots,
};

use crate::PlannerError;
use crate::score_node::score_fields;
use crate::score_stream::score_stream;

/// Appends a model's score, and on demand the reason why there is none, to every row of its input, in order.
///
/// Each partition reads ahead of the model within bounds of rows and bytes, so that samples are prepared while the
/// device works and batches for it cross the borders of record batches. Dropping a stream cancels its rows.
#[derive(Debug)]
pub struct ScoreExec {
    input: Arc<dyn ExecutionPlan>,
    family: String,
    model: Option<String>,
    args: Vec<PhysicalExprRef>,
    score: String,
    error: Option<String>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ScoreExec {
    /// A plan that scores the rows of `input` with a model of `family` (`model`: its name, else the session's default)
    /// over `args`, into a Float32 column `score` and, if wanted, a Utf8 column `error`.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        family: impl Into<String>,
        model: Option<String>,
        args: Vec<PhysicalExprRef>,
        score: impl Into<String>,
        error: Option<String>,
    ) -> Result<Self> {
        let (family, score) = (family.into(), score.into());
        if args.is_empty() {
            return Err(PlannerError::InvalidNode { family, reason: "it has no arguments".into() }.into());
        }
        let properties = properties(&input, &score, error.as_deref())?;
        Ok(Self { input, family, model, args, score, error, properties, metrics: ExecutionPlanMetricsSet::new() })
    }

    /// The plan whose rows are scored.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The model family, such as `unifilter`.
    pub fn family(&self) -> &str {
        &self.family
    }

    /// The model's name; `None` for the session's default.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The image and text arguments.
    pub fn args(&self) -> &[PhysicalExprRef] {
        &self.args
    }

    /// The name of the score column.
    pub fn score(&self) -> &str {
        &self.score
    }

    /// The name of the error column, if there is one.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    pub(crate) fn metrics_set(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }
}

/// The input's order, partitioning and boundedness hold for the output, whose first columns are the input's.
fn properties(input: &Arc<dyn ExecutionPlan>, score: &str, error: Option<&str>) -> Result<Arc<PlanProperties>> {
    let from = input.schema();
    let fields: Vec<_> = from.fields().iter().cloned().chain(score_fields(score, error)).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, from.metadata().clone()));
    let indices: Vec<_> = (0..from.fields().len()).collect();
    let kept = ProjectionMapping::from_indices(&indices, &from)?;
    let equivalences = input.equivalence_properties().project(&kept, schema);
    let partitioning = input.output_partitioning().clone();
    Ok(Arc::new(PlanProperties::new(equivalences, partitioning, input.pipeline_behavior(), input.boundedness())))
}

impl DisplayAs for ScoreExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let args = self.args.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "ScoreExec: {}({args}) AS {}", self.family, self.score)?;
                if let Some(error) = &self.error {
                    write!(f, ", error={error}")?;
                }
                if let Some(model) = &self.model {
                    write!(f, ", model={model}")?;
                }
                Ok(())
            }
            DisplayFormatType::TreeRender => {
                write!(f, "{}({args})", self.family)?;
                if let Some(model) = &self.model {
                    write!(f, "\nmodel={model}")?;
                }
                Ok(())
            }
        }
    }
}

impl ExecutionPlan for ScoreExec {
    fn name(&self) -> &'static str {
        "ScoreExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    /// More partitions would not score faster, as they share the device and the threads that prepare samples; a
    /// repartition would only carry images about. Scoring stays in the stage that scans.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(&self.args, f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            let (family, reason) = (self.family.clone(), "it takes exactly one input".into());
            return Err(PlannerError::InvalidNode { family, reason }.into());
        };
        let (args, error) = (self.args.clone(), self.error.clone());
        Ok(Arc::new(Self::try_new(input, &self.family, self.model.clone(), args, &self.score, error)?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        Ok(score_stream(self, partition, input, &context))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    /// As many rows as the input, its column statistics, and nothing known of the scores.
    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let Some(input) = inputs.first() else { return Ok(Arc::new(Statistics::new_unknown(&self.schema()))) };
        let mut statistics = input.as_ref().clone();
        statistics.column_statistics.resize_with(self.schema().fields().len(), ColumnStatistics::new_unknown);
        statistics.total_byte_size = statistics.total_byte_size.to_inexact();
        Ok(Arc::new(statistics))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    /// Filters over input columns, such as those that a TopK or a join makes while it runs, go on to the scan: they
    /// spare rows from being scored.
    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }
}

impl ScoreExec {
    /// The schema of the output: the input's fields and the new ones.
    pub(crate) fn output_schema(&self) -> SchemaRef {
        ExecutionPlan::schema(self)
    }
}
