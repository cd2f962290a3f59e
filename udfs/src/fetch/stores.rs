//! One object store a scheme and host, made at the first file that lies there.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme, parse_url_opts};
use parking_lot::Mutex;
use url::{Position, Url};

use super::FetchError;

type Stores = HashMap<String, Arc<dyn ObjectStore>>;

static STORES: LazyLock<Mutex<Stores>> = LazyLock::new(Mutex::default);

/// Each store holds a client: beyond so many, start afresh.
const MAX_STORES: usize = 128;

/// Variables of the environment that configure object stores, by prefix.
const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// The store where `url` lies, and its path there. `name` is the URL as the row has it.
pub(super) fn store(name: &str, url: &Url) -> Result<(Arc<dyn ObjectStore>, Path), FetchError> {
    let refused = |reason: String| FetchError::Url { url: name.to_string(), reason };
    if url.host_str().is_none() {
        return Err(refused(format!("scheme {:?} without a host", url.scheme())));
    }
    let (_, path) = ObjectStoreScheme::parse(url).map_err(|e| refused(e.to_string()))?;
    let key = url[..Position::BeforePath].to_string();
    if let Some(store) = STORES.lock().get(&key) {
        return Ok((store.clone(), path));
    }
    let made = parse_url_opts(url, options()).map_err(|source| FetchError::Store { url: name.to_string(), source })?;
    let mut stores = STORES.lock();
    if stores.len() >= MAX_STORES {
        stores.clear();
    }
    Ok((stores.entry(key).or_insert(Arc::from(made.0)).clone(), path))
}

fn options() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(key, _)| PREFIXES.iter().any(|prefix| key.starts_with(prefix)))
        .collect()
}
