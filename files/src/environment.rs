//! What a session needs to read files.

use std::sync::Arc;
use std::time::Duration;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};

use tamis_udfs::web::Addresses;

use crate::stores::EnvironmentStores;

/// For so long the list of a folder's files is taken for right.
const LISTED_FOR: Duration = Duration::from_secs(1);

/// Sets the options that reading files rests on.
pub fn options(options: &mut ConfigOptions) {
    // Views save copies of short strings; images are long, and a plan that travels has no view types.
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    // Images are read only for the rows that cheap predicates keep; `tables` turns it off where rows are light.
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
}

/// What sessions share: object stores by URL and what is cached of files.
pub fn runtime() -> Result<Arc<RuntimeEnv>> {
    // A query lists a table's files several times; the next one sees files that have come since.
    let caches = CacheManagerConfig::default().with_list_files_cache_ttl(Some(LISTED_FOR));
    let builder = RuntimeEnvBuilder::new()
        .with_cache_manager(caches)
        .with_object_store_registry(Arc::new(EnvironmentStores::default()));
    builder.build_arc()
}

/// The same as another, but that it asks web servers within a policy of addresses alone.
pub fn runtime_within(runtime: &RuntimeEnv, addresses: Addresses) -> Result<Arc<RuntimeEnv>> {
    let stores = Arc::new(EnvironmentStores::within(addresses));
    RuntimeEnvBuilder::from_runtime_env(runtime).with_object_store_registry(stores).build_arc()
}
