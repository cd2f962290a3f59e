//! One request: its headers, its redirects, and which hosts it may reach.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, HeaderValue, LOCATION};
use http::{HeaderMap, Method};
use reqwest::redirect::Policy;
use url::{Host, Url};

use super::answer::Answer;
use super::resolve::Resolver;
use super::{Addresses, WebError};

/// A file behind more redirects is not read.
const MAX_REDIRECTS: usize = 10;

/// A server that takes longer to be connected to is taken for gone.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// A server that sends nothing for so long is taken for gone.
pub(super) const SILENCE: Duration = Duration::from_secs(30);

/// A corpus names many hosts: connections that nobody uses are closed soon.
const IDLE: Duration = Duration::from_secs(5);

const USER_AGENT: &str = concat!("tamis/", env!("CARGO_PKG_VERSION"));

/// Asks web servers for files, within a policy of addresses. A copy shares its connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    addresses: Arc<Addresses>,
}

impl Client {
    /// A client that reads from these addresses alone.
    pub fn new(addresses: Addresses) -> Result<Self, WebError> {
        let addresses = Arc::new(addresses);
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .http1_only()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .pool_idle_timeout(IDLE)
            .dns_resolver(Arc::new(Resolver::new(Arc::clone(&addresses))))
            // Encodings are decoded here, whatever features reqwest is built with.
            .no_gzip()
            .no_deflate()
            .no_zstd()
            .no_brotli();
        if *addresses != Addresses::Any {
            // A proxy would connect to what nobody has checked.
            builder = builder.no_proxy();
        }
        Ok(Self { http: builder.build()?, addresses })
    }

    /// The client of the requests themselves, whose names resolve within the policy. It follows no redirects, and addresses
    /// that stand in a URL are to be [checked](Self::check) before.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Sends a request without a body and follows redirects. An answer other than 2xx is an error.
    pub async fn send(&self, method: Method, url: &Url, headers: &HeaderMap) -> Result<Answer, WebError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            self.check(&url)?;
            url.set_fragment(None);
            let request = self.http.request(method.clone(), url.clone());
            let request =
                request.headers(headers.clone()).header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            let response = request.send().await?;
            match target(&url, &response)? {
                Some(target) => url = target,
                None => return Answer::new(response).await,
            }
        }
        Err(WebError::Redirects { limit: MAX_REDIRECTS, last: url.into() })
    }

    /// Refuses what is no web URL, and a host that the policy does not allow as far as its address stands in the URL.
    /// Names are checked when they are resolved.
    pub fn check(&self, url: &Url) -> Result<(), WebError> {
        let address: IpAddr = match (url.scheme(), url.host()) {
            ("http" | "https", Some(Host::Domain(_))) => return Ok(()),
            ("http" | "https", Some(Host::Ipv4(address))) => address.into(),
            ("http" | "https", Some(Host::Ipv6(address))) => address.into(),
            _ => return Err(WebError::Scheme { url: url.to_string() }),
        };
        match self.addresses.allows_address(address) {
            true => Ok(()),
            false => Err(WebError::NotPublic { host: address.to_string(), address }),
        }
    }
}

/// Where an answer sends its reader.
fn target(url: &Url, response: &reqwest::Response) -> Result<Option<Url>, WebError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let location = String::from_utf8_lossy(location.as_bytes());
    let target =
        url.join(&location).map_err(|e| WebError::Location { target: location.into(), reason: e.to_string() })?;
    Ok(Some(target))
}
