//! What the scheduler may ask of an executor: to cancel tasks and to end. Tasks are not among it.

use std::sync::Arc;

use ballista_core::serde::protobuf::executor_grpc_server::ExecutorGrpc;
use ballista_core::serde::protobuf::{
    CancelTasksParams, CancelTasksResult, LaunchMultiTaskParams, LaunchMultiTaskResult, LaunchTaskParams,
    LaunchTaskResult, RemoveJobDataParams, RemoveJobDataResult, StopExecutorParams, StopExecutorResult,
};
use ballista_executor::executor::Executor;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// Answers the scheduler.
pub(super) struct Control {
    pub(super) executor: Arc<Executor>,
    pub(super) given_up: CancellationToken,
}

#[tonic::async_trait]
impl ExecutorGrpc for Control {
    async fn launch_task(&self, _: Request<LaunchTaskParams>) -> Result<Response<LaunchTaskResult>, Status> {
        Err(Status::unimplemented("this executor asks for its tasks"))
    }

    async fn launch_multi_task(
        &self,
        _: Request<LaunchMultiTaskParams>,
    ) -> Result<Response<LaunchMultiTaskResult>, Status> {
        Err(Status::unimplemented("this executor asks for its tasks"))
    }

    async fn stop_executor(
        &self,
        request: Request<StopExecutorParams>,
    ) -> Result<Response<StopExecutorResult>, Status> {
        let request = request.into_inner();
        if request.executor_id == self.executor.metadata.id {
            log::warn!("the scheduler has given this executor up: {}", request.reason);
            self.given_up.cancel();
        }
        Ok(Response::new(StopExecutorResult {}))
    }

    async fn cancel_tasks(&self, request: Request<CancelTasksParams>) -> Result<Response<CancelTasksResult>, Status> {
        for task in request.into_inner().task_infos {
            let (job, stage, task) = (task.job_id.into(), task.stage_id as usize, task.task_id as usize);
            self.executor.cancel_task(job, stage, task).await.map_err(|e| Status::internal(e.to_string()))?;
        }
        Ok(Response::new(CancelTasksResult { cancelled: true }))
    }

    async fn remove_job_data(&self, _: Request<RemoveJobDataParams>) -> Result<Response<RemoveJobDataResult>, Status> {
        Err(Status::unimplemented("this executor is told what to remove when it asks for tasks"))
    }
}
