//! One object store a scheme and host, made at the first file that lies there.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use object_store::ObjectStore;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, parse_url_opts};
use parking_lot::Mutex;
use url::{Position, Url};

use super::FetchError;

type Stores = HashMap<String, Arc<dyn ObjectStore>>;

static STORES: LazyLock<Mutex<Stores>> = LazyLock::new(Mutex::default);

/// A web corpus names many hosts, each store holds a client: beyond so many, start afresh.
const MAX_STORES: usize = 128;

/// Variables of the environment that configure object stores, by prefix.
const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// The store where `url` lies, and its path there. `name` is the URL as the row has it.
pub(super) fn store(name: &str, url: &Url) -> Result<(Arc<dyn ObjectStore>, Path), FetchError> {
    let refused = |source| FetchError::Store { url: name.to_string(), source };
    if matches!(url.scheme(), "http" | "https") && url.query().is_some() {
        return signed_store(url).map_err(refused);
    }
    if url.host_str().is_none() {
        let reason = format!("scheme {:?} without a host", url.scheme());
        return Err(FetchError::Url { url: name.to_string(), reason });
    }
    let (scheme, path) = object_store::ObjectStoreScheme::parse(url)
        .map_err(|e| FetchError::Url { url: name.to_string(), reason: e.to_string() })?;
    let key = match scheme {
        // Some https hosts are object stores whose bucket is the path's first part.
        object_store::ObjectStoreScheme::Http => url[..Position::BeforePath].to_string(),
        _ => format!("{}{}", &url[..Position::BeforePath], bucket(url)),
    };
    if let Some(store) = STORES.lock().get(&key) {
        return Ok((store.clone(), path));
    }
    let store: Arc<dyn ObjectStore> = Arc::from(parse_url_opts(url, options(url)).map_err(refused)?.0);
    let mut stores = STORES.lock();
    if stores.len() >= MAX_STORES {
        stores.clear();
    }
    Ok((stores.entry(key).or_insert(store).clone(), path))
}

/// The part of an https object-store URL's path that belongs to the store.
fn bucket(url: &Url) -> &str {
    match url.scheme() {
        "https" => url.path_segments().and_then(|mut parts| parts.next()).unwrap_or_default(),
        _ => "",
    }
}

/// A store for one URL with a query (signed, or a resizing server's): the query belongs to every request of the store.
fn signed_store(url: &Url) -> object_store::Result<(Arc<dyn ObjectStore>, Path)> {
    let mut origin = url.clone();
    origin.set_path("");
    origin.set_fragment(None);
    let client = ClientOptions::new().with_allow_http(true);
    let store = HttpBuilder::new().with_url(origin.to_string()).with_client_options(client).build()?;
    Ok((Arc::new(store), Path::from_url_path(url.path())?))
}

fn options(url: &Url) -> Vec<(String, String)> {
    let mut options: Vec<_> = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(key, _)| PREFIXES.iter().any(|prefix| key.starts_with(prefix)))
        .collect();
    if url.scheme() == "http" {
        options.push(("allow_http".to_string(), "true".to_string()));
    }
    options
}
