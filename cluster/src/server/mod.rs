//! The process that clients ask and executors work for: the scheduler with its Flight SQL, REST and metrics.

mod own_jobs;
mod page;
mod rest;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::scheduler_process::create_scheduler;
use rest::Shown;
use tamis_udfs::reach;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, for_callers, for_members};
use crate::codec::physical_codec;
use crate::error::ClusterError;
use crate::flight::{FlightSettings, flight_routes};
use crate::net::{self, Endpoint, Link, NetError, ServerTls};
use crate::queries::{Queries, QueryLimits};
use crate::scheduler::{BallistaScheduler, ByModel, Catalog, Scheduler, Watch};
use crate::{MESSAGE_BYTES, session};

/// An executor of which nothing is heard for so long is given up by Ballista itself. The watch is faster.
const EXECUTOR_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it looks.
const LOOKS_FOR_DEAD: Duration = Duration::from_secs(1);
/// For so long a query waits for an executor when all are lost.
const ALL_LOST: Duration = Duration::from_secs(30);
/// How often a task is tried, after errors of input and output.
const ATTEMPTS: usize = 4;

/// What is chosen of a scheduler.
#[derive(Debug, Clone)]
pub struct SchedulerSettings {
    /// The address that it listens at, for clients and executors.
    pub bind: SocketAddr,
    /// How the processes of the cluster recognise each other.
    pub link: Link,
    /// What the scheduler shows, if connections are encrypted.
    pub tls: Option<ServerTls>,
    /// Whether an executor of this process is its only one: it is asked without encryption, on this machine.
    pub is_alone: bool,
    /// Who is let in.
    pub access: Arc<Access>,
    /// The options that every session begins with.
    pub options: Vec<(String, String)>,
    /// The tables that every session knows, by name.
    pub tables: Vec<(String, String)>,
    /// Bytes that sorts, joins and aggregates may take before they spill.
    pub memory: Option<usize>,
    /// For how long a query waits that nobody fetches from.
    pub keep_results: Duration,
    /// How many queries a user may have.
    pub limits: QueryLimits,
}

/// A scheduler that answers.
pub struct RunningScheduler {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where an executor of the same process asks for tasks.
    own: Endpoint,
    watch: Arc<Watch>,
    work: Arc<tokio::sync::watch::Sender<u64>>,
    end: CancellationToken,
    serving: JoinHandle<Result<(), NetError>>,
}

/// Starts a scheduler.
pub async fn start(settings: SchedulerSettings) -> Result<RunningScheduler, ClusterError> {
    let listener = net::listen(settings.bind).await?;
    let address = listener.local_addr().map_err(NetError::Serve)?;
    // They are tried here, so that they do not fail there.
    let config = session::cluster_config(&settings.options, &settings.link)?;
    let runtime = session::runtime(settings.memory, None)?;
    let catalog = Arc::new(Catalog::new(settings.tables.clone(), config, runtime));

    let work = Arc::new(tokio::sync::watch::Sender::new(0_u64));
    let policy = Arc::new(ByModel::default());
    let ballista = Arc::new(ballista_config(&settings, address, &catalog, &work, &policy));
    let failed = |e| ClusterError::unanswered("starting a scheduler at", &address.to_string(), e);
    let cluster = BallistaCluster::new_from_config(&ballista).await.map_err(failed)?;
    let ballista: BallistaScheduler = create_scheduler(cluster.clone(), ballista).await.map_err(failed)?;
    let scheduler: Scheduler = Arc::new(ballista.clone());
    let watch =
        Watch::start(scheduler.clone(), cluster, settings.link.clone(), Arc::clone(&work), catalog.slots().clone());
    policy.use_states_of(&watch);

    if settings.access.has_limits() {
        reach::limit_calls_without_session();
    }
    let queries = Arc::new(Queries::new(settings.limits));
    let shown =
        Shown { watch: Arc::clone(&watch), queries: Arc::clone(&queries), access: Arc::clone(&settings.access) };
    let flight = FlightSettings {
        access: Arc::clone(&settings.access),
        link: settings.link.clone(),
        keep_results: settings.keep_results,
        queries,
    };
    let flight = flight_routes(scheduler, Arc::clone(&watch), catalog, flight);
    let end = CancellationToken::new();
    let mut own = address;
    if settings.is_alone && settings.tls.is_some() {
        let listener = net::listen(SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), 0)).await?;
        own = listener.local_addr().map_err(NetError::Serve)?;
        let (router, ended) = (member_routes(ballista.clone(), &settings.access), end.clone());
        tokio::spawn(async move {
            if let Err(error) = net::serve(listener, router, None, ended.cancelled_owned()).await {
                log::error!("answering the executor of this process: {error}");
            }
        });
    }
    let own = Endpoint { host: own.ip().to_string(), port: own.port(), is_tls: false };
    let router = routes(ballista, Arc::new(shown), &settings.access, flight);
    let (ended, tls) = (end.clone(), settings.tls);
    let serving =
        tokio::spawn(async move { net::serve(listener, router, tls.as_ref(), ended.cancelled_owned()).await });
    Ok(RunningScheduler { address, own, watch, work, end, serving })
}

fn ballista_config(
    settings: &SchedulerSettings,
    address: SocketAddr,
    catalog: &Arc<Catalog>,
    work: &Arc<tokio::sync::watch::Sender<u64>>,
    policy: &Arc<ByModel>,
) -> SchedulerConfig {
    let (producer, builder, work) = (Arc::clone(catalog), Arc::clone(catalog), Arc::clone(work));
    let mut config = SchedulerConfig::default();
    config.external_host = address.ip().to_string();
    config.bind_host = address.ip().to_string();
    config.bind_port = address.port();
    config.scheduling_policy = ballista_core::config::TaskSchedulingPolicy::PullStaged;
    config.task_distribution = TaskDistributionPolicy::Custom(Arc::clone(policy) as _);
    config.executor_timeout_seconds = EXECUTOR_TIMEOUT.as_secs();
    config.expire_dead_executor_interval_seconds = LOOKS_FOR_DEAD.as_secs();
    config.no_executors_grace_period_seconds = ALL_LOST.as_secs();
    config.task_max_failures = ATTEMPTS;
    config.stage_max_failures = ATTEMPTS;
    config.grpc_server_max_decoding_message_size = MESSAGE_BYTES as u32;
    config.grpc_server_max_encoding_message_size = MESSAGE_BYTES as u32;
    config.grpc_client_max_message_size = MESSAGE_BYTES as u32;
    // Rows of tasks are removed when they have been read, or nobody wants them: not by the clock.
    config.finished_job_data_clean_up_interval_seconds = 0;
    // Ballista's redirects to a page elsewhere, with the scheduler's address.
    config.web_tui_route = "/ballista".into();
    config.override_config_producer = Some(Arc::new(move || producer.config()));
    config.override_session_builder = Some(Arc::new(move |config| builder.state(config)));
    config.override_physical_codec = Some(physical_codec());
    config.override_create_grpc_client_endpoint = Some(settings.link.customizer());
    config.use_tls = settings.link.tls.is_some();
    config.on_work_available = Some(Arc::new(move |_| work.send_modify(|count| *count += 1)));
    config
}

fn routes(scheduler: BallistaScheduler, shown: Arc<Shown>, access: &Arc<Access>, flight: Router) -> Router {
    let members = member_routes(scheduler.clone(), access);
    let health = rest::health(Arc::clone(&shown.watch));
    let callers = for_callers(rest::routes(scheduler, shown), access);
    health.merge(members).merge(callers).merge(flight)
}

/// What executors ask.
fn member_routes(scheduler: BallistaScheduler, access: &Arc<Access>) -> Router {
    let server = SchedulerGrpcServer::new(scheduler)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    for_members(tonic::service::Routes::new(server).into_axum_router().reset_fallback(), access)
}

impl RunningScheduler {
    /// Where an executor of the same process asks for tasks.
    pub fn for_own_executor(&self) -> &Endpoint {
        &self.own
    }

    /// Wakes an executor of the same process when there is work.
    pub fn wakes(&self, executor: Arc<Notify>) {
        let mut work = self.work.subscribe();
        tokio::spawn(async move {
            while work.changed().await.is_ok() {
                executor.notify_one();
            }
        });
    }

    /// Waits until the server ends of itself, which it does not unless it fails.
    pub async fn failed(&mut self) -> Result<(), ClusterError> {
        Ok((&mut self.serving).await.map_err(ClusterError::Task)??)
    }

    /// Takes no more queries and waits for those that run, for so long at most.
    pub async fn drain(&self, within: Duration) {
        self.watch.close();
        if tokio::time::timeout(within, self.watch.idle()).await.is_err() {
            log::warn!("queries are given up after {} s", within.as_secs());
            self.watch.cancel_all().await;
        }
    }

    /// Ends; requests that still run have a moment.
    pub async fn end(self) {
        const MOMENT: Duration = Duration::from_secs(2);
        self.end.cancel();
        if tokio::time::timeout(MOMENT, self.serving).await.is_err() {
            log::debug!("connections are left open");
        }
    }
}
