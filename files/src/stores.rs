//! Object stores by URL, with credentials from the usual environment variables.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use tamis_udfs::web::Addresses;
use url::Url;

use crate::web_store::WebStore;
pub(crate) use crate::web_store::{location_of, url_of, written_name};

/// Makes the store of a URL when it is first asked for, and keeps it.
///
/// The scheduler and the executors of a cluster meet URLs that no client has registered with them, so the stores cannot
/// be registered ahead. Web servers are asked within a policy of addresses.
#[derive(Debug, Default)]
pub(crate) struct EnvironmentStores {
    made: DefaultObjectStoreRegistry,
    addresses: Addresses,
}

impl EnvironmentStores {
    /// Stores of which web servers are asked within this policy.
    pub(crate) fn within(addresses: Addresses) -> Self {
        Self { made: DefaultObjectStoreRegistry::default(), addresses }
    }
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
        let store = make(url, &self.addresses)?;
        self.made.register_store(url, Arc::clone(&store));
        Ok(store)
    }
}

fn make(url: &Url, addresses: &Addresses) -> Result<Arc<dyn ObjectStore>> {
    let store: Arc<dyn ObjectStore> = match url.scheme() {
        "s3" | "s3a" => Arc::new(AmazonS3Builder::from_env().with_url(url.as_str()).build()?),
        "gs" | "gcs" => Arc::new(GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).build()?),
        "az" | "azure" | "adl" | "abfs" | "abfss" => {
            Arc::new(MicrosoftAzureBuilder::from_env().with_url(url.as_str()).build()?)
        }
        "http" | "https" => Arc::new(WebStore::new(url, addresses.clone())?),
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
