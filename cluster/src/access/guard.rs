//! Routes that only some may use.

use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

use super::{Access, Denied};
use crate::net::Peer;

/// Lets callers in that may use the server.
pub(crate) fn for_callers(router: Router, access: &Arc<Access>) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::clone(access), check_caller))
}

/// Lets processes of the cluster in.
pub(crate) fn for_members(router: Router, access: &Arc<Access>) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::clone(access), check_member))
}

async fn check_caller(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    if !access.knows_users() {
        return next.run(request).await;
    }
    let headers = request.headers().clone();
    let checked = tokio::task::spawn_blocking(move || access.caller(&headers)).await;
    match checked {
        Ok(Ok(_)) => next.run(request).await,
        Ok(Err(denied)) => refuse(request.headers(), denied),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn check_member(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|info| &info.0);
    match access.check_member(request.headers(), peer) {
        Ok(()) => next.run(request).await,
        Err(denied) => {
            log::warn!("{}: {denied}", peer.map_or_else(|| "unknown".into(), |peer| peer.address.to_string()));
            refuse(request.headers(), denied)
        }
    }
}

fn refuse(headers: &HeaderMap, denied: Denied) -> Response {
    let is_grpc = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_grpc {
        return tonic::Status::unauthenticated(denied.to_string()).into_http::<axum::body::Body>();
    }
    let mut response = (StatusCode::UNAUTHORIZED, format!("{denied}\n")).into_response();
    if !matches!(denied, Denied::NotAMember) {
        response.headers_mut().insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("Basic realm=\"tamis\""));
    }
    response
}
