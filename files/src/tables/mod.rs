//! Tables of files: `FROM 'data/*.parquet'`, `CREATE EXTERNAL TABLE`.
//!
//! A name says where files lie ([`location`]); [`listing`] lists them, [`schema`] finds the columns that hold the values of all,
//! [`partitions`] those that folders name. [`table`] scans them: Parquet by DataFusion's reader or, where rows are large, by
//! our own ([`stream`]), all else from beginning to end ([`sequential`]).

mod addressed;
mod allowed;
mod bounded;
pub mod codec;
mod factory;
mod format;
mod guarded;
mod listing;
mod location;
mod mark_texts;
mod metadata;
mod named;
mod not_utf8;
mod opened;
mod partitions;
mod row_reader;
mod schema;
mod sequential;
mod spread;
mod stream;
mod table;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use datafusion::catalog::{CatalogProviderList, DynamicFileCatalog, Session, TableProvider, UrlTableFactory};
use datafusion::error::Result;
use datafusion::execution::context::SessionState;
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;
use parking_lot::RwLock;
use tamis_planner::RowTable;
use tamis_udfs::reach;

pub use allowed::check_scans;
use bounded::{BoundedTable, Bounds, can_stream_all};
use location::TableLocation;
pub use location::looks_like_a_file;
pub use mark_texts::MarkTexts;
pub use spread::{Spread, spread};
use table::{Declared, FilesTable};

/// Makes a table of a name that is a path, a pattern or a URL.
#[derive(Debug, Default)]
pub struct FileTables {
    session: RwLock<Weak<RwLock<SessionState>>>,
}

impl FileTables {
    /// Makes the files that a session's queries name tables of it, and those that its statements declare.
    pub fn install(context: &SessionContext) {
        let tables = Arc::new(Self::default());
        let named: Arc<dyn CatalogProviderList> = Arc::clone(context.state().catalog_list());
        context.register_catalog_list(Arc::new(DynamicFileCatalog::new(named, Arc::clone(&tables) as _)));
        let state = context.state_ref();
        let declared = Arc::new(factory::DeclaredTables);
        for format in factory::FORMATS {
            state.write().table_factories_mut().insert(format.into(), Arc::clone(&declared) as _);
        }
        // The session owns the catalog that holds this object, so the reference back is weak and set afterwards.
        *tables.session.write() = context.state_weak_ref();
    }

    /// The table of one path, pattern or URL.
    pub async fn open(state: &SessionState, name: &str) -> Result<Arc<dyn TableProvider>> {
        Self::open_within(state, name, Bounds::default()).await
    }

    async fn open_within(session: &dyn Session, name: &str, bounds: Bounds) -> Result<Arc<dyn TableProvider>> {
        let table = FilesTable::open(session, TableLocation::parse(name)?, Declared::default()).await?;
        Self::table(session, table, bounds).await
    }

    /// The table as a session has it: one that can read rows by number tells so.
    async fn table(session: &dyn Session, table: FilesTable, bounds: Bounds) -> Result<Arc<dyn TableProvider>> {
        let store = session.runtime_env().object_store(table.store())?;
        // A file that cannot be read as a stream cannot be read by row.
        let has_rows = table.is_parquet()
            && match table.files(session).await {
                Ok(files) => can_stream_all(session, &store, files.to_vec()).await?,
                Err(_) => false,
            };
        let table = Arc::new(BoundedTable { inner: table, bounds });
        Ok(if has_rows { Arc::new(RowTable::new(table)) } else { table })
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
