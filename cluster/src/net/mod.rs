//! The processes of a cluster on the network: listening, connecting, TLS.

mod error;
mod link;
mod peer;
mod tls;

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

pub use error::NetError;
pub use link::{Endpoint, Link};
pub(crate) use peer::Peer;
pub use tls::{ClientTls, ServerTls, TlsError};

use tls::TlsListener;

/// Listens at an address.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, NetError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| NetError::Bind { address: address.to_string(), source })
}

/// Serves HTTP/1.1 and HTTP/2 (gRPC among it) until `end` comes and the requests that run are done. Handlers find out
/// whom they serve by the extension `ConnectInfo<Peer>`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<&ServerTls>,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), NetError> {
    let service = router.into_make_service_with_connect_info::<Peer>();
    let served = match tls {
        Some(tls) => {
            let listener = TlsListener::new(listener, tls);
            axum::serve(listener, service).with_graceful_shutdown(end).await
        }
        None => axum::serve(peer::Plain(listener), service).with_graceful_shutdown(end).await,
    };
    served.map_err(NetError::Serve)
}
