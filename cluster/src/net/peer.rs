//! Who is at the other end of a connection.

use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Whether it has shown a certificate that the cluster's authority has signed.
    pub(crate) has_certificate: bool,
}

/// Connections without TLS.
pub(super) struct Plain(pub(super) TcpListener);

impl Listener for Plain {
    type Io = TcpStream;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Small messages are not held back for larger ones.
        if let Err(error) = stream.set_nodelay(true) {
            log::debug!("{address}: {error}");
        }
        (stream, Peer { address, has_certificate: false })
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(Peer { address: self.0.local_addr()?, has_certificate: false })
    }
}

impl Connected<IncomingStream<'_, Plain>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Plain>) -> Self {
        *stream.remote_addr()
    }
}
