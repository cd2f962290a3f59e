//! What an executor tells of itself, and what the scheduler gathers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path as UrlPath, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::own::OwnOptions;
use super::tasks::{Tasks, TasksReport};

/// Where an executor tells of itself.
pub(crate) const STATUS_PATH: &str = "/tamis/status";
/// What brings it to ask for tasks at once.
pub(crate) const WAKE_PATH: &str = "/tamis/wake";
/// What ends its tasks of a job, whose id follows.
pub(crate) const CANCEL_PATH: &str = "/tamis/cancel/";

/// What an executor can do and does.
#[derive(Debug)]
pub(super) struct ExecutorReport {
    models: Vec<String>,
    device: String,
    tasks: Arc<Tasks>,
}

/// The report as it travels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ExecutorState {
    /// The models that the executor was given by name.
    pub(crate) models: Vec<String>,
    /// Where its models run.
    pub(crate) device: String,
    /// Its tasks.
    #[serde(flatten)]
    pub(crate) tasks: TasksReport,
}

impl ExecutorReport {
    pub(super) fn new(own: &OwnOptions, options: &[(String, String)], tasks: Arc<Tasks>) -> Self {
        let options: BTreeMap<_, _> = options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        Self {
            models: own.models().map(str::to_string).collect(),
            device: options.get("tamis.scoring.device").copied().unwrap_or("auto").to_string(),
            tasks,
        }
    }

    fn state(&self) -> ExecutorState {
        ExecutorState { models: self.models.clone(), device: self.device.clone(), tasks: self.tasks.report() }
    }
}

/// What an executor answers to the scheduler besides giving results.
pub(super) fn routes(report: Arc<ExecutorReport>, tasks: Arc<Tasks>, wake: Arc<Notify>) -> Router {
    let status = get(|State(report): State<Arc<ExecutorReport>>| async move { Json(report.state()) });
    let woken = post(move || {
        wake.notify_one();
        async { StatusCode::NO_CONTENT }
    });
    let cancelled = post(move |UrlPath(job): UrlPath<String>| {
        tasks.cancel(&job);
        async { StatusCode::NO_CONTENT }
    });
    Router::new()
        .route(STATUS_PATH, status)
        .route(WAKE_PATH, woken)
        .route(&format!("{CANCEL_PATH}{{job}}"), cancelled)
        .with_state(report)
}

/// Whether the process is alive.
pub(super) fn health() -> Router {
    Router::new().route("/healthz", get(|| async { "ok\n" }))
}
