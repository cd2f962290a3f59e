//! The tasks that an executor runs, and how far they are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{Count, Metric, MetricValue, MetricsSet};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tamis_planner::{IntegerCount, ScoreExec, StopSignal};

/// How far the scoring of a query is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// Rows that score nodes have given on, scored or not.
    pub(crate) rows: u64,
    /// Rows that a model has scored.
    pub(crate) rows_scored: u64,
    /// Rows whose score was remembered.
    pub(crate) cache_hits: u64,
    /// Rows that could not be scored.
    pub(crate) rows_failed: u64,
    /// How long devices computed, in nanoseconds.
    pub(crate) busy_nanos: u64,
    /// How long they waited for samples while rows were on their way, in nanoseconds.
    pub(crate) idle_nanos: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.rows_scored += other.rows_scored;
        self.cache_hits += other.cache_hits;
        self.rows_failed += other.rows_failed;
        self.busy_nanos += other.busy_nanos;
        self.idle_nanos += other.idle_nanos;
    }

    /// What the score nodes of a plan have counted.
    fn of_plan(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let mut counts = match plan.is::<ScoreExec>() {
            true => plan.metrics().as_ref().map(Self::of_node).unwrap_or_default(),
            false => Self::default(),
        };
        plan.children().into_iter().for_each(|child| counts.add(&Self::of_plan(child)));
        counts
    }

    fn of_node(metrics: &MetricsSet) -> Self {
        let value = |name: &str| metrics.sum_by_name(name).map_or(0, |value| value.as_usize() as u64);
        Self {
            rows: metrics.output_rows().unwrap_or(0) as u64,
            rows_scored: value("rows_scored"),
            cache_hits: value("cache_hits"),
            rows_failed: value("rows_failed"),
            busy_nanos: value("forward_time"),
            idle_nanos: value("device_idle_time"),
        }
    }
}

/// The tasks of an executor: those that run, and the sums of those that have ended.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    next: AtomicU64,
    running: Mutex<HashMap<u64, Running>>,
    ended: Mutex<Ended>,
}

#[derive(Debug)]
struct Running {
    job: String,
    plan: Arc<dyn ExecutionPlan>,
    stop: Arc<StopSignal>,
}

/// What ended tasks have counted. Of old jobs only the sum is kept.
#[derive(Debug, Default)]
struct Ended {
    jobs: BTreeMap<String, Counts>,
    all: Counts,
}

/// So many jobs are remembered one by one.
const JOBS_KEPT: usize = 1000;

/// What an executor tells of its tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TasksReport {
    /// How many tasks of each job run.
    pub(crate) running: BTreeMap<String, usize>,
    /// What the tasks of each job have counted so far.
    pub(crate) jobs: BTreeMap<String, Counts>,
    /// What all tasks have counted so far.
    pub(crate) all: Counts,
}

impl Tasks {
    /// Notes that a task begins; it has ended when the guard is dropped.
    pub(super) fn begin(
        self: &Arc<Self>,
        job: &str,
        plan: Arc<dyn ExecutionPlan>,
        stop: Arc<StopSignal>,
    ) -> RunningTask {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.running.lock().insert(id, Running { job: job.into(), plan, stop });
        RunningTask { tasks: Arc::clone(self), id }
    }

    /// Ends the tasks of a job.
    pub(super) fn cancel(&self, job: &str) {
        let running = self.running.lock();
        running.values().filter(|task| task.job == job).for_each(|task| task.stop.stop());
    }

    /// What there is to tell.
    pub(crate) fn report(&self) -> TasksReport {
        let running = self.running.lock();
        let ended = self.ended.lock();
        let mut report = TasksReport { running: BTreeMap::new(), jobs: ended.jobs.clone(), all: ended.all };
        for task in running.values() {
            *report.running.entry(task.job.clone()).or_default() += 1;
            let counts = Counts::of_plan(&task.plan);
            report.jobs.entry(task.job.clone()).or_default().add(&counts);
            report.all.add(&counts);
        }
        report
    }
}

/// A task that runs.
#[derive(Debug)]
pub(super) struct RunningTask {
    tasks: Arc<Tasks>,
    id: u64,
}

/// Ends the plan too, however the task ends: Ballista drops the future of a task that is cancelled, and leaves the streams
/// that it has handed out running.
impl Drop for RunningTask {
    fn drop(&mut self) {
        let mut running = self.tasks.running.lock();
        let Some(Running { job, plan, stop }) = running.remove(&self.id) else { return };
        stop.stop();
        let counts = Counts::of_plan(&plan);
        let mut ended = self.tasks.ended.lock();
        ended.all.add(&counts);
        ended.jobs.entry(job).or_default().add(&counts);
        // Job ids ascend: the first is the oldest.
        if ended.jobs.len() > JOBS_KEPT {
            ended.jobs.pop_first();
        }
    }
}

/// The metrics as Ballista can send them: it knows no custom ones.
pub(super) fn sendable(metrics: MetricsSet) -> MetricsSet {
    let mut sendable = MetricsSet::new();
    for metric in metrics.iter() {
        let value = match metric.value() {
            MetricValue::Custom { name, value } => {
                let count = Count::new();
                count.add(value.as_usize());
                MetricValue::Count { name: name.clone(), count }
            }
            value => value.clone(),
        };
        sendable.push(Arc::new(Metric::new_with_labels(value, metric.partition(), metric.labels().to_vec())));
    }
    sendable
}

/// Ours among them as they were before they were sent: integers.
pub(crate) fn received(metrics: &MetricsSet) -> MetricsSet {
    let mut received = MetricsSet::new();
    for metric in metrics.iter() {
        let value = match metric.value() {
            MetricValue::Count { name, count } if IntegerCount::NAMES.contains(&name.as_ref()) => {
                MetricValue::Custom { name: name.clone(), value: Arc::new(IntegerCount::new(count.value() as u64)) }
            }
            value => value.clone(),
        };
        received.push(Arc::new(Metric::new_with_labels(value, metric.partition(), metric.labels().to_vec())));
    }
    received
}
