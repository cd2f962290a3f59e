//! Routes that only some may use.

use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

use super::{Access, Caller, Denied};
use crate::net::Peer;

/// Lets callers in that may use the server.
pub(crate) fn for_callers(router: Router, access: &Arc<Access>) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::clone(access), check_caller))
}

/// Lets processes of the cluster in.
pub(crate) fn for_members(router: Router, access: &Arc<Access>) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::clone(access), check_member))
}

/// Handlers find the caller among the request's extensions.
async fn check_caller(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    if !access.knows_users() {
        request.extensions_mut().insert(Caller::Anyone);
        return next.run(request).await;
    }
    let headers = request.headers().clone();
    let address = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.address.ip());
    let checked = tokio::task::spawn_blocking(move || access.caller(&headers, address)).await;
    match checked {
        Ok(Ok(caller)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
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
    if let Denied::TooOften { seconds } = denied {
        let after = [(RETRY_AFTER, seconds.to_string())];
        return (StatusCode::TOO_MANY_REQUESTS, after, format!("{denied}\n")).into_response();
    }
    let mut response = (StatusCode::UNAUTHORIZED, format!("{denied}\n")).into_response();
    if !matches!(denied, Denied::NotAMember) {
        response.headers_mut().insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("Basic realm=\"tamis\""));
    }
    response
}
