//! Sessions: the only place where one is built, for this process and for a cluster's.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::config::BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK;
use ballista_core::extension::SessionConfigExt;
use ballista_core::optimizer::ballista_default_optimizer_rules;
use ballista_core::registry::BallistaFunctionRegistry;
use datafusion::catalog::{CatalogProviderList, DynamicFileCatalog};
use datafusion::config::ConfigOptions;
use datafusion::dataframe::DataFrame;
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use tamis_udfs::options::TamisOptions;

use crate::cluster::MESSAGE_BYTES;
use crate::error::EngineError;
use crate::known_scores::{self, TamisScores};
use crate::net::Link;
use crate::stand_in;
use crate::statements::{self, CORPUS};
use crate::stores::EnvironmentStores;
use crate::tables::FileTables;

/// Into so many partitions a cluster's queries are cut, where nothing else says into how many: Ballista's own default.
const PARTITIONS: usize = 16;

/// For so long the list of a folder's files is taken for right.
const LISTED_FOR: Duration = Duration::from_secs(1);

/// What a user chooses of a session.
#[derive(Debug, Clone, Default)]
pub struct SessionSettings {
    /// Session options by key, applied in order.
    pub options: Vec<(String, String)>,
    /// The table that a query without FROM reads: a path, a glob or a URL.
    pub corpus: Option<String>,
}

/// A DataFusion session with Tamis' functions, rules, options and tables by file name.
#[derive(Clone)]
pub struct Session {
    context: SessionContext,
    has_corpus: bool,
}

impl Session {
    /// Builds a session that runs its queries in this process, and opens its corpus.
    pub async fn open(settings: &SessionSettings) -> Result<Self, EngineError> {
        stand_in::register(&settings.options)?;
        let config = with_options(base_config(), &settings.options)?;
        let rules = tamis_planner::optimizer_rules(Optimizer::new().rules);
        let parts = Parts { config, runtime: runtime()?, rules, planner: tamis_planner::query_planner(), id: None };
        let context = build(parts)?;
        if let Some(location) = &settings.corpus {
            let refused = |source| EngineError::Corpus { location: location.clone(), source: Box::new(source) };
            let table = FileTables::open(&context.state(), location).await.map_err(refused)?;
            context.register_table(CORPUS, table).map_err(refused)?;
        }
        Ok(Self { context, has_corpus: settings.corpus.is_some() })
    }

    /// The DataFusion session.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The value of a session option.
    pub fn option(&self, key: &str) -> Option<String> {
        let config = self.context.copied_config();
        config.options().entries().into_iter().find(|entry| entry.key == key)?.value
    }

    /// Plans one statement; statements that define or set something take effect at once.
    pub async fn plan(&self, mut statement: Statement) -> Result<DataFrame, EngineError> {
        statements::read_from_corpus(&mut statement, self.has_corpus)?;
        statements::take_samples(&mut statement)?;
        let plan = self.context.state().statement_to_plan(statement).await?;
        Ok(self.context.execute_logical_plan(plan).await?)
    }
}

/// The configuration of the sessions of a cluster: the scheduler's, and what an executor begins a task's with.
pub(crate) fn cluster_config(options: &[(String, String)], link: &Link) -> Result<SessionConfig, EngineError> {
    let config = base_config()
        .upgrade_for_ballista()
        .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES)
        .with_ballista_override_create_grpc_client_endpoint(link.customizer());
    // A task is what is tried again when it fails, and what an executor takes when it is free: one partition of a scan.
    let config = config.set_usize(BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK, 1).with_target_partitions(PARTITIONS);
    with_options(config, options)
}

/// A session whose queries the cluster runs. It plans; nothing is executed in it but statements about the session itself.
pub(crate) fn cluster_session(
    id: &str,
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
    planner: Arc<dyn QueryPlanner + Send + Sync>,
) -> Result<SessionContext, EngineError> {
    let rules = tamis_planner::optimizer_rules(ballista_default_optimizer_rules());
    build(Parts { config, runtime, rules, planner, id: Some(id.into()) })
}

/// What an executor knows of functions: all that a session does.
pub(crate) fn function_registry() -> Result<BallistaFunctionRegistry, EngineError> {
    let (config, planner) = (cluster_config(&[], &Link::default())?, tamis_planner::query_planner());
    Ok((&cluster_session("functions", config, runtime()?, planner)?.state()).into())
}

/// What sessions share: object stores by URL and what is cached of files.
pub(crate) fn runtime() -> Result<Arc<RuntimeEnv>, EngineError> {
    // A query lists a table's files several times; the next one sees files that have come since.
    let caches = CacheManagerConfig::default().with_list_files_cache_ttl(Some(LISTED_FOR));
    let builder = RuntimeEnvBuilder::new()
        .with_cache_manager(caches)
        .with_object_store_registry(Arc::new(EnvironmentStores::default()));
    Ok(builder.build_arc()?)
}

fn with_options(mut config: SessionConfig, options: &[(String, String)]) -> Result<SessionConfig, EngineError> {
    for (key, value) in options {
        set_option(config.options_mut(), key, value)?;
    }
    Ok(config)
}

/// Sets one session option.
fn set_option(options: &mut ConfigOptions, key: &str, value: &str) -> Result<(), EngineError> {
    options.set(key, value).map_err(|source| EngineError::Option {
        key: key.to_string(),
        value: value.to_string(),
        source: Box::new(source),
    })
}

fn base_config() -> SessionConfig {
    let mut config = SessionConfig::new().with_information_schema(true).with_option_extension(TamisOptions::default());
    let options = config.options_mut();
    // Planning errors then carry their place in the SQL text.
    options.sql_parser.collect_spans = true;
    // Views save copies of short strings; images are long, and a plan that travels has no view types.
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    // Images are read only for the rows that cheap predicates keep; `tables` turns it off where rows are light.
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    config
}

/// What a session is built of.
struct Parts {
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
    rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
    planner: Arc<dyn QueryPlanner + Send + Sync>,
    id: Option<String>,
}

fn build(parts: Parts) -> Result<SessionContext, EngineError> {
    let mut builder = SessionStateBuilder::new()
        .with_config(parts.config)
        .with_runtime_env(parts.runtime)
        .with_default_features()
        .with_optimizer_rules(parts.rules)
        .with_query_planner(parts.planner);
    if let Some(id) = parts.id {
        builder = builder.with_session_id(id);
    }
    let tables = Arc::new(FileTables::default());
    let context = SessionContext::new_with_state(builder.build());
    let named: Arc<dyn CatalogProviderList> = Arc::clone(context.state().catalog_list());
    context.register_catalog_list(Arc::new(DynamicFileCatalog::new(named, Arc::clone(&tables) as _)));
    tables.attach(context.state_weak_ref());
    for function in tamis_udfs::functions::all() {
        context.register_udf(function.as_ref().clone());
    }
    context.register_udtf(known_scores::NAME, Arc::new(TamisScores));
    Ok(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &[(&str, &str)]) -> SessionSettings {
        let options = options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        SessionSettings { options, corpus: None }
    }

    #[tokio::test]
    async fn options_reach_the_session() {
        let session = Session::open(&settings(&[("datafusion.execution.batch_size", "7")])).await.unwrap();
        assert_eq!(session.context().copied_config().batch_size(), 7);
    }

    #[tokio::test]
    async fn an_unknown_option_is_named() {
        let error = Session::open(&settings(&[("tamis.no_such", "1")])).await.err().unwrap();
        assert!(error.is_usage() && error.to_string().contains("tamis.no_such"), "{error}");
    }

    #[tokio::test]
    async fn the_functions_are_registered() {
        let session = Session::open(&SessionSettings::default()).await.unwrap();
        assert!(session.context().state().scalar_functions().contains_key("unifilter"));
    }
}
