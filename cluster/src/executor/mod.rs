//! An executor: the process, or the part of one, that runs a cluster's tasks.

mod control;
mod own;
mod stages;
pub(crate) mod status;
mod stoppable;
mod tasks;
mod transient;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::ids::new_instance_id;
use ballista_core::serde::protobuf::ExecutorStoppedParams;
use ballista_core::serde::protobuf::executor_grpc_server::ExecutorGrpcServer;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_executor::execution_loop::poll_loop;
use ballista_executor::executor::Executor;
use ballista_executor::executor_process::{ExecutorProcessConfig, structure_executor_metadata};
use ballista_executor::flight_service::BallistaFlightService;
use ballista_executor::metrics::LoggingMetricsCollector;
use tamis_engine::stand_in;
use tamis_udfs::reach;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::access::{Access, for_members};
use crate::codec::codec;
use crate::error::ClusterError;
use crate::net::{self, Endpoint, Link, NetError, ServerTls};
use crate::{MESSAGE_BYTES, session};
use control::Control;
use own::OwnOptions;
use stages::StageEngine;
use status::{ExecutorReport, routes};
use tasks::Tasks;
pub(crate) use tasks::received;

/// For how long an executor that begins looks for its scheduler before it says that it finds none.
const LOOKS_FOR_SCHEDULER: Duration = Duration::from_secs(2);
/// How long it waits between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);
/// The last statuses of an executor's tasks are with the scheduler after this time: it polls once a second when idle.
const LAST_POLL: Duration = Duration::from_millis(1500);

/// What is chosen of an executor.
#[derive(Debug, Clone)]
pub struct ExecutorSettings {
    /// Where the scheduler is.
    pub scheduler: Endpoint,
    /// How the processes of the cluster recognise each other.
    pub link: Link,
    /// What the executor shows to the others, if connections are encrypted.
    pub tls: Option<ServerTls>,
    /// Who is let in.
    pub access: Arc<Access>,
    /// The address that the executor listens at, for the scheduler and the other executors.
    pub bind: IpAddr,
    /// The name or address under which they find it; `None`: the one that it listens at.
    pub advertised: Option<String>,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// How many tasks run at once.
    pub slots: usize,
    /// Where results lie until they are fetched; `None`: a temporary folder.
    pub work_dir: Option<PathBuf>,
    /// Bytes that sorts, joins and aggregates may take before they spill.
    pub memory: Option<usize>,
    /// The options that this process was started with.
    pub options: Vec<(String, String)>,
}

/// An executor that takes tasks.
pub struct RunningExecutor {
    id: String,
    scheduler: SchedulerGrpcClient<Channel>,
    wake: Arc<Notify>,
    slots: Arc<Semaphore>,
    slot_count: usize,
    /// Ends the servers.
    end: CancellationToken,
    /// Set when the scheduler has given the executor up.
    given_up: CancellationToken,
    polling: JoinHandle<()>,
    serving: JoinHandle<()>,
    /// Kept for what is in it.
    _work_dir: Option<tempfile::TempDir>,
}

/// Starts an executor. It asks the scheduler for tasks: nobody can give it one.
pub async fn start(settings: &ExecutorSettings) -> Result<RunningExecutor, ClusterError> {
    stand_in::register(&settings.options)?;
    let (work_dir, temporary) = work_dir(settings)?;
    let listener = net::listen(SocketAddr::new(settings.bind, settings.port)).await?;
    let address = listener.local_addr().map_err(NetError::Serve)?;
    let id = new_instance_id();
    let tasks = Arc::new(Tasks::default());
    let own = Arc::new(OwnOptions::of(&settings.options));
    let report = Arc::new(ExecutorReport::new(&own, &settings.options, Arc::clone(&tasks)));

    let (link, options) = (settings.link.clone(), settings.options.clone());
    // They are tried here, so that they do not fail there.
    session::cluster_config(&options, &link)?;
    let config_producer = move || session::cluster_config(&options, &link).unwrap_or_default();
    let process = Arc::new(ExecutorProcessConfig {
        executor_id: id.clone(),
        external_host: Some(settings.advertised.clone().unwrap_or_else(|| settings.bind.to_string())),
        port: address.port(),
        grpc_port: address.port(),
        ..ExecutorProcessConfig::default()
    });

    let runtimes = session::Runtimes::new(session::runtime(settings.memory, Some(work_dir.join("spilled")))?);
    let work_dir = work_dir.display().to_string();
    let executor = Arc::new(Executor::new(
        structure_executor_metadata(&process, settings.slots as u32),
        &work_dir,
        Arc::new(move |config| runtimes.within(&reach::of(config))),
        Arc::new(config_producer),
        Arc::new(session::function_registry()?),
        Arc::new(LoggingMetricsCollector::default()),
        settings.slots,
        Arc::new(StageEngine::new(own, Arc::clone(&tasks))),
    ));

    let scheduler = connect(&settings.scheduler, &settings.link).await?;
    let (end, given_up, wake) = (CancellationToken::new(), CancellationToken::new(), Arc::clone(tasks.wake()));
    let results = FlightServiceServer::new(BallistaFlightService::new(work_dir))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let control = Control { executor: Arc::clone(&executor), given_up: given_up.clone() };
    let services = tonic::service::Routes::new(results).add_service(ExecutorGrpcServer::new(control));
    let inside = services.into_axum_router().reset_fallback().merge(routes(report, tasks, Arc::clone(&wake)));
    let router = for_members(inside, &settings.access).merge(status::health());
    let (tls, ended) = (settings.tls.clone(), end.clone());
    let serving = tokio::spawn(async move {
        if let Err(error) = net::serve(listener, router, tls.as_ref(), ended.cancelled_owned()).await {
            log::error!("giving results at {address}: {error}");
        }
    });

    let slots = Arc::new(Semaphore::new(settings.slots));
    let polling = poll_loop(
        scheduler.clone(),
        Arc::clone(&executor),
        codec(),
        Some(Arc::clone(&wake)),
        Some(Arc::clone(&slots)),
        process.health.clone(),
    );
    let polling = tokio::spawn(async move {
        if let Err(error) = polling.await {
            log::debug!("asking for tasks: {error}");
        }
    });
    log::info!("executor {id} runs {} tasks at once and gives results at {address}", settings.slots);
    Ok(RunningExecutor {
        id,
        scheduler,
        wake,
        slots,
        slot_count: settings.slots,
        end,
        given_up,
        polling,
        serving,
        _work_dir: temporary,
    })
}

impl RunningExecutor {
    /// What brings the executor to ask for tasks at once.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Waits until the scheduler has given the executor up: it heard nothing of it for too long.
    pub async fn given_up(&self) {
        self.given_up.cancelled().await;
    }

    /// Takes no more tasks and finishes those that run, for so long at most; then tells the scheduler that it goes.
    pub async fn drain(mut self, within: Duration) {
        log::info!("executor {}: finishes its tasks", self.id);
        // A slot that is held by nobody's task takes none. The executor goes on telling of itself and its tasks.
        let all = self.slots.acquire_many(u32::try_from(self.slot_count).unwrap_or(u32::MAX));
        match tokio::time::timeout(within, all).await {
            Ok(Ok(slots)) => {
                slots.forget();
                self.wake.notify_one();
                tokio::time::sleep(LAST_POLL).await;
            }
            _ => log::warn!("executor {}: tasks are given up after {} s", self.id, within.as_secs()),
        }
        self.polling.abort();
        let stopped = ExecutorStoppedParams { executor_id: self.id.clone(), reason: "it was asked to end".into() };
        if let Err(error) = self.scheduler.executor_stopped(stopped).await {
            log::warn!("telling the scheduler that this executor goes: {error}");
        }
        self.end();
    }

    /// Ends at once.
    pub fn end(self) {
        self.polling.abort();
        self.end.cancel();
        self.serving.abort();
    }
}

fn work_dir(settings: &ExecutorSettings) -> Result<(PathBuf, Option<tempfile::TempDir>), ClusterError> {
    let refused = |path: PathBuf| move |source| ClusterError::WorkDir { path, source };
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

async fn connect(scheduler: &Endpoint, link: &Link) -> Result<SchedulerGrpcClient<Channel>, ClusterError> {
    let failed =
        |e: tonic::transport::Error| ClusterError::unanswered("connecting to the scheduler", &scheduler.to_string(), e);
    let endpoint = link.endpoint(&scheduler.host, scheduler.port)?;
    let began = tokio::time::Instant::now();
    let channel = loop {
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(error) if began.elapsed() > LOOKS_FOR_SCHEDULER => return Err(failed(error)),
            Err(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
        }
    };
    Ok(SchedulerGrpcClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES))
}
