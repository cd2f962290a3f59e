//! Connections between the processes of a cluster.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ballista_core::extension::{BallistaConfigGrpcEndpoint, EndpointOverrideFn};
use tonic::transport::{Endpoint as TonicEndpoint, Uri};

use super::error::NetError;
use super::tls::ClientTls;
use crate::secret::Secret;

/// The port of a scheduler, if none is given.
const DEFAULT_PORT: u16 = 50050;
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection over which nothing comes is asked for a sign of life this often ...
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// ... and is given up when none comes within this time.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// How this process shows the others of its cluster that it belongs to it.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// How the connections are encrypted, if they are.
    pub tls: Option<ClientTls>,
    /// What all processes of the cluster know, if there is something.
    pub secret: Option<Secret>,
}

impl Link {
    /// What Ballista does to each endpoint that it connects to.
    ///
    /// It lets an endpoint be changed, not a request: the secret goes where an endpoint has a word in a request, into
    /// the user agent.
    pub(crate) fn customizer(&self) -> EndpointOverrideFn {
        let link = self.clone();
        Arc::new(move |endpoint| link.customize(endpoint))
    }

    /// The same as an extension of a session's configuration.
    pub(crate) fn extension(&self) -> Arc<BallistaConfigGrpcEndpoint> {
        Arc::new(BallistaConfigGrpcEndpoint::new(self.customizer()))
    }

    fn customize(&self, endpoint: TonicEndpoint) -> Result<TonicEndpoint, Box<dyn std::error::Error + Send + Sync>> {
        let mut endpoint = match &self.tls {
            Some(tls) => {
                let mut uri = endpoint.uri().clone().into_parts();
                uri.scheme = Some("https".parse()?);
                TonicEndpoint::from(Uri::from_parts(uri)?).tls_config(tls.config())?
            }
            None => endpoint,
        };
        endpoint = endpoint
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(SIGN_OF_LIFE)
            .keep_alive_while_idle(true);
        match &self.secret {
            Some(secret) => Ok(endpoint.user_agent(secret.as_user_agent())?),
            None => Ok(endpoint),
        }
    }

    /// An endpoint at a host's port.
    pub(crate) fn endpoint(&self, host: &str, port: u16) -> Result<TonicEndpoint, NetError> {
        let address = format!("http://{host}:{port}");
        let failed =
            |e: Box<dyn std::error::Error + Send + Sync>| NetError::Endpoint { address: address.clone(), source: e };
        let endpoint = TonicEndpoint::from_shared(address.clone()).map_err(|e| failed(e.into()))?;
        self.customize(endpoint).map_err(failed)
    }
}

/// Where a server is: `http://HOST:PORT`, `https://HOST:PORT`, or `HOST:PORT` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The host's name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether it is asked over TLS.
    pub is_tls: bool,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let is_tls = match scheme {
            "http" | "grpc" | "grpc+tcp" | "df" => false,
            "https" | "grpcs" | "grpc+tls" => true,
            _ => return Err(format!("{scheme}:// is not understood; write http://HOST:PORT or https://HOST:PORT")),
        };
        let rest = rest.trim_end_matches('/');
        let uri = Uri::from_str(&format!("http://{rest}")).map_err(|e| format!("{text}: {e}"))?;
        let has_more = uri.path() != "/" || uri.query().is_some() || rest.contains('@');
        match uri.host() {
            Some(host) if !has_more => {
                let port = uri.port_u16().unwrap_or(DEFAULT_PORT);
                Ok(Self { host: host.to_string(), port, is_tls })
            }
            _ => Err(format!("{text}: expected http://HOST:PORT or https://HOST:PORT")),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for (text, expected) in [
            ("http://a:1", "http://a:1"),
            ("a:1", "http://a:1"),
            ("https://a.b:443/", "https://a.b:443"),
            ("127.0.0.1", "http://127.0.0.1:50050"),
            ("http://[::1]:9", "http://[::1]:9"),
            ("grpc+tls://a:1", "https://a:1"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), expected);
        }
        for text in ["ftp://a:1", "http://a:1/x", "http://user:pass@a:1", "", "http://"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
