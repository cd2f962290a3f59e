//! The tasks that an executor runs, and how far they are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ballista_executor::execution_engine::QueryStageExecutor;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{Count, Metric, MetricValue, MetricsSet};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tamis_engine::counts::Counts;
use tamis_planner::{IntegerCount, StopSignal};
use tokio::sync::Notify;

/// The tasks of an executor: those that run, and the sums of those that have ended.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    next: AtomicU64,
    running: Mutex<HashMap<u64, Running>>,
    ended: Mutex<Ended>,
    /// What brings the executor to tell the scheduler of a task's end at once.
    wake: Arc<Notify>,
}

/// A task's end is told so long after its plan has ended: Ballista notes it in between.
const NOTED_WITHIN: [Duration; 2] = [Duration::from_millis(3), Duration::from_millis(40)];

#[derive(Debug)]
struct Running {
    job: String,
    plan: Arc<dyn ExecutionPlan>,
    stage: Arc<dyn QueryStageExecutor>,
    stop: Arc<StopSignal>,
}

impl Running {
    /// What the task's nodes have counted. The stage runs a copy of the plan of its own, and tells what that one's nodes have
    /// counted in the order of the plan's.
    fn counts(&self) -> Counts {
        fn in_order<'a>(node: &'a Arc<dyn ExecutionPlan>, nodes: &mut Vec<&'a dyn ExecutionPlan>) {
            if node.metrics().is_some() {
                nodes.push(node.as_ref());
            }
            node.children().into_iter().for_each(|child| in_order(child, nodes));
        }
        let mut nodes = vec![];
        in_order(&self.plan, &mut nodes);
        let address = |node: &dyn ExecutionPlan| std::ptr::from_ref(node).cast::<()>();
        let told = self.stage.collect_plan_metrics();
        let told: HashMap<_, _> = nodes.into_iter().map(address).zip(told).collect();
        Counts::by(self.plan.as_ref(), &|node| told.get(&address(node)).cloned())
    }
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
        stage: Arc<dyn QueryStageExecutor>,
        stop: Arc<StopSignal>,
    ) -> RunningTask {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.running.lock().insert(id, Running { job: job.into(), plan, stage, stop });
        RunningTask { tasks: Arc::clone(self), id }
    }

    /// Ends the tasks of a job.
    pub(super) fn cancel(&self, job: &str) {
        let running = self.running.lock();
        running.values().filter(|task| task.job == job).for_each(|task| task.stop.stop());
    }

    /// What brings the executor to ask for tasks, and to tell of those that have ended, at once.
    pub(super) fn wake(&self) -> &Arc<Notify> {
        &self.wake
    }

    /// What there is to tell.
    pub(crate) fn report(&self) -> TasksReport {
        let running = self.running.lock();
        let ended = self.ended.lock();
        let mut report = TasksReport { running: BTreeMap::new(), jobs: ended.jobs.clone(), all: ended.all };
        for task in running.values() {
            *report.running.entry(task.job.clone()).or_default() += 1;
            let counts = task.counts();
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
        let Some(task) = running.remove(&self.id) else { return };
        task.stop.stop();
        let counts = task.counts();
        let mut ended = self.tasks.ended.lock();
        ended.all.add(&counts);
        ended.jobs.entry(task.job).or_default().add(&counts);
        // Job ids ascend: the first is the oldest.
        if ended.jobs.len() > JOBS_KEPT {
            ended.jobs.pop_first();
        }
        let wake = Arc::clone(&self.tasks.wake);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                for pause in NOTED_WITHIN {
                    tokio::time::sleep(pause).await;
                    wake.notify_one();
                }
            });
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
