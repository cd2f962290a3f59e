//! REST: Ballista's routes, the progress of scoring, metrics and health.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use prometheus::core::Collector;
use prometheus::{Encoder, GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use serde::Serialize;
use tamis_engine::counts::Counts;

use super::own_jobs::own_jobs;
use super::page::page;
use crate::MESSAGE_BYTES;
use crate::access::{Access, Reason};
use crate::queries::Queries;
use crate::scheduler::{BallistaScheduler, Watch};

/// What is shown of a server.
#[derive(Debug)]
pub(super) struct Shown {
    /// What executors do.
    pub(super) watch: Arc<Watch>,
    /// What users have asked.
    pub(super) queries: Arc<Queries>,
    /// Who is let in.
    pub(super) access: Arc<Access>,
}

/// What those see that may use the server.
pub(super) fn routes(scheduler: BallistaScheduler, shown: Arc<Shown>) -> Router {
    let own = middleware::from_fn_with_state(Arc::clone(&shown), own_jobs);
    let ours = Router::new()
        .route("/api/job/{job}/progress", get(job_progress))
        .route("/api/progress", get(progress))
        .with_state(Arc::clone(&shown.watch));
    let ours = ours.merge(Router::new().route("/", get(page)).route("/metrics", get(metrics)).with_state(shown));
    // A query's configuration may hold what opens an object store.
    let ballista = ballista_scheduler::api::get_routes(Arc::new(scheduler)).layer(middleware::from_fn(hide_config));
    ballista.merge(ours).layer(own)
}

/// What anyone sees: whether the process is alive, and whether it can run queries.
pub(super) fn health(watch: Arc<Watch>) -> Router {
    let ready = get(|State(watch): State<Arc<Watch>>| async move {
        match watch.executors().len() {
            0 => (StatusCode::SERVICE_UNAVAILABLE, "no executor\n".to_string()),
            executors => (StatusCode::OK, format!("{executors} executors\n")),
        }
    });
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", ready).with_state(watch)
}

async fn hide_config(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path == "/ballista" {
        return StatusCode::NOT_FOUND.into_response();
    }
    if path.starts_with("/api/job/") && path.trim_end_matches('/').ends_with("/config") {
        return (StatusCode::FORBIDDEN, "a query's configuration is not shown: it may hold secrets\n").into_response();
    }
    let is_one_job = path.strip_prefix("/api/job/").is_some_and(|job| !job.trim_end_matches('/').contains('/'));
    let response = next.run(request).await;
    if is_one_job { without_plan(response).await } else { response }
}

/// The answer about a job without the field that shows the whole execution graph, with the configuration in it.
async fn without_plan(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, MESSAGE_BYTES).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let Ok(serde_json::Value::Object(mut job)) = serde_json::from_slice(&bytes) else {
        return (head, bytes).into_response();
    };
    job.remove("stage_plan");
    head.headers.remove(CONTENT_LENGTH);
    (head, serde_json::Value::Object(job).to_string()).into_response()
}

/// The scoring of a job or of all, by executor.
#[derive(Debug, Serialize)]
struct Progress {
    /// Over all executors.
    total: Scored,
    executors: Vec<ExecutorProgress>,
}

#[derive(Debug, Serialize)]
struct ExecutorProgress {
    id: String,
    address: String,
    models: Vec<String>,
    device: String,
    tasks_running: usize,
    rows_per_second: f64,
    #[serde(flatten)]
    scored: Scored,
}

#[derive(Debug, Serialize)]
struct Scored {
    rows: u64,
    rows_scored: u64,
    cache_hits: u64,
    rows_failed: u64,
    /// Of the time in which rows were on their way, the share in which the device had nothing to do.
    device_idle_share: Option<f64>,
}

impl From<Counts> for Scored {
    fn from(counts: Counts) -> Self {
        let all = counts.busy_nanos + counts.idle_nanos;
        Self {
            rows: counts.left_model,
            rows_scored: counts.rows_scored,
            cache_hits: counts.cache_hits,
            rows_failed: counts.failed,
            device_idle_share: (all > 0).then(|| counts.idle_nanos as f64 / all as f64),
        }
    }
}

async fn job_progress(State(watch): State<Arc<Watch>>, Path(job): Path<String>) -> Response {
    if watch.graph(&job).await.is_none() {
        return (StatusCode::NOT_FOUND, format!("no job {job}\n")).into_response();
    }
    Json(gather(&watch, Some(&job))).into_response()
}

async fn progress(State(watch): State<Arc<Watch>>) -> Json<Progress> {
    Json(gather(&watch, None))
}

fn gather(watch: &Watch, job: Option<&str>) -> Progress {
    let mut total = Counts::default();
    let executors = watch.executors().into_iter().map(|(id, seen)| {
        let tasks = &seen.state.tasks;
        let counts = match job {
            Some(job) => tasks.jobs.get(job).copied().unwrap_or_default(),
            None => tasks.all,
        };
        total.add(&counts);
        ExecutorProgress {
            id,
            address: seen.address,
            models: seen.state.models,
            device: seen.state.device,
            tasks_running: tasks.running.values().sum(),
            rows_per_second: seen.rows_per_second,
            scored: counts.into(),
        }
    });
    let executors = executors.collect();
    Progress { total: total.into(), executors }
}

async fn metrics(State(shown): State<Arc<Shown>>) -> Response {
    match encode(&shown) {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("gathering metrics: {error}\n")).into_response(),
    }
}

/// Ballista's metrics and ours in Prometheus' text format.
fn encode(shown: &Shown) -> prometheus::Result<Vec<u8>> {
    let registry = Registry::new();
    let refused =
        IntCounterVec::new(Opts::new("tamis_refused_total", "Requests and queries that were refused"), &["reason"])?;
    for reason in Reason::ALL {
        refused.with_label_values(&[reason.name()]).inc_by(shown.access.refusals().of(reason));
    }
    let waited =
        IntCounter::new("tamis_queries_waited_total", "Queries that have waited until their user might have one more")?;
    waited.inc_by(shown.queries.waited());
    let waiting = IntGauge::new("tamis_queries_waiting", "Queries that wait until their user may have one more")?;
    waiting.set(i64::try_from(shown.queries.waiting()).unwrap_or(i64::MAX));
    let running = IntGauge::new("tamis_queries_running", "Queries that run")?;
    running.set(i64::try_from(shown.queries.shown().len()).unwrap_or(i64::MAX));
    let ours: [Box<dyn Collector>; 4] = [Box::new(refused), Box::new(waited), Box::new(waiting), Box::new(running)];
    ours.into_iter().try_for_each(|one| registry.register(one))?;
    let gauge = |name: &str, help: &str| -> prometheus::Result<GaugeVec> {
        let gauge = GaugeVec::new(Opts::new(name, help), &["executor"])?;
        registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    };
    let rows = gauge("tamis_rows", "Rows that have gone through score nodes")?;
    let scored = gauge("tamis_rows_scored", "Rows that a model has scored")?;
    let hits = gauge("tamis_cache_hits", "Rows whose score was remembered")?;
    let failed = gauge("tamis_rows_failed", "Rows that could not be scored")?;
    let speed = gauge("tamis_rows_per_second", "Rows that go through score nodes in a second")?;
    let tasks = gauge("tamis_tasks_running", "Tasks that run")?;
    let busy = gauge("tamis_device_busy_seconds", "How long the device has computed")?;
    let idle =
        gauge("tamis_device_idle_seconds", "How long the device had nothing to do while rows were on their way")?;
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    for (_, seen) in shown.watch.executors() {
        let of = [seen.address.as_str()];
        let all = seen.state.tasks.all;
        rows.with_label_values(&of).set(all.left_model as f64);
        scored.with_label_values(&of).set(all.rows_scored as f64);
        hits.with_label_values(&of).set(all.cache_hits as f64);
        failed.with_label_values(&of).set(all.failed as f64);
        speed.with_label_values(&of).set(seen.rows_per_second);
        tasks.with_label_values(&of).set(seen.state.tasks.running.values().sum::<usize>() as f64);
        busy.with_label_values(&of).set(seconds(all.busy_nanos));
        idle.with_label_values(&of).set(seconds(all.idle_nanos));
    }
    let mut text = vec![];
    TextEncoder::new().encode(&prometheus::gather(), &mut text)?;
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(text)
}
