//! TLS with rustls: certificates from PEM files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::peer::Peer;

/// A client that does not finish its handshake in this time is left.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// So many connections wait to be served.
const WAITING: usize = 64;

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of certificates or a key cannot be read.
    #[error("reading {what} from {path}: {reason}", path = path.display())]
    File {
        /// What was to be read.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it could not.
        reason: String,
    },
    /// The certificates and the key do not fit together.
    #[error("using the certificate {path}: {reason}", path = path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What a server shows and asks for.
#[derive(Clone)]
pub struct ServerTls(Arc<rustls::ServerConfig>);

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

impl ServerTls {
    /// A server with this certificate chain and key. Clients may show a certificate that `authority` has signed.
    pub fn read(certificate: &Path, key: &Path, authority: Option<&Path>) -> Result<Self, TlsError> {
        let chain = certificates("a certificate", certificate)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|e| TlsError::File {
            what: "a private key",
            path: key.into(),
            reason: e.to_string(),
        })?;
        let wrong = |reason: String| TlsError::Certificate { path: certificate.into(), reason };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(e.to_string()))?;
        let builder = match authority {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for root in certificates("the authority's certificate", path)? {
                    roots.add(root).map_err(|e| TlsError::Certificate { path: path.into(), reason: e.to_string() })?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|e| TlsError::Certificate { path: path.into(), reason: e.to_string() })?;
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|e| wrong(e.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// What a client trusts and shows.
#[derive(Clone)]
pub struct ClientTls(ClientTlsConfig);

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

impl ClientTls {
    /// A client that trusts `authority` (`None`: the authorities that are widely trusted) and shows a certificate, if it
    /// has one.
    pub fn read(authority: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<Self, TlsError> {
        let mut config = match authority {
            Some(path) => {
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("the authority's certificate", path)?))
            }
            None => ClientTlsConfig::new().with_enabled_roots(),
        };
        if let Some((certificate, key)) = own {
            let identity = Identity::from_pem(read("a certificate", certificate)?, read("a private key", key)?);
            config = config.identity(identity);
        }
        Ok(Self(config))
    }

    pub(super) fn config(&self) -> ClientTlsConfig {
        self.0.clone()
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|e| TlsError::File { what, path: path.into(), reason: e.to_string() })
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |reason: String| TlsError::File { what, path: path.into(), reason };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|e| failed(e.to_string()))?.collect();
    match read.map_err(|e| failed(e.to_string()))? {
        found if found.is_empty() => Err(failed("it holds none".into())),
        found => Ok(found),
    }
}

/// Connections with TLS. Handshakes are made side by side: a client that is slow holds up no other.
pub(super) struct TlsListener {
    address: io::Result<std::net::SocketAddr>,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, Peer)>,
}

impl TlsListener {
    pub(super) fn new(listener: TcpListener, tls: &ServerTls) -> Self {
        let (sender, ready) = mpsc::channel(WAITING);
        let address = listener.local_addr();
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::clone(&tls.0)), sender));
        Self { address, ready }
    }
}

async fn accept(mut listener: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<(TlsStream<TcpStream>, Peer)>) {
    loop {
        let (stream, address) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = ready.closed() => return,
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            if let Err(error) = stream.set_nodelay(true) {
                log::debug!("{address}: {error}");
            }
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let has_certificate = stream.get_ref().1.peer_certificates().is_some();
                    // Nobody listens any more if this fails.
                    let _ = ready.send((stream, Peer { address, has_certificate })).await;
                }
                Ok(Err(error)) => log::warn!("{address}: the TLS handshake failed: {error}"),
                Err(_) => log::warn!("{address}: the TLS handshake took more than {} s", HANDSHAKE.as_secs()),
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // The accepting task ends only when this is dropped.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        match &self.address {
            Ok(address) => Ok(Peer { address: *address, has_certificate: false }),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        *stream.remote_addr()
    }
}
