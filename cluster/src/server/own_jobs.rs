//! What a user may ask of jobs over REST: about their own, not about those of others.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use serde_json::Value;

use super::rest::Shown;
use crate::MESSAGE_BYTES;
use crate::access::{Caller, Reason};

/// What tells nothing of single jobs.
const OF_ALL: [&str; 9] = [
    "/",
    "/metrics",
    "/api/progress",
    "/api/state",
    "/api/version",
    "/api/executors",
    "/api/metrics",
    "/api/openapi.json",
    "/ballista",
];

/// Shows and ends jobs of the caller's own alone, unless the caller is an admin.
pub(super) async fn own_jobs(State(shown): State<Arc<Shown>>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().cloned();
    let Some(caller) = caller else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    if shown.access.is_admin(&caller) {
        return next.run(request).await;
    }
    let path = request.uri().path().trim_end_matches('/').to_string();
    if path == "/api/jobs" {
        return own_of(&shown, &caller, next.run(request).await).await;
    }
    if let Some(rest) = path.strip_prefix("/api/job/") {
        let job = rest.split('/').next().unwrap_or_default();
        // What is not there and what is another's look alike.
        return match shown.queries.is_owner(&caller, job) {
            true => next.run(request).await,
            false => {
                shown.access.refusals().count(Reason::Rights);
                (StatusCode::NOT_FOUND, format!("you have no job {job}\n")).into_response()
            }
        };
    }
    let is_of_all =
        OF_ALL.iter().any(|known| known.trim_end_matches('/') == path) || path.starts_with("/api/executor/");
    match is_of_all {
        true => next.run(request).await,
        false => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The list of jobs without those of others.
async fn own_of(shown: &Shown, caller: &Caller, response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        return (head, body).into_response();
    }
    let bytes = axum::body::to_bytes(body, MESSAGE_BYTES).await;
    let Some(Value::Array(mut jobs)) = bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    jobs.retain(|job| job["job_id"].as_str().is_some_and(|job| shown.queries.is_owner(caller, job)));
    head.headers.remove(CONTENT_LENGTH);
    (head, Value::Array(jobs).to_string()).into_response()
}
