//! The tables and the sessions of a scheduler.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use ballista_core::extension::SessionConfigExt;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::future::BoxFuture;
use parking_lot::RwLock;
use tamis_engine::EngineError;
use tamis_files::tables::FileTables;
use tamis_planner::ScoreQueryPlanner;
use tamis_udfs::options::TamisOptions;
use tamis_udfs::reach::{self, Place, Reach};

use super::slots::Slots;
use crate::opaque::Opaque;
use crate::session::{self, Runtimes};

/// What every session of a scheduler begins with.
#[derive(Debug)]
pub(crate) struct Catalog {
    tables: BTreeMap<String, String>,
    config: SessionConfig,
    runtimes: Runtimes,
    slots: Slots,
}

impl Catalog {
    pub(crate) fn new(
        tables: impl IntoIterator<Item = (String, String)>,
        config: SessionConfig,
        runtime: Arc<RuntimeEnv>,
    ) -> Self {
        let runtimes = Runtimes::new(runtime);
        Self { tables: tables.into_iter().collect(), config, runtimes, slots: Slots::default() }
    }

    /// How many slots the cluster has, to be noted by who knows.
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The configuration of a new session.
    pub(crate) fn config(&self) -> SessionConfig {
        self.config.clone()
    }

    /// The configuration of a new session that may reach so much.
    pub(crate) fn config_for(&self, reach: &Reach) -> SessionConfig {
        let mut config = self.config.clone();
        reach::set(&mut config, self.with_own_model(reach));
        config
    }

    /// The same and the default model of this server's configuration.
    fn with_own_model(&self, reach: &Reach) -> Reach {
        reach.with_model(&TamisOptions::from_config(self.config.options()).unifilter_model())
    }

    /// The configuration of the tasks of a session that may reach so much: what its tables' names stand for, tasks read.
    pub(crate) fn config_of_tasks(&self, mut config: SessionConfig, reach: &Reach) -> SessionConfig {
        reach::set(&mut config, self.with_own_model(reach).with_tables(self.places()));
        config
    }

    /// Where the tables lie that the configuration names.
    fn places(&self) -> impl Iterator<Item = Place> {
        self.tables.values().filter_map(|location| Place::of_table(location))
    }

    /// Whether there is a table of this name.
    pub(crate) fn has_table(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }

    /// A session of this id.
    pub(crate) fn session(&self, id: &str, config: SessionConfig) -> Result<SessionContext, EngineError> {
        let reach = reach::of(&config).with_tables(self.places());
        let context = session::cluster_session(
            id,
            config,
            self.runtimes.within(&reach)?,
            // Models are the executors' business: that there is one of a name is not looked at here.
            Arc::new(ScoreQueryPlanner::unchecked()),
        );
        let state = context.state_weak_ref();
        let options = context.copied_config().options().catalog.clone();
        let named = NamedTables {
            named: self.tables.clone(),
            others: MemorySchemaProvider::new(),
            session: Opaque::new(state),
        };
        if let Some(catalog) = context.catalog(&options.default_catalog) {
            catalog.register_schema(&options.default_schema, Arc::new(named))?;
        }
        Ok(context)
    }

    /// The state of a session that Ballista itself opens.
    pub(crate) fn state(&self, config: SessionConfig) -> Result<SessionState> {
        let config = config.upgrade_for_ballista();
        let context = self.session("ballista", config).map_err(|e| DataFusionError::External(Box::new(e)))?;
        Ok(context.state())
    }
}

/// Tables that the configuration names, opened when they are first asked for, and those that the session makes.
#[derive(Debug)]
struct NamedTables {
    named: BTreeMap<String, String>,
    others: MemorySchemaProvider,
    /// The session that has this among its catalogs.
    session: Opaque<Weak<RwLock<SessionState>>>,
}

/// Opens the table of files at a location, in a session as it is now. The configuration has named it: whoever may use the server may
/// read it.
fn open(session: Arc<RwLock<SessionState>>, location: String) -> BoxFuture<'static, Result<Arc<dyn TableProvider>>> {
    Box::pin(async move {
        let mut state = session.read().clone();
        reach::set(state.config_mut(), Reach::everything());
        FileTables::open(&state, &location).await
    })
}

#[async_trait]
impl SchemaProvider for NamedTables {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.others.table_names();
        names.extend(self.named.keys().filter(|name| !self.others.table_exist(name)).cloned());
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(table) = self.others.table(name).await? {
            return Ok(Some(table));
        }
        let (Some(location), Some(session)) = (self.named.get(name), self.session.upgrade()) else { return Ok(None) };
        let opened = open(session, location.clone()).await;
        opened.map(Some).map_err(|e| e.context(format!("opening the table {name}")))
    }

    fn register_table(&self, name: String, table: Arc<dyn TableProvider>) -> Result<Option<Arc<dyn TableProvider>>> {
        self.others.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.others.deregister_table(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.named.contains_key(name) || self.others.table_exist(name)
    }
}
