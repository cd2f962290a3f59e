//! The columns of a table's files.

mod unify;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::datasource::physical_plan::parquet::transform_binary_to_string;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::file::metadata::ParquetMetaData;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};
use tamis_udfs::options::TamisOptions;

use super::listing::Listed;
use super::metadata::fetch_metadata;
use super::named::{file_name, in_file};
use super::sequential::{Form, Inference, infer};
pub(super) use unify::{presented, unify, wider};

/// The columns that the files have, in types that hold the values of all.
pub(super) async fn columns_of(
    session: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    url: &ObjectStoreUrl,
    listed: &Listed,
    form: Option<&Form>,
) -> Result<Schema> {
    let Some(form) = form else { return parquet(session, store, url, listed).await };
    let sample = TamisOptions::from_config(session.config_options()).sample_bytes();
    let inference = Inference { store: Arc::clone(store), url: url.clone(), sample };
    infer(&inference, &listed.files, form).await
}

async fn parquet(
    session: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    url: &ObjectStoreUrl,
    listed: &Listed,
) -> Result<Schema> {
    let cache = session.runtime_env().cache_manager.get_file_metadata_cache();
    let options = session.config_options();
    let is_text = options.execution.parquet.binary_as_string;
    let side_by_side = options.execution.meta_fetch_concurrency.get();
    let files: Vec<ObjectMeta> = listed.files.to_vec();
    let schemas = files.into_iter().map(|file| {
        let (store, cache) = (Arc::clone(store), Arc::clone(&cache));
        let name = file_name(url, &file.location);
        async move {
            let metadata = fetch_metadata(store.as_ref(), &file, &cache).await;
            let schema = metadata.and_then(|metadata| schema_of(&metadata)).map_err(|e| in_file(&name, e))?;
            let schema = if is_text { Arc::new(transform_binary_to_string(&schema)) } else { schema };
            Ok::<_, DataFusionError>((name, schema))
        }
        .boxed()
    });
    let schemas: Vec<(String, SchemaRef)> = stream::iter(schemas).buffered(side_by_side).try_collect().await?;
    unify(schemas.iter().map(|(name, schema)| (name.as_str(), Arc::clone(schema))))
}

fn schema_of(metadata: &ParquetMetaData) -> Result<SchemaRef> {
    let file = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())?;
    // What a writer notes of its file is no property of the table.
    Ok(Arc::new(schema.with_metadata(HashMap::new())))
}
