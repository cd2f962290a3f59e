//! The addresses of a name, as far as they may be connected to.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use super::{Addresses, WebError};

/// The system's resolver, without the addresses that a policy refuses. The connection is made to what it gives, so no second
/// look can find another address.
#[derive(Debug)]
pub(super) struct Resolver {
    addresses: Arc<Addresses>,
}

impl Resolver {
    /// A resolver for a policy.
    pub(super) fn new(addresses: Arc<Addresses>) -> Self {
        Self { addresses }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = Arc::clone(&self.addresses);
        Box::pin(async move {
            let allowed: Addrs = Box::new(resolve(name.as_str(), &addresses).await?.into_iter());
            Ok(allowed)
        })
    }
}

async fn resolve(host: &str, addresses: &Addresses) -> Result<Vec<SocketAddr>, WebError> {
    let found: Vec<_> = match lookup_host((host, 0)).await {
        Ok(found) => found.collect(),
        Err(error) => return Err(WebError::unresolved(host, &error)),
    };
    if addresses.allows_host(host) {
        return Ok(found);
    }
    let allowed: Vec<_> = found.iter().copied().filter(|found| addresses.allows_address(found.ip())).collect();
    match found.first() {
        Some(refused) if allowed.is_empty() => {
            Err(WebError::NotPublic { host: host.to_string(), address: refused.ip() })
        }
        _ => Ok(allowed),
    }
}
