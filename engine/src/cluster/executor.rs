//! An executor: the process, or the part of one, that runs a cluster's tasks.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::Router;
use ballista_core::extension::SessionConfigExt;
use ballista_core::ids::new_instance_id;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::protobuf::executor_status::Status;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{ExecutorStatus, ExecutorStoppedParams, HeartBeatParams};
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use ballista_executor::executor::{Executor, TasksDrainedFuture};
use ballista_executor::executor_process::{ExecutorProcessConfig, structure_executor_metadata};
use ballista_executor::executor_server::{self, TERMINATING};
use ballista_executor::flight_service::BallistaFlightService;
use ballista_executor::metrics::LoggingMetricsCollector;
use ballista_executor::shutdown::ShutdownNotifier;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use super::own::OwnOptions;
use super::stages::StageEngine;
use super::status::{ExecutorReport, routes};
use super::tasks::Tasks;
use super::{MESSAGE_BYTES, codec};
use crate::error::EngineError;
use crate::net::{self, Endpoint};
use crate::session;

/// How often an executor tells that it is there.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// For how long an executor that begins looks for its scheduler before it says that it finds none.
const LOOKS_FOR_SCHEDULER: Duration = Duration::from_secs(2);
/// How long it waits between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// What is chosen of an executor.
#[derive(Debug, Clone)]
pub(crate) struct ExecutorSettings {
    /// Where the scheduler is.
    pub(crate) scheduler: Endpoint,
    /// The address that the executor listens at, for the scheduler and the other executors.
    pub(crate) bind: IpAddr,
    /// The name or address under which they find it; `None`: the one that it listens at.
    pub(crate) advertised: Option<String>,
    /// The port that gives results; 0 takes a free one.
    pub(crate) port: u16,
    /// The port that takes tasks; 0 takes a free one.
    pub(crate) grpc_port: u16,
    /// How many tasks run at once.
    pub(crate) slots: usize,
    /// Where results lie until they are fetched; `None`: a temporary folder.
    pub(crate) work_dir: Option<PathBuf>,
    /// Bytes that sorts, joins and aggregates may take before they spill.
    pub(crate) memory: Option<usize>,
    /// The options that this process was started with.
    pub(crate) options: Vec<(String, String)>,
}

/// Why an executor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The scheduler has given it up, as it heard nothing of it for too long.
    GivenUp,
    /// It does not reach the scheduler any more.
    SchedulerLost,
}

/// An executor that takes tasks.
pub(crate) struct RunningExecutor {
    id: String,
    executor: Arc<Executor>,
    scheduler: SchedulerGrpcClient<Channel>,
    shutdown: ShutdownNotifier,
    stop: mpsc::Receiver<bool>,
    servers: Vec<JoinHandle<()>>,
    /// Kept for what is in it.
    _work_dir: Option<tempfile::TempDir>,
}

/// Starts an executor and tells the scheduler of it.
pub(crate) async fn start(settings: &ExecutorSettings) -> Result<RunningExecutor, EngineError> {
    let (work_dir, temporary) = work_dir(settings)?;
    let port = free_port(settings.bind, settings.port)?;
    let grpc_port = free_port(settings.bind, settings.grpc_port)?;
    let id = new_instance_id();
    let tasks = Arc::new(Tasks::default());
    let own = Arc::new(OwnOptions::of(&settings.options));
    let report = Arc::new(ExecutorReport::new(&own, &settings.options, Arc::clone(&tasks)));

    let options = settings.options.clone();
    // It has been tried, so it will not fail.
    session::cluster_config(&options)?;
    let config_producer = move || session::cluster_config(&options).unwrap_or_default();
    let process = Arc::new(ExecutorProcessConfig {
        executor_id: id.clone(),
        bind_host: settings.bind.to_string(),
        external_host: Some(settings.advertised.clone().unwrap_or_else(|| settings.bind.to_string())),
        port,
        grpc_port,
        vcores: settings.slots,
        executor_heartbeat_interval_seconds: HEARTBEAT.as_secs(),
        grpc_max_decoding_message_size: MESSAGE_BYTES as u32,
        grpc_max_encoding_message_size: MESSAGE_BYTES as u32,
        override_create_grpc_client_endpoint: Some(settings.scheduler.customizer()),
        ..ExecutorProcessConfig::default()
    });

    let mut runtime = RuntimeEnvBuilder::from_runtime_env(session::runtime()?.as_ref())
        .with_temp_file_path(work_dir.join("spilled"));
    if let Some(bytes) = settings.memory {
        runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
    }
    let runtime = runtime.build_arc()?;
    let executor = Arc::new(Executor::new(
        structure_executor_metadata(&process, settings.slots as u32),
        &work_dir.display().to_string(),
        Arc::new(move |_| Ok(Arc::clone(&runtime))),
        Arc::new(config_producer),
        Arc::new(session::function_registry()?),
        Arc::new(LoggingMetricsCollector::default()),
        settings.slots,
        Arc::new(StageEngine::new(own, tasks)),
    ));

    let shutdown = ShutdownNotifier::new();
    let address = SocketAddr::new(settings.bind, port);
    let results = FlightServiceServer::new(BallistaFlightService::new(work_dir.display().to_string()))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let router = tonic::service::Routes::new(results).into_axum_router().merge(routes(report));
    let server = serve(address, router, &shutdown).await?;

    let scheduler = connect(&settings.scheduler).await?;
    let codec: BallistaCodec<LogicalPlanNode, PhysicalPlanNode> = codec();
    let (stop_sender, stop) = mpsc::channel(1);
    let tasks_server = executor_server::startup(
        scheduler.clone(),
        Arc::clone(&process),
        Arc::clone(&executor),
        codec,
        stop_sender,
        &shutdown,
        process.health.clone(),
    )
    .await
    .map_err(|e| EngineError::cluster("registering with the scheduler", &settings.scheduler.to_string(), e))?;
    let tasks_server = tokio::spawn(async move {
        match tasks_server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("taking tasks: {error}"),
            Err(error) => log::error!("taking tasks: {error}"),
        }
    });
    log::info!(
        "executor {id} runs {} tasks at once, listens at {address} (results) and port {grpc_port} (tasks)",
        settings.slots
    );
    Ok(RunningExecutor {
        id,
        executor,
        scheduler,
        shutdown,
        stop,
        servers: vec![server, tasks_server],
        _work_dir: temporary,
    })
}

impl RunningExecutor {
    /// Waits until the executor ends of itself.
    pub(crate) async fn ended(&mut self) -> Ended {
        let mut shutdown = self.shutdown.subscribe_for_shutdown();
        tokio::select! {
            _ = self.stop.recv() => Ended::GivenUp,
            () = shutdown.recv() => Ended::SchedulerLost,
        }
    }

    /// Takes no more tasks and finishes those that run, for so long at most; then tells the scheduler that it goes.
    pub(crate) async fn drain(mut self, within: Duration) {
        log::info!("executor {}: finishes its tasks", self.id);
        TERMINATING.store(true, Ordering::Release);
        let status = Some(ExecutorStatus { status: Some(Status::Terminating(String::new())) });
        let heartbeat = HeartBeatParams {
            executor_id: self.id.clone(),
            metrics: vec![],
            status,
            metadata: Some(self.executor.metadata.clone()),
        };
        if let Err(error) = self.scheduler.heart_beat_from_executor(heartbeat).await {
            log::warn!("telling the scheduler that this executor takes no more tasks: {error}");
        }
        if tokio::time::timeout(within, TasksDrainedFuture(Arc::clone(&self.executor))).await.is_err() {
            log::warn!("executor {}: {} tasks are given up", self.id, self.executor.active_task_count());
        }
        let stopped = ExecutorStoppedParams { executor_id: self.id.clone(), reason: "it was asked to end".into() };
        if let Err(error) = self.scheduler.executor_stopped(stopped).await {
            log::warn!("telling the scheduler that this executor goes: {error}");
        }
        self.end();
    }

    /// Ends at once.
    pub(crate) fn end(self) {
        // Nobody may listen any more.
        let _ = self.shutdown.notify_shutdown.send(());
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

fn work_dir(settings: &ExecutorSettings) -> Result<(PathBuf, Option<tempfile::TempDir>), EngineError> {
    let refused = |path: PathBuf| move |source| EngineError::WorkDir { path, source };
    match &settings.work_dir {
        Some(path) => {
            std::fs::create_dir_all(path).map_err(refused(path.clone()))?;
            let path = path.canonicalize().map_err(refused(path.clone()))?;
            Ok((path, None))
        }
        None => {
            let folder = tempfile::Builder::new().prefix("tamis-executor-").tempdir();
            let folder = folder.map_err(refused(std::env::temp_dir()))?;
            Ok((folder.path().to_path_buf(), Some(folder)))
        }
    }
}

/// `port`, or a free one if it is 0. The executor's port is told to others before it is bound, so 0 is of no use there.
fn free_port(bind: IpAddr, port: u16) -> Result<u16, EngineError> {
    if port != 0 {
        return Ok(port);
    }
    let address = SocketAddr::new(bind, 0);
    let bound = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    Ok(bound.map_err(|source| EngineError::Bind { address: address.to_string(), source })?.port())
}

/// Serves until the executor ends.
async fn serve(
    address: SocketAddr,
    router: Router,
    shutdown: &ShutdownNotifier,
) -> Result<JoinHandle<()>, EngineError> {
    let listener = net::listen(address).await?;
    let mut shutdown = shutdown.subscribe_for_shutdown();
    Ok(tokio::spawn(async move {
        if let Err(error) = net::serve(listener, router, async move { shutdown.recv().await }).await {
            log::error!("giving results at {address}: {error}");
        }
    }))
}

async fn connect(scheduler: &Endpoint) -> Result<SchedulerGrpcClient<Channel>, EngineError> {
    let config = session::cluster_config(&[])?;
    let grpc = GrpcClientConfig::from(&config.ballista_config());
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
        EngineError::cluster("connecting to the scheduler", &scheduler.to_string(), e)
    };
    let plain = create_grpc_client_endpoint(scheduler.plain_url(), Some(&grpc)).map_err(|e| failed(e.into()))?;
    let endpoint = scheduler.customizer()(plain).map_err(failed)?;
    let began = tokio::time::Instant::now();
    let channel = loop {
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(error) if began.elapsed() > LOOKS_FOR_SCHEDULER => return Err(failed(error.into())),
            Err(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
        }
    };
    Ok(SchedulerGrpcClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES))
}
