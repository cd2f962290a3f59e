//! A part of a plan whose partitions are tasks of executors.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock, Weak};

use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, displayable,
};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::query::Query;
use super::run::Run;

/// Gives the rows of a plan whose partitions run as tasks of executors, each partition's in its place, one task or several after each other.
///
/// The tasks begin when rows are first asked for: a join's are when its other side is known, which spares them rows.
#[derive(Debug)]
pub(super) struct PartExec {
    /// What the tasks' rows are those of.
    plan: Arc<dyn ExecutionPlan>,
    /// Whose partitions are tasks.
    tasks: Arc<dyn ExecutionPlan>,
    /// Which tasks make up each partition.
    of: Vec<Range<usize>>,
    query: Arc<Query>,
    state: Mutex<State>,
    metrics: ExecutionPlanMetricsSet,
}

#[derive(Debug, Default)]
struct State {
    tasks: Weak<Tasks>,
    /// The partitions that were asked for.
    asked: BTreeSet<usize>,
}

/// Tasks that begin when the first of them is asked for.
struct Tasks {
    plan: Arc<dyn ExecutionPlan>,
    query: Arc<Query>,
    partitions: Vec<usize>,
    run: OnceLock<Run>,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

impl Tasks {
    fn run(&self) -> &Run {
        self.run.get_or_init(|| Run::start(Arc::clone(&self.query), Arc::clone(&self.plan), self.partitions.clone()))
    }
}

impl PartExec {
    /// Gives the rows of `plan`: so many partitions of `tasks` are one of its own.
    pub(super) fn new(
        plan: Arc<dyn ExecutionPlan>,
        tasks: Arc<dyn ExecutionPlan>,
        counts: &[usize],
        query: Arc<Query>,
    ) -> Self {
        let of = counts.iter().scan(0, |next, count| {
            let first = *next;
            *next += count;
            Some(first..*next)
        });
        let of = of.collect();
        Self::with(plan, tasks, of, query)
    }

    fn with(
        plan: Arc<dyn ExecutionPlan>,
        tasks: Arc<dyn ExecutionPlan>,
        of: Vec<Range<usize>>,
        query: Arc<Query>,
    ) -> Self {
        Self { plan, tasks, of, query, state: Mutex::default(), metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The tasks of which this partition is one. Whoever reads them keeps them.
    fn tasks(&self, partition: usize) -> Arc<Tasks> {
        let mut state = self.state.lock();
        if !state.asked.insert(partition) {
            // It is asked for once more: all begins anew.
            state.asked = BTreeSet::from([partition]);
            state.tasks = Weak::new();
        }
        if let Some(tasks) = state.tasks.upgrade() {
            return tasks;
        }
        let all = self.of.iter().enumerate();
        let wanted = all.filter(|(one, _)| *one == partition || !state.asked.contains(one));
        let partitions = wanted.flat_map(|(_, tasks)| tasks.clone()).collect();
        let (plan, query) = (Arc::clone(&self.tasks), Arc::clone(&self.query));
        let tasks = Arc::new(Tasks { plan, query, partitions, run: OnceLock::new() });
        state.tasks = Arc::downgrade(&tasks);
        tasks
    }
}

impl DisplayAs for PartExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.tasks.output_partitioning().partition_count();
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(
                    f,
                    "PartExec: tasks={tasks}, {}",
                    displayable(self.tasks.as_ref()).one_line().to_string().trim_end()
                )
            }
            DisplayFormatType::TreeRender => write!(f, "tasks={tasks}"),
        }
    }
}

impl ExecutionPlan for PartExec {
    fn name(&self) -> &'static str {
        "PartExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    /// None: what is below runs elsewhere.
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("a part of a query has no children"),
        }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let (plan, tasks) = (Arc::clone(&self.plan), Arc::clone(&self.tasks));
        Ok(Arc::new(Self::with(plan, tasks, self.of.clone(), Arc::clone(&self.query))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(of) = self.of.get(partition).cloned() else {
            return internal_err!("a part of {} partitions has none of number {partition}", self.of.len());
        };
        let tasks = self.tasks(partition);
        let (all_metrics, metrics) = (self.metrics.clone(), BaselineMetrics::new(&self.metrics, partition));
        let schema = self.schema();
        // The tasks are kept until all of these rows have been read.
        let rows = stream::iter(of).then(move |task| {
            let (tasks, metrics, context) = (Arc::clone(&tasks), all_metrics.clone(), Arc::clone(&context));
            async move {
                let rows = tasks.run().rows(task, &metrics, &context).await?;
                Ok::<_, DataFusionError>(rows)
            }
        });
        let rows = rows.try_flatten().inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
