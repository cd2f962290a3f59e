//! How an executor runs its tasks: as Ballista does, and so that cancelling one really ends it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::serde::protobuf::{RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport};
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;
use tamis_files::describe::message;
use tamis_files::tables::check_scans;
use tamis_planner::StopSignal;
use tamis_udfs::reach;

use super::own::OwnOptions;
use super::stoppable::stoppable;
use super::tasks::{Tasks, sendable};
use super::transient::transient;

/// The scores of a task may take so long to be written.
const FLUSH: Duration = Duration::from_secs(10);
/// How long a task waits before it says that it failed, where Ballista would have it run again at once.
const BEFORE_NEXT_ATTEMPT: Duration = Duration::from_secs(2);

/// Runs stages with this executor's own options, and knows what runs.
pub(super) struct StageEngine {
    inner: DefaultExecutionEngine,
    own: Arc<OwnOptions>,
    tasks: Arc<Tasks>,
}

impl StageEngine {
    pub(super) fn new(own: Arc<OwnOptions>, tasks: Arc<Tasks>) -> Self {
        Self { inner: DefaultExecutionEngine::new(), own, tasks }
    }
}

impl ExecutionEngine for StageEngine {
    fn create_query_stage_exec(
        &self,
        job: JobId,
        stage: usize,
        task: usize,
        partitions: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_dir: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        log::debug!("job {job}, stage {stage}, task {task}: begins");
        let plan = stoppable(plan)?;
        let inner = self.inner.create_query_stage_exec(
            job.clone(),
            stage,
            task,
            partitions,
            Arc::clone(&plan),
            work_dir,
            config,
        )?;
        Ok(Arc::new(Stage {
            inner,
            plan,
            job: job.to_string(),
            stage,
            own: Arc::clone(&self.own),
            tasks: Arc::clone(&self.tasks),
        }))
    }
}

/// One task's part of a stage.
#[derive(Debug)]
struct Stage {
    inner: Arc<dyn QueryStageExecutor>,
    plan: Arc<dyn ExecutionPlan>,
    job: String,
    stage: usize,
    own: Arc<OwnOptions>,
    tasks: Arc<Tasks>,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl QueryStageExecutor for Stage {
    async fn execute_query_stage(&self, task: usize, context: Arc<TaskContext>) -> Result<Vec<ShuffleWritePartition>> {
        let signal = Arc::new(StopSignal::default());
        let config = self.own.applied_to(context.session_config().clone())?.with_extension(Arc::clone(&signal));
        let reach = reach::of(&config);
        if !reach.is_everything() {
            reach::limit_calls_without_session();
            check_scans(&self.plan, &reach).map_err(|refused| DataFusionError::Execution(message(&refused)))?;
        }
        let context = Arc::new(TaskContext::new(
            context.task_id(),
            context.session_id(),
            config,
            context.scalar_functions().clone(),
            context.higher_order_functions().clone(),
            context.aggregate_functions().clone(),
            context.window_functions().clone(),
            context.runtime_env(),
        ));
        let _running = self.tasks.begin(&self.job, Arc::clone(&self.plan), Arc::clone(&self.inner), signal);
        match self.inner.execute_query_stage(task, context).await {
            Ok(written) => {
                // The next query may run elsewhere, and looks for these scores where they are kept.
                tokio::task::spawn_blocking(|| tamis_udfs::cache::flush(FLUSH));
                Ok(written)
            }
            Err(error) => {
                log::warn!("job {}, stage {}, task {task}: {error}", self.job, self.stage);
                let error = transient(error);
                // Ballista sends an error as Rust shows it to programmers: what it says to people goes in front.
                let error = match error {
                    DataFusionError::IoError(_) => error,
                    error => DataFusionError::Execution(message(&error)),
                };
                if matches!(error, DataFusionError::IoError(_)) {
                    tokio::time::sleep(BEFORE_NEXT_ATTEMPT).await;
                }
                Err(error)
            }
        }
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.inner.collect_plan_metrics().into_iter().map(sendable).collect()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.inner.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.inner.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.inner.collect_column_stats()
    }
}
