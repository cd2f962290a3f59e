//! Tables by file name: `FROM 'data/*.parquet'`.

mod addressed;
mod allowed;
mod bounded;
pub mod codec;
mod format;
mod guarded;
mod location;
mod row_reader;
mod spread;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use datafusion::catalog::{CatalogProviderList, DynamicFileCatalog, TableProvider, UrlTableFactory};
use datafusion::common::plan_datafusion_err;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::SessionState;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::ObjectMeta;
use parking_lot::RwLock;
use tamis_planner::RowTable;
use tamis_udfs::reach;

pub use allowed::check_scans;
use allowed::may_read_all;
use bounded::{BoundedTable, Bounds, can_stream_all};
use format::FileKind;
use location::TableLocation;
pub use location::looks_like_a_file;
pub use spread::{Spread, spread};

/// Makes a table of a name that is a path, a glob or a URL.
#[derive(Debug, Default)]
pub struct FileTables {
    session: RwLock<Weak<RwLock<SessionState>>>,
}

impl FileTables {
    /// Makes the files that a session's queries name tables of it.
    pub fn install(context: &SessionContext) {
        let tables = Arc::new(Self::default());
        let named: Arc<dyn CatalogProviderList> = Arc::clone(context.state().catalog_list());
        context.register_catalog_list(Arc::new(DynamicFileCatalog::new(named, Arc::clone(&tables) as _)));
        // The session owns the catalog that holds this object, so the reference back is weak and set afterwards.
        *tables.session.write() = context.state_weak_ref();
    }

    /// The table of one path, glob or URL.
    pub async fn open(state: &SessionState, name: &str) -> Result<Arc<dyn TableProvider>> {
        Self::open_within(state, name, Bounds::default()).await
    }

    async fn open_within(state: &SessionState, name: &str, bounds: Bounds) -> Result<Arc<dyn TableProvider>> {
        reach::of(state.config()).may_read(name)?;
        let location = TableLocation::parse(name)?;
        let store = state.runtime_env().object_store(location.url())?;
        let files: Vec<ObjectMeta> = location
            .url()
            .list_all_files(state, store.as_ref(), "")
            .await
            .map_err(|e| explain_listing(name, e))?
            .try_collect()
            .await
            .map_err(|e| explain_listing(name, e))?;
        may_read_all(&reach::of(state.config()), location.url(), &files)?;
        let kind = kind_of(name, &location, &files)?;

        let options = ListingOptions::new(kind.format(state)?).with_file_extension(kind.extension());
        let config = ListingTableConfig::new(location.into_url())
            .with_listing_options(options)
            .infer_partitions_from_path(state)
            .await?
            .infer_schema(state)
            .await
            .map_err(|e| e.context(format!("reading the schema of {name}")))?;
        let statistics = state.runtime_env().cache_manager.get_file_statistic_cache();
        let table = BoundedTable { inner: ListingTable::try_new(config)?.with_cache(statistics), bounds };
        // A file that cannot be read as a stream cannot be read by row.
        let is_data = |file: &ObjectMeta| file.size > 0 && FileKind::of(file.location.as_ref()).as_ref() == Some(&kind);
        let files = files.into_iter().filter(is_data).collect();
        if kind.is_parquet() && can_stream_all(state, &store, files).await? {
            return Ok(Arc::new(RowTable::new(Arc::new(table))));
        }
        Ok(Arc::new(table))
    }
}

fn open_named(
    session: Option<Arc<RwLock<SessionState>>>,
    name: &str,
) -> BoxFuture<'_, Result<Option<Arc<dyn TableProvider>>>> {
    Box::pin(async move {
        let Some(session) = session else { return Ok(None) };
        if !location::looks_like_a_file(name) {
            return Ok(None);
        }
        let state = session.read().clone();
        // Whether there is such a file is not told to who may not read it.
        if !location::is_written_as_a_file(name) && reach::of(state.config()).may_read(name).is_err() {
            return Ok(None);
        }
        FileTables::open(&state, name).await.map(Some)
    })
}

// As `async_trait` has it, but for what its futures hold: nothing that leads to a plan (docs/adr/0012).
impl UrlTableFactory for FileTables {
    fn try_new<'a, 'b, 'f>(&'a self, name: &'b str) -> BoxFuture<'f, Result<Option<Arc<dyn TableProvider>>>>
    where
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        open_named(self.session.read().upgrade(), name)
    }
}

fn explain_listing(name: &str, error: DataFusionError) -> DataFusionError {
    match error.find_root() {
        DataFusionError::ObjectStore(e) if matches!(e.as_ref(), object_store::Error::NotFound { .. }) => no_such(name),
        _ => error,
    }
}

fn no_such(name: &str) -> DataFusionError {
    plan_datafusion_err!("no such file or folder: {name}")
}

/// The kind that all files of the table have.
fn kind_of(name: &str, location: &TableLocation, files: &[ObjectMeta]) -> Result<FileKind> {
    let (Some(first), false) = (files.first(), files.is_empty()) else {
        return Err(if location.is_glob() {
            plan_datafusion_err!("no file matches {name}")
        } else if location.url().is_folder() {
            plan_datafusion_err!("{name} is an empty folder")
        } else {
            no_such(name)
        });
    };
    let kinds: Vec<(FileKind, &ObjectMeta)> =
        files.iter().filter_map(|file| Some((FileKind::of(file.location.as_ref())?, file))).collect();
    let Some((kind, example)) = kinds.first() else {
        return Err(plan_datafusion_err!(
            "cannot tell the format of {}; the extension must be one of {}",
            first.location,
            format::KNOWN
        ));
    };
    // A README beside the data of a folder is left out; a glob means every file that it matches.
    if location.is_glob() && kinds.len() < files.len() {
        let stranger = files.iter().find(|file| FileKind::of(file.location.as_ref()).is_none());
        let stranger = stranger.map(|file| file.location.to_string()).unwrap_or_default();
        return Err(plan_datafusion_err!(
            "{name} matches {stranger}, which is not a table; the extension must be one of {}",
            format::KNOWN
        ));
    }
    if let Some((_, other)) = kinds.iter().find(|(other, _)| other != kind) {
        return Err(plan_datafusion_err!(
            "{name} holds files of different formats, such as {} and {}; name one format with a glob",
            example.location,
            other.location
        ));
    }
    Ok(kind.clone())
}
