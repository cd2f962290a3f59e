//! The watch over executors: what they do, and whether they are still there.
//!
//! Ballista notices within its timeout that an executor is gone, and puts right what it can. Here it is noticed within
//! seconds, and queries hear of it; what executors do for queries that nobody waits for any more is ended.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ballista_core::serde::scheduler::ExecutorMetadata;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::state::execution_graph::ExecutionGraphBox;
use http_body_util::BodyExt;
use parking_lot::RwLock;
use tamis_engine::counts::Counts;
use tokio::sync::{Notify, broadcast, watch};
use tonic::transport::Channel;
use tower::{Service, ServiceExt};

use super::ballista::Scheduler;
use super::slots::Slots;
use crate::executor::status::{CANCEL_PATH, ExecutorState, STATUS_PATH, WAKE_PATH};
use crate::models::ModelsWanted;
use crate::net::{Link, NetError};

/// How often the executors that there are are looked up.
const LOOKS_UP: Duration = Duration::from_millis(500);
/// How often each is asked for its state.
const ASKS: Duration = Duration::from_secs(1);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(2);
/// An executor that does not answer for so long is lost.
const LOST_AFTER: Duration = Duration::from_secs(6);
/// An executor whose port refuses connections so often in a row is lost: its process is gone.
const REFUSALS: usize = 3;
/// After so many answers in a row that do not fit the scheduler's own view, the executor's is believed.
const DISAGREEMENTS: usize = 10;

/// An executor is lost, or a task of a query is.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    /// The executor.
    pub(crate) executor: String,
    /// The query that is concerned; `None`: all that have used the executor.
    pub(crate) job: Option<String>,
    /// What happened.
    pub(crate) reason: String,
}

/// Watches the executors of a scheduler.
pub(crate) struct Watch {
    scheduler: Scheduler,
    cluster: BallistaCluster,
    link: Link,
    states: RwLock<HashMap<String, Seen>>,
    lost: broadcast::Sender<Lost>,
    work: Arc<watch::Sender<u64>>,
    slots: Slots,
    is_closed: AtomicBool,
    queries: AtomicUsize,
    query_ended: Notify,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// An executor as it was last seen.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Where it is.
    pub(crate) address: String,
    /// What it last said.
    pub(crate) state: ExecutorState,
    /// The speed at which it scores, in rows a second, over the last answers.
    pub(crate) rows_per_second: f64,
    asked: Instant,
}

impl Watch {
    pub(crate) fn start(
        scheduler: Scheduler,
        cluster: BallistaCluster,
        link: Link,
        work: Arc<watch::Sender<u64>>,
        slots: Slots,
    ) -> Arc<Self> {
        let watch = Arc::new(Self {
            scheduler,
            cluster,
            link,
            states: RwLock::default(),
            lost: broadcast::Sender::new(256),
            work,
            slots,
            is_closed: AtomicBool::new(false),
            queries: AtomicUsize::new(0),
            query_ended: Notify::new(),
        });
        tokio::spawn(look_up(Arc::clone(&watch)));
        watch
    }

    /// Hears of what is lost from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Lost> {
        self.lost.subscribe()
    }

    /// The executors that answer, by id.
    pub(crate) fn executors(&self) -> BTreeMap<String, Seen> {
        self.states.read().iter().map(|(id, seen)| (id.clone(), seen.clone())).collect()
    }

    /// What all executors have counted for these jobs.
    pub(crate) fn counts(&self, jobs: &[String]) -> Counts {
        let mut counts = Counts::default();
        for seen in self.states.read().values() {
            jobs.iter().filter_map(|job| seen.state.tasks.jobs.get(job)).for_each(|of_job| counts.add(of_job));
        }
        counts
    }

    /// How many of `available` tasks an executor may have at once, of a stage that asks for these models.
    pub(crate) fn share(&self, executor: &str, wanted: &ModelsWanted, available: usize) -> usize {
        if !wanted.any {
            return usize::MAX;
        }
        let states = self.states.read();
        let can = |seen: &&Seen| wanted.are_among(&seen.state.models);
        if states.get(executor).filter(can).is_none() {
            return 0;
        }
        available.div_ceil(states.values().filter(can).count().max(1))
    }

    /// Whether an executor can run a plan that asks for these models; if not, why not.
    pub(crate) fn can_run(&self, wanted: &ModelsWanted) -> Result<(), String> {
        let states = self.states.read();
        if states.is_empty() {
            return Err("there is no executor; start one with `tamis executor --scheduler URL`".into());
        }
        if states.values().any(|seen| wanted.are_among(&seen.state.models)) {
            return Ok(());
        }
        let wanted: Vec<&str> = wanted.names.iter().map(String::as_str).collect();
        let known: BTreeSet<&str> =
            states.values().flat_map(|seen| seen.state.models.iter().map(String::as_str)).collect();
        let known = match known.is_empty() {
            true => "they have the default model only".to_string(),
            false => format!("they have {}", known.into_iter().collect::<Vec<_>>().join(", ")),
        };
        Err(format!(
            "none of the {} executors has the model {}: {known}; start one with --model NAME=PATH",
            states.len(),
            wanted.join(", ")
        ))
    }

    /// Takes no more queries.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Ends all queries.
    pub(crate) async fn cancel_all(&self) {
        for job in self.scheduler.running().keys() {
            if let Err(error) = self.scheduler.cancel(job.clone()).await {
                log::warn!("cancelling job {job}: {error}");
            }
        }
    }

    /// Begins a query; `None` if no more are taken.
    pub(crate) fn begin_query(self: &Arc<Self>) -> Option<RunningQuery> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let query = RunningQuery(Arc::clone(self));
        (!self.is_closed.load(Ordering::Relaxed)).then_some(query)
    }

    /// Waits until no query runs.
    pub(crate) async fn idle(&self) {
        loop {
            let ended = self.query_ended.notified();
            if self.queries.load(Ordering::Relaxed) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// The graph of a job, if Ballista still has it.
    pub(crate) async fn graph(&self, job: &str) -> Option<ExecutionGraphBox> {
        let id = job.into();
        if let Some(running) = self.scheduler.running().get(&id) {
            return Some(running.execution_graph.read().await.cloned());
        }
        self.cluster.job_state().get_execution_graph(&id).await.ok().flatten()
    }

    /// How many tasks the executors run at once.
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    fn tell_lost(&self, lost: Lost) {
        // Nobody may be listening.
        let _ = self.lost.send(lost);
    }
}

/// A query that runs.
#[derive(Debug)]
pub(crate) struct RunningQuery(Arc<Watch>);

impl Drop for RunningQuery {
    fn drop(&mut self) {
        self.0.queries.fetch_sub(1, Ordering::Relaxed);
        self.0.query_ended.notify_waiters();
    }
}

async fn look_up(watch: Arc<Watch>) {
    let mut watched: HashMap<String, tokio::task::JoinHandle<()>> = HashMap::new();
    loop {
        let registered = watch.cluster.cluster_state().registered_executor_metadata().await;
        watch.slots.set(registered.iter().map(|executor| executor.specification.vcores as usize).sum());
        for executor in registered {
            let is_watched = watched.get(&executor.id).is_some_and(|task| !task.is_finished());
            if !is_watched {
                let id = executor.id.clone();
                watched.insert(id, tokio::spawn(watch_one(Arc::clone(&watch), executor)));
            }
        }
        watched.retain(|_, task| !task.is_finished());
        tokio::time::sleep(LOOKS_UP).await;
    }
}

/// Watches an executor until it is gone.
async fn watch_one(watch: Arc<Watch>, executor: ExecutorMetadata) {
    log::info!("executor {} at {}:{} joins", executor.id, executor.host, executor.port);
    let reason = match Executor::new(&watch, &executor) {
        Ok(mut one) => one.run().await,
        Err(error) => error.to_string(),
    };
    watch.states.write().remove(&executor.id);
    log::warn!("executor {} at {}:{}: {reason}", executor.id, executor.host, executor.port);
    let reason = format!("the executor at {}:{} was lost: {reason}", executor.host, executor.port);
    watch.tell_lost(Lost { executor: executor.id.clone(), job: None, reason });
    // One that is only slow ends what it does when it can be reached, and comes back as a new one.
    watch.scheduler.give_up(&executor.id, "it did not answer").await;
}

/// One executor.
struct Executor<'a> {
    watch: &'a Arc<Watch>,
    metadata: &'a ExecutorMetadata,
    channel: Channel,
    /// Jobs whose tasks run here though they have ended.
    orphans: HashSet<String>,
    /// For how many answers in a row a job's tasks should run here and do not.
    missing: HashMap<String, usize>,
}

impl<'a> Executor<'a> {
    fn new(watch: &'a Arc<Watch>, metadata: &'a ExecutorMetadata) -> Result<Self, NetError> {
        let channel = watch.link.endpoint(&metadata.host, metadata.port)?.connect_lazy();
        Ok(Self { watch, metadata, channel, orphans: HashSet::new(), missing: HashMap::new() })
    }

    /// Asks it for its state again and again; gives the reason why it is lost.
    async fn run(&mut self) -> String {
        let mut work = self.watch.work.subscribe();
        let mut answered = Instant::now();
        let mut refusals = 0;
        loop {
            match self.state().await {
                Ok(state) => {
                    (answered, refusals) = (Instant::now(), 0);
                    self.note(state).await;
                }
                Err(Trouble::Refused(error)) if refusals + 1 >= REFUSALS => return error,
                Err(Trouble::Refused(_)) => refusals += 1,
                Err(Trouble::Other(_)) if answered.elapsed() < LOST_AFTER => {}
                Err(Trouble::Other(error)) => {
                    return format!("it has not answered for {} s: {error}", answered.elapsed().as_secs());
                }
            }
            if !self.is_registered().await {
                return "it has left".into();
            }
            let next = tokio::time::Instant::now() + ASKS;
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(next) => break,
                    changed = work.changed() => {
                        if changed.is_err() {
                            return "the scheduler ends".into();
                        }
                        if let Err(error) = self.send("POST", WAKE_PATH).await {
                            log::debug!("executor {}: {error:?}", self.metadata.id);
                            break;
                        }
                    }
                }
            }
        }
    }

    async fn is_registered(&self) -> bool {
        self.watch.cluster.cluster_state().get_executor_metadata(&self.metadata.id).await.is_ok()
    }

    async fn state(&mut self) -> Result<ExecutorState, Trouble> {
        let body = self.send("GET", STATUS_PATH).await?;
        serde_json::from_slice(&body).map_err(|e| Trouble::Other(format!("its answer was not understood: {e}")))
    }

    async fn send(&mut self, method: &str, path: &str) -> Result<bytes::Bytes, Trouble> {
        let exchange = async {
            let request = http::Request::builder().method(method).uri(path).body(tonic::body::Body::empty());
            let request = request.map_err(|e| Trouble::Other(e.to_string()))?;
            let channel = self.channel.ready().await.map_err(Trouble::from)?;
            let response = channel.call(request).await.map_err(Trouble::from)?;
            if !response.status().is_success() {
                return Err(Trouble::Other(format!("it answered {}", response.status())));
            }
            let body = response.into_body().collect().await.map_err(|e| Trouble::Other(e.to_string()))?;
            Ok(body.to_bytes())
        };
        match tokio::time::timeout(ANSWER, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(Trouble::Other(format!("no answer within {} s", ANSWER.as_secs()))),
        }
    }

    /// Keeps what it said, and acts on what is not as it should be.
    async fn note(&mut self, state: ExecutorState) {
        let now = Instant::now();
        let running = state.tasks.running.clone();
        {
            let mut states = self.watch.states.write();
            let before = states.get(&self.metadata.id);
            let rows_per_second = before.map_or(0.0, |before| {
                let rows = state.tasks.all.left_model.saturating_sub(before.state.tasks.all.left_model) as f64;
                let speed = rows / now.duration_since(before.asked).as_secs_f64().max(1e-3);
                // Answers come once a second, scores in batches.
                0.7 * before.rows_per_second + 0.3 * speed
            });
            let address = format!("{}:{}", self.metadata.host, self.metadata.port);
            let seen = Seen { address, state, rows_per_second, asked: now };
            states.insert(self.metadata.id.clone(), seen);
        }
        let active = self.watch.scheduler.running();
        // Between two answers a job may end of itself: only what is left over twice is ended.
        let left_over: HashSet<String> =
            running.keys().filter(|job| !active.contains_key(job.as_str())).cloned().collect();
        let twice: Vec<String> = left_over.intersection(&self.orphans).cloned().collect();
        for job in twice {
            log::info!("executor {}: ends what runs for job {job}, which has ended", self.metadata.id);
            if let Err(error) = self.send("POST", &format!("{CANCEL_PATH}{job}")).await {
                log::debug!("executor {}: {error:?}", self.metadata.id);
            }
        }
        self.orphans = left_over;
        let mut missing = HashMap::new();
        for (job, info) in active.iter() {
            let should_run = {
                let graph = info.execution_graph.read().await;
                graph.running_tasks().iter().any(|task| task.executor_id == self.metadata.id)
            };
            let job = job.to_string();
            if should_run && !running.contains_key(&job) {
                let times = self.missing.get(&job).copied().unwrap_or(0) + 1;
                if times == DISAGREEMENTS {
                    let reason = format!(
                        "the executor at {}:{} no longer runs a task that it was given and has not told what became of it",
                        self.metadata.host, self.metadata.port
                    );
                    let executor = self.metadata.id.clone();
                    self.watch.tell_lost(Lost { executor, job: Some(job.clone()), reason });
                }
                missing.insert(job, times);
            }
        }
        self.missing = missing;
    }
}

/// Why an executor does not answer.
#[derive(Debug)]
enum Trouble {
    /// Nobody listens at its port.
    Refused(String),
    Other(String),
}

impl From<tonic::transport::Error> for Trouble {
    fn from(error: tonic::transport::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        let mut text = String::new();
        while let Some(error) = cause {
            text = error.to_string();
            if let Some(error) = error.downcast_ref::<std::io::Error>()
                && error.kind() == std::io::ErrorKind::ConnectionRefused
            {
                return Self::Refused("its process is gone: nobody listens at its port".into());
            }
            cause = error.source();
        }
        Self::Other(text)
    }
}
