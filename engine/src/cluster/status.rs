//! What an executor tells of itself, and what the scheduler gathers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::own::OwnOptions;
use super::tasks::{Tasks, TasksReport};

/// Where an executor tells of itself.
pub(super) const STATUS_PATH: &str = "/tamis/status";

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

/// What an executor answers besides giving results.
pub(super) fn routes(report: Arc<ExecutorReport>) -> Router {
    Router::new()
        .route(STATUS_PATH, get(|State(report): State<Arc<ExecutorReport>>| async move { Json(report.state()) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(report)
}
