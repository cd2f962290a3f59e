//! Object stores by URL, with credentials from the usual environment variables.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use url::Url;

/// The location of what a web server answers at a URL, in the store of its origin.
pub(crate) fn location_of(url: &Url) -> object_store::path::Path {
    object_store::path::Path::from_url_path(url.path()).unwrap_or_default()
}

/// A location's name as it was written.
pub(crate) fn written_name(location: &object_store::path::Path) -> String {
    location.to_string()
}

/// Makes the store of a URL when it is first asked for, and keeps it.
///
/// The scheduler and the executors of a cluster meet URLs that no client has registered with them, so the stores cannot
/// be registered ahead.
#[derive(Debug, Default)]
pub(crate) struct EnvironmentStores {
    made: DefaultObjectStoreRegistry,
}

impl ObjectStoreRegistry for EnvironmentStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.made.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        self.made.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if let Ok(store) = self.made.get_store(url) {
            return Ok(store);
        }
        let store = make(url)?;
        self.made.register_store(url, Arc::clone(&store));
        Ok(store)
    }
}

fn make(url: &Url) -> Result<Arc<dyn ObjectStore>> {
    let store: Arc<dyn ObjectStore> = match url.scheme() {
        "s3" | "s3a" => Arc::new(AmazonS3Builder::from_env().with_url(url.as_str()).build()?),
        "gs" | "gcs" => Arc::new(GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).build()?),
        "az" | "azure" | "adl" | "abfs" | "abfss" => {
            Arc::new(MicrosoftAzureBuilder::from_env().with_url(url.as_str()).build()?)
        }
        "http" | "https" => {
            // Whoever writes http:// means it; the builder's default refuses it.
            let options = object_store::ClientOptions::new().with_allow_http(true);
            let origin = &url[..url::Position::BeforePath];
            Arc::new(HttpBuilder::new().with_url(origin).with_client_options(options).build()?)
        }
        scheme => {
            let message = format!("{url}: no store for {scheme}://; file, s3, gs, az and http(s) are understood");
            return Err(DataFusionError::Plan(message));
        }
    };
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_made_once() {
        let stores = EnvironmentStores::default();
        let url = Url::parse("http://127.0.0.1:9/data/x.parquet").unwrap();
        let first = stores.get_store(&url).unwrap();
        assert!(Arc::ptr_eq(&first, &stores.get_store(&url).unwrap()));
        let other = Url::parse("http://127.0.0.1:8/data/x.parquet").unwrap();
        assert!(!Arc::ptr_eq(&first, &stores.get_store(&other).unwrap()));
    }

    #[test]
    fn an_unknown_scheme_is_named() {
        let error = EnvironmentStores::default().get_store(&Url::parse("ftp://host/x").unwrap()).unwrap_err();
        assert!(error.to_string().contains("no store for ftp://"), "{error}");
    }
}
