//! A part of a plan that executors run over rows from here.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::query::Query;
use super::run::Run;

/// A task has at least so many rows, if there are as many.
const LEAST_ROWS: usize = 16;
/// So many tasks are made of rows at once for each slot.
const TASKS_A_SLOT: usize = 2;
/// Rows of so many bytes are sent at once. They are within plans, whose messages are bounded.
const MOST_BYTES: usize = 32 << 20;
/// So many times rows are on their way at once.
const AT_ONCE: usize = 2;

/// Gives the rows of a plan that executors run over the rows of its input, in order: models are with executors.
#[derive(Debug)]
pub(super) struct FedExec {
    /// From the top down to what is `depth` nodes below it; the next below is in the input's place.
    chain: Arc<dyn ExecutionPlan>,
    depth: usize,
    input: Arc<dyn ExecutionPlan>,
    query: Arc<Query>,
    metrics: ExecutionPlanMetricsSet,
}

impl FedExec {
    /// Runs the `depth` uppermost nodes of `chain`, each with one input, over `input`.
    pub(super) fn new(
        chain: Arc<dyn ExecutionPlan>,
        depth: usize,
        input: Arc<dyn ExecutionPlan>,
        query: Arc<Query>,
    ) -> Self {
        Self { chain, depth, input, query, metrics: ExecutionPlanMetricsSet::new() }
    }
}

/// The `depth` uppermost nodes of a chain over another input.
fn over(chain: &Arc<dyn ExecutionPlan>, depth: usize, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let children = chain.children();
    match (depth, children.as_slice()) {
        (0, _) => Ok(input),
        (_, [child]) => {
            let below = over(child, depth - 1, input)?;
            replace_children_if_necessary(Arc::clone(chain), vec![below])
        }
        _ => internal_err!("{} is no node of a chain", chain.name()),
    }
}

/// Rows that are sent at once, a batch for each task.
fn tasks_of(batches: &[RecordBatch], slots: usize) -> Vec<Vec<RecordBatch>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let a_task = rows.div_ceil(slots.max(1) * TASKS_A_SLOT).max(LEAST_ROWS);
    let (mut tasks, mut task, mut room) = (vec![], vec![], a_task);
    for batch in batches {
        let mut from = 0;
        while from < batch.num_rows() {
            let take = room.min(batch.num_rows() - from);
            task.push(batch.slice(from, take));
            (from, room) = (from + take, room - take);
            if room == 0 {
                tasks.push(std::mem::take(&mut task));
                room = a_task;
            }
        }
    }
    if !task.is_empty() {
        tasks.push(task);
    }
    tasks
}

/// Batches of an input, as many together as are sent at once: few at first.
fn together(input: SendableRecordBatchStream, slots: usize) -> impl futures::Stream<Item = Result<Vec<RecordBatch>>> {
    let most = slots.max(1) * TASKS_A_SLOT * LEAST_ROWS * 4;
    let first = slots.max(1) * LEAST_ROWS;
    stream::try_unfold((input, None::<RecordBatch>, first), move |(mut input, mut left, wanted)| async move {
        let (mut taken, mut rows, mut bytes) = (vec![], 0, 0);
        while rows < wanted && bytes < MOST_BYTES {
            let batch = match left.take() {
                Some(batch) => batch,
                None => match input.next().await {
                    Some(batch) => batch?,
                    None => break,
                },
            };
            if batch.num_rows() == 0 {
                continue;
            }
            let a_row = batch.get_array_memory_size() / batch.num_rows();
            let fit = (MOST_BYTES - bytes).div_ceil(a_row.max(1)).min(wanted - rows).max(1);
            if fit < batch.num_rows() {
                left = Some(batch.slice(fit, batch.num_rows() - fit));
            }
            let batch = batch.slice(0, fit.min(batch.num_rows()));
            (rows, bytes) = (rows + batch.num_rows(), bytes + a_row * batch.num_rows());
            taken.push(batch);
        }
        Ok((!taken.is_empty()).then_some((taken, (input, left, (wanted * 2).min(most)))))
    })
}

impl DisplayAs for FedExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FedExec: ")?;
        let mut node = &self.chain;
        for at in 0..self.depth {
            if at > 0 {
                write!(f, " <- ")?;
            }
            node.fmt_as(format, f)?;
            match node.children().as_slice() {
                [child] => node = child,
                _ => break,
            }
        }
        Ok(())
    }
}

impl ExecutionPlan for FedExec {
    fn name(&self) -> &'static str {
        "FedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.chain.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

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
            return internal_err!("what executors run over rows from here has exactly one input");
        };
        Ok(Arc::new(Self::new(Arc::clone(&self.chain), self.depth, input, Arc::clone(&self.query))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let (chain, depth, query) = (Arc::clone(&self.chain), self.depth, Arc::clone(&self.query));
        let (all_metrics, metrics) = (self.metrics.clone(), BaselineMetrics::new(&self.metrics, partition));
        let slots = query.watch.slots().get();
        let input_schema = self.input.schema();
        let begun = together(input, slots).map_ok(move |batches| {
            let (chain, query, schema) = (Arc::clone(&chain), Arc::clone(&query), Arc::clone(&input_schema));
            let (metrics, context) = (all_metrics.clone(), Arc::clone(&context));
            async move {
                let tasks = tasks_of(&batches, slots);
                let count = tasks.len();
                let rows = MemorySourceConfig::try_new_exec(&tasks, schema, None)?;
                let run = Run::start(query, over(&chain, depth, rows)?, (0..count).collect());
                let mut all = Vec::with_capacity(count);
                for task in 0..count {
                    all.push(run.rows(task, &metrics, &context).await?);
                }
                Ok(stream::iter(all).flatten())
            }
        });
        let rows =
            begun.try_buffered(AT_ONCE).try_flatten().inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int32Array;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn batches(sizes: &[usize]) -> Vec<RecordBatch> {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
        let mut next = 0;
        let batch = |&size: &usize| {
            let values: Vec<i32> = (next..next + size as i32).collect();
            next += size as i32;
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int32Array::from(values))]).unwrap()
        };
        sizes.iter().map(batch).collect()
    }

    fn numbers<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Vec<i32> {
        let values = batches.into_iter().map(|batch| batch.column(0).as_any().downcast_ref::<Int32Array>().unwrap());
        values.flat_map(|values| values.values().to_vec()).collect()
    }

    #[test]
    fn every_row_is_in_one_task_and_in_order() {
        for (sizes, slots, tasks) in [(vec![1], 2, 1), (vec![17, 0, 40], 2, 4), (vec![1000], 4, 8), (vec![3; 30], 1, 2)]
        {
            let batches = batches(&sizes);
            let made = tasks_of(&batches, slots);
            assert_eq!(made.len(), tasks, "{sizes:?}");
            assert_eq!(numbers(made.iter().flatten()), numbers(&batches));
        }
    }

    #[tokio::test]
    async fn rows_that_are_sent_together_are_few_at_first_and_keep_their_order() {
        let all = batches(&[500, 1, 0, 700, 30]);
        let input = RecordBatchStreamAdapter::new(all[0].schema(), stream::iter(all.clone().into_iter().map(Ok)));
        let sent: Vec<_> = together(Box::pin(input), 1).try_collect().await.unwrap();
        let sizes: Vec<usize> = sent.iter().map(|batches| batches.iter().map(RecordBatch::num_rows).sum()).collect();
        assert_eq!(sizes[..5], [16, 32, 64, 128, 128]);
        assert_eq!(numbers(sent.iter().flatten()), numbers(&all));
    }
}
