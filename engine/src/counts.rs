//! What the nodes of a plan have counted: how far a query is.

use datafusion::common::stats::Precision;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{MetricValue, MetricsSet};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use serde::{Deserialize, Serialize};

/// The name of the plan node that scores rows.
const SCORE_NODE: &str = "ScoreExec";

/// What a plan's nodes have counted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Whether there are nodes that score.
    pub has_model: bool,
    /// Rows that got a score from the model, the cache or another row. Failures that the latter two knew are among them.
    pub scored: u64,
    /// Rows that the model itself scored.
    pub rows_scored: u64,
    /// Rows whose score was remembered.
    pub cache_hits: u64,
    /// Rows that could not be scored.
    pub failed: u64,
    /// Rows that have left the nodes that score.
    pub left_model: u64,
    /// Rows that have come to the nodes that score.
    pub came_to_model: u64,
    /// Rows that the scans are done with: given, or left out by predicates of their own.
    pub scanned: u64,
    /// How long the device computed, in nanoseconds.
    pub busy_nanos: u64,
    /// How long it had nothing to do while rows were on their way, in nanoseconds.
    pub idle_nanos: u64,
}

impl Counts {
    /// What a plan has counted so far.
    pub fn of(plan: &dyn ExecutionPlan) -> Self {
        Self::by(plan, &|node| node.metrics())
    }

    /// What a plan of this shape has counted, of whose nodes `metrics` tells.
    pub fn by(plan: &dyn ExecutionPlan, metrics: &Metrics<'_>) -> Self {
        let mut counts = Self::default();
        counts.add_plan(plan, metrics);
        counts
    }

    /// Adds what other nodes have counted.
    pub fn add(&mut self, other: &Self) {
        self.has_model |= other.has_model;
        self.scored += other.scored;
        self.rows_scored += other.rows_scored;
        self.cache_hits += other.cache_hits;
        self.failed += other.failed;
        self.left_model += other.left_model;
        self.came_to_model += other.came_to_model;
        self.scanned += other.scanned;
        self.busy_nanos += other.busy_nanos;
        self.idle_nanos += other.idle_nanos;
    }

    fn add_plan(&mut self, plan: &dyn ExecutionPlan, of: &Metrics<'_>) {
        let metrics = of(plan);
        // Not `sum_by_name`, which passes over counts that are printed in a way of their own.
        let sum = |name: &str| metrics.as_ref().and_then(|m| m.sum(|m| m.value().name() == name));
        let sum = |name: &str| sum(name).map_or(0, |value| value.as_usize() as u64);
        if plan.name() == SCORE_NODE {
            self.has_model = true;
            self.scored += sum("rows_scored") + sum("cache_hits") + sum("rows_shared");
            self.rows_scored += sum("rows_scored");
            self.cache_hits += sum("cache_hits");
            self.failed += sum("rows_failed");
            self.left_model += output_rows(metrics.as_ref());
            let came = plan.children().into_iter().map(|child| output_rows(of(child.as_ref()).as_ref()));
            self.came_to_model += came.sum::<u64>();
            self.busy_nanos += sum("forward_time");
            self.idle_nanos += sum("device_idle_time");
        }
        // What one stage of a cluster gives to the next has been scanned before.
        if plan.children().is_empty() && !plan.name().contains("Shuffle") {
            self.scanned += output_rows(metrics.as_ref());
            self.scanned += sum("pushdown_rows_pruned") + rows_of_pruned_pages(metrics.as_ref());
        }
        for child in plan.children() {
            self.add_plan(child.as_ref(), of);
        }
    }

    /// How much is done and of how much, when the scan has `total` rows. Scans run ahead of models, so with a model it is
    /// the model's rows that count: as many as have come to it, and in that proportion of the rows not yet scanned.
    pub fn done_of(&self, total: Option<u64>) -> Option<(u64, u64)> {
        let total = total.filter(|&total| total > 0)?.max(self.scanned);
        if !self.has_model {
            return Some((self.scanned, total));
        }
        if self.scanned == 0 || self.came_to_model == 0 {
            return None;
        }
        let goal = (self.came_to_model as f64 * total as f64 / self.scanned as f64).round() as u64;
        Some(((self.scored + self.failed).max(self.left_model).min(goal), goal))
    }
}

/// What a node has counted.
type Metrics<'a> = dyn Fn(&dyn ExecutionPlan) -> Option<MetricsSet> + 'a;

fn output_rows(metrics: Option<&MetricsSet>) -> u64 {
    metrics.and_then(MetricsSet::output_rows).unwrap_or(0) as u64
}

/// Rows of Parquet pages that a scan passed over by their statistics.
fn rows_of_pruned_pages(metrics: Option<&MetricsSet>) -> u64 {
    let pruned = metrics.into_iter().flat_map(|metrics| metrics.iter()).map(|metric| match metric.value() {
        MetricValue::PruningMetrics { name, pruning_metrics } if name == "page_index_rows_pruned" => {
            pruning_metrics.pruned() as u64
        }
        _ => 0,
    });
    pruned.sum()
}

/// How many rows the plan's leaves will give, if their statistics tell.
pub fn rows_to_scan(plan: &dyn ExecutionPlan) -> Option<u64> {
    if plan.children().is_empty() {
        let statistics = StatisticsContext::new().compute(plan, &StatisticsArgs::new()).ok()?;
        return match statistics.num_rows {
            Precision::Exact(rows) | Precision::Inexact(rows) => Some(rows as u64),
            Precision::Absent => None,
        };
    }
    plan.children().iter().map(|child| rows_to_scan(child.as_ref())).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::physical_plan::collect;

    use super::*;
    use crate::session::{Session, SessionSettings};

    #[tokio::test]
    async fn a_plan_s_counts_are_read_by_name() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/corpus/captions.parquet");
        let session = Session::open(&SessionSettings::default()).await.unwrap();
        let query = format!(
            "SELECT unifilter(image, text) FROM '{corpus}' WHERE note = 'unusual: the same image with several texts' \
             OR note = 'unscorable: image of zero bytes'"
        );
        let query = session.context().sql(&query).await.unwrap();
        let (plan, context) = (query.clone().create_physical_plan().await.unwrap(), session.context().task_ctx());
        let total = rows_to_scan(plan.as_ref());
        collect(Arc::clone(&plan), context).await.unwrap();
        let counts = Counts::of(plan.as_ref());
        assert_eq!((counts.scored, counts.failed, counts.left_model, counts.came_to_model), (3, 1, 4, 4));
        assert_eq!(total, Some(counts.scanned));
        assert_eq!(counts.done_of(total), Some((4, 4)));
    }

    #[test]
    fn a_scan_that_runs_ahead_is_not_progress() {
        let counts = Counts { has_model: true, scored: 10, came_to_model: 50, scanned: 100, ..Counts::default() };
        assert_eq!(counts.done_of(Some(1000)), Some((10, 500)), "half of the rows come to the model");
        assert_eq!(counts.done_of(Some(100)), Some((10, 50)));
        assert_eq!(counts.done_of(None), None);
        let scan = Counts { has_model: false, ..counts };
        assert_eq!(scan.done_of(Some(1000)), Some((100, 1000)));
        assert_eq!(Counts { has_model: true, ..Counts::default() }.done_of(Some(1000)), None);
    }
}
