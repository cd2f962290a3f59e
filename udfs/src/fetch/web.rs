//! Images behind http and https URLs.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use http::{HeaderMap, Method};
use parking_lot::Mutex;
use url::Url;

use super::{MAX_BYTES, collect};
use crate::web::{Addresses, Client, WebError, retried};

static CLIENTS: LazyLock<Mutex<HashMap<Addresses, Client>>> = LazyLock::new(Mutex::default);

/// A process has few policies, each client holds connections: beyond so many, start afresh.
const MAX_CLIENTS: usize = 16;

/// The pauses before further attempts. Corpora name many servers that are gone: a row does not wait for one for long.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(1_000)];

/// The client of a policy, made when it is first asked for.
pub(super) fn client(addresses: &Addresses) -> Result<Client, WebError> {
    let mut clients = CLIENTS.lock();
    if let Some(client) = clients.get(addresses) {
        return Ok(client.clone());
    }
    let client = Client::new(addresses.clone())?;
    if clients.len() >= MAX_CLIENTS {
        clients.clear();
    }
    clients.insert(addresses.clone(), client.clone());
    Ok(client)
}

/// The file's first bytes, at most `head`; `None` if it is too large.
pub(super) async fn read(client: &Client, url: &Url, head: Option<u64>) -> Result<Option<Vec<u8>>, WebError> {
    retried(&PAUSES, || async {
        let answer = client.send(Method::GET, url, &HeaderMap::new()).await?;
        if head.is_none() && answer.length().is_some_and(|length| length > MAX_BYTES) {
            return Ok(None);
        }
        collect(answer.decoded()?, head).await
    })
    .await
}
