//! The execution plan that scores rows with a model.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionMapping;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprRef};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{ChildFilterDescription, FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, apply_expression_roots,
};
use tamis_udfs::runtime::QueryScores;

use crate::PlannerError;
use crate::heavy::is_heavy;
use crate::model_call::ModelCall;
use crate::score_columns::ScoreColumns;
use crate::score_stream::{Demand, score_stream};
use crate::sieve::Sieve;
use crate::small_batches::for_heavy_rows;

/// Appends a model's score, and on demand the reason why there is none, to every row of its input, in order.
///
/// Each partition reads ahead of the model within bounds of rows and bytes, so that samples are prepared while the
/// device works and batches for it cross the borders of record batches. Dropping a stream cancels its rows.
#[derive(Debug)]
pub struct ScoreExec {
    input: Arc<dyn ExecutionPlan>,
    call: ModelCall<PhysicalExprRef>,
    when: Option<PhysicalExprRef>,
    columns: ScoreColumns,
    /// Where the columns stand whose values nobody above reads.
    unread: Vec<usize>,
    /// How many rows are wanted, and how many of them all partitions have given so far.
    demand: Option<Arc<Demand>>,
    /// The scores that this node shares with the query's other ones.
    scores: Arc<QueryScores>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// What a [`ScoreExec`] does, apart from the plan below it.
#[derive(Debug, Clone)]
pub struct ScoreSettings {
    /// The model call.
    pub call: ModelCall<PhysicalExprRef>,
    /// Rows for which this is not true are not scored and get NULL; `None`: all are scored.
    pub when: Option<PhysicalExprRef>,
    /// The columns to add.
    pub columns: ScoreColumns,
    /// Where the input's columns stand whose values nobody above reads: they may become NULL.
    pub unread: Vec<usize>,
    /// How many rows are wanted, by a predicate over the output.
    pub sieve: Option<Sieve<PhysicalExprRef>>,
}

impl ScoreExec {
    /// A plan that scores the rows of `input`. Plans of one query that are given the same `scores` score rows of equal
    /// content once.
    pub fn try_new(input: Arc<dyn ExecutionPlan>, settings: ScoreSettings, scores: Arc<QueryScores>) -> Result<Self> {
        let ScoreSettings { call, when, columns, unread, sieve } = settings;
        if call.args.is_empty() {
            return Err(PlannerError::InvalidNode { family: call.family, reason: "it has no arguments".into() }.into());
        }
        let properties = properties(&input, &columns)?;
        let demand =
            sieve.map(|sieve| Arc::new(Demand::new(sieve, properties.output_partitioning().partition_count())));
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { input, call, when, columns, unread, demand, scores, properties, metrics })
    }

    /// The plan whose rows are scored.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The model call.
    pub fn call(&self) -> &ModelCall<PhysicalExprRef> {
        &self.call
    }

    /// Which rows are scored; `None`: all.
    pub fn when(&self) -> Option<&PhysicalExprRef> {
        self.when.as_ref()
    }

    /// The columns that the plan adds.
    pub fn columns(&self) -> &ScoreColumns {
        &self.columns
    }

    /// Where the columns stand whose values nobody above reads.
    pub fn unread(&self) -> &[usize] {
        &self.unread
    }

    /// Where the columns stand whose values the output leaves out: the unread ones that weigh and may be NULL. Not those
    /// of which the plan's properties tell something, an order or an equality: DataFusion may read one for the other.
    pub(crate) fn emptied(&self) -> Vec<usize> {
        let properties = self.input.equivalence_properties();
        let ordered = properties.oeq_class().iter().flatten().map(|key| &key.expr);
        let equal = properties.eq_group().iter().flat_map(|class| class.iter());
        let told: HashSet<usize> =
            ordered.chain(equal).flat_map(collect_columns).map(|column| column.index()).collect();
        let schema = self.input.schema();
        let is_free = |&index: &usize| {
            let field = schema.field(index);
            is_heavy(field.data_type()) && field.is_nullable() && !told.contains(&index)
        };
        self.unread.iter().copied().filter(is_free).collect()
    }

    /// How many rows are wanted.
    pub fn sieve(&self) -> Option<&Sieve<PhysicalExprRef>> {
        self.demand.as_ref().map(|demand| demand.sieve())
    }

    pub(crate) fn demand(&self) -> Option<&Arc<Demand>> {
        self.demand.as_ref()
    }

    pub(crate) fn scores(&self) -> &Arc<QueryScores> {
        &self.scores
    }

    pub(crate) fn metrics_set(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    pub(crate) fn settings(&self) -> ScoreSettings {
        ScoreSettings {
            call: self.call.clone(),
            when: self.when.clone(),
            columns: self.columns.clone(),
            unread: self.unread.clone(),
            sieve: self.sieve().cloned(),
        }
    }
}

/// The input's order, partitioning and boundedness hold for the output, whose first columns are the input's.
fn properties(input: &Arc<dyn ExecutionPlan>, columns: &ScoreColumns) -> Result<Arc<PlanProperties>> {
    let from = input.schema();
    let fields: Vec<_> = from.fields().iter().cloned().chain(columns.fields()).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, from.metadata().clone()));
    let mapping = ProjectionMapping::from_indices(&(0..from.fields().len()).collect::<Vec<_>>(), &from)?;
    let equivalences = input.equivalence_properties().project(&mapping, schema);
    let partitioning = input.output_partitioning().project(&mapping, input.equivalence_properties());
    Ok(Arc::new(PlanProperties::new(equivalences, partitioning, input.pipeline_behavior(), input.boundedness())))
}

impl DisplayAs for ScoreExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "ScoreExec: {} AS {}", self.call, self.columns.score)?;
                if let Some(error) = &self.columns.error {
                    write!(f, ", error={error}")?;
                }
                if let Some(model) = &self.call.model {
                    write!(f, ", model={model}")?;
                }
                if let Some(when) = &self.when {
                    write!(f, ", when={when}")?;
                }
                if let Some(sieve) = self.sieve() {
                    write!(f, ", {sieve}")?;
                }
                if !self.unread.is_empty() {
                    let input = self.input.schema();
                    let names: Vec<_> = self.unread.iter().map(|&index| input.field(index).name().as_str()).collect();
                    write!(f, ", unread=[{}]", names.join(", "))?;
                }
                Ok(())
            }
            DisplayFormatType::TreeRender => {
                write!(f, "{}", self.call)?;
                if let Some(model) = &self.call.model {
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

    /// DataFusion moves a sort below a plan that says so by its columns' places: the input's must stay where they are.
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
        let expressions: Vec<_> = self.call.args.iter().chain(&self.when).cloned().collect();
        apply_expression_roots(&expressions, f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            let (family, reason) = (self.call.family.clone(), "it takes exactly one input".into());
            return Err(PlannerError::InvalidNode { family, reason }.into());
        };
        Ok(Arc::new(Self::try_new(input, self.settings(), Arc::clone(&self.scores))?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, for_heavy_rows(&self.input.schema(), Arc::clone(&context)))?;
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

    /// Filters over input columns, such as those that a TopK or a join makes while it runs, go on to the scan: where
    /// it filters rows, they spare rows from being scored.
    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        // A filter finds its columns by name: two of one name, which a join below may have, could be mistaken.
        let input = self.input.schema();
        let is_one = |name: &String| input.fields().iter().filter(|field| field.name() == name).count() == 1;
        let places = (0..input.fields().len()).filter(|&index| is_one(input.field(index).name())).collect();
        let child = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, places, &self.input)?;
        Ok(FilterDescription::new().with_child(child))
    }
}

impl ScoreExec {
    /// The schema of the output: the fields of the input and the new ones.
    pub(crate) fn output_schema(&self) -> SchemaRef {
        ExecutionPlan::schema(self)
    }
}
