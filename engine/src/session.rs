//! Sessions: the only place where one is built.

use std::sync::Arc;

use datafusion::catalog::{CatalogProviderList, DynamicFileCatalog};
use datafusion::config::ConfigOptions;
use datafusion::dataframe::DataFrame;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::Optimizer;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use tamis_udfs::options::TamisOptions;

use crate::error::EngineError;
use crate::known_scores::{self, TamisScores};
use crate::statements::{self, CORPUS};
use crate::stores::EnvironmentStores;
use crate::tables::FileTables;

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
    /// Builds a session and opens its corpus.
    pub async fn open(settings: &SessionSettings) -> Result<Self, EngineError> {
        let mut config = base_config();
        for (key, value) in &settings.options {
            set_option(config.options_mut(), key, value)?;
        }
        let context = build(config)?;
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
    // Images are read only for the rows that cheap predicates keep.
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    config
}

fn build(config: SessionConfig) -> Result<SessionContext, EngineError> {
    let runtime =
        RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(EnvironmentStores::default())).build_arc()?;
    let builder = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_optimizer_rules(tamis_planner::optimizer_rules(Optimizer::new().rules))
        .with_query_planner(tamis_planner::query_planner());
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

    fn with_options(options: &[(&str, &str)]) -> SessionSettings {
        let options = options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        SessionSettings { options, corpus: None }
    }

    #[tokio::test]
    async fn options_reach_the_session() {
        let session = Session::open(&with_options(&[("datafusion.execution.batch_size", "7")])).await.unwrap();
        assert_eq!(session.context().copied_config().batch_size(), 7);
    }

    #[tokio::test]
    async fn an_unknown_option_is_named() {
        let error = Session::open(&with_options(&[("tamis.no_such", "1")])).await.err().unwrap();
        assert!(error.is_usage() && error.to_string().contains("tamis.no_such"), "{error}");
    }

    #[tokio::test]
    async fn the_functions_are_registered() {
        let session = Session::open(&SessionSettings::default()).await.unwrap();
        assert!(session.context().state().scalar_functions().contains_key("unifilter"));
    }
}
