//! Sessions: the only place where one is built, for this process and for a cluster's.

use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::dataframe::DataFrame;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use tamis_files::tables::{FileTables, MarkTexts};
use tamis_udfs::options::TamisOptions;

use crate::error::EngineError;
use crate::known_scores::{self, TamisScores};
use crate::stand_in;
use crate::statements::{self, CORPUS};

/// What a user chooses of a session.
#[derive(Debug, Clone, Default)]
pub struct SessionSettings {
    /// Session options by key, applied in order.
    pub options: Vec<(String, String)>,
    /// The table that a query without FROM reads: a path, a pattern or a URL.
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
        let context = build(SessionParts {
            config,
            runtime: tamis_files::runtime()?,
            rules: Optimizer::new().rules,
            planner: tamis_planner::query_planner(),
            id: None,
        });
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

/// Sets session options, in order.
pub fn with_options(mut config: SessionConfig, options: &[(String, String)]) -> Result<SessionConfig, EngineError> {
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

/// What every session's configuration begins with.
pub fn base_config() -> SessionConfig {
    let mut config = SessionConfig::new().with_information_schema(true).with_option_extension(TamisOptions::default());
    let options = config.options_mut();
    // Planning errors then carry their place in the SQL text.
    options.sql_parser.collect_spans = true;
    // The best rows come first, not those without a score.
    options.sql_parser.default_null_ordering = "nulls_last".into();
    tamis_files::options(options);
    config
}

/// What a session is built of.
pub struct SessionParts {
    /// Its options; begin with [`base_config`].
    pub config: SessionConfig,
    /// Its object stores and memory; begin with [`tamis_files::runtime`].
    pub runtime: Arc<RuntimeEnv>,
    /// The optimizer's rules, to which those of the planner are added.
    pub rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
    /// What makes a physical plan of a logical one.
    pub planner: Arc<dyn QueryPlanner + Send + Sync>,
    /// Its id, if it has to be a certain one.
    pub id: Option<String>,
}

/// A session with Tamis' functions, rules and tables by file name.
pub fn build(parts: SessionParts) -> SessionContext {
    let mut builder = SessionStateBuilder::new()
        .with_config(parts.config)
        .with_runtime_env(parts.runtime)
        .with_default_features()
        .with_optimizer_rules(tamis_planner::optimizer_rules(parts.rules))
        .with_physical_optimizer_rule(Arc::new(MarkTexts))
        .with_query_planner(parts.planner);
    if let Some(id) = parts.id {
        builder = builder.with_session_id(id);
    }
    let context = SessionContext::new_with_state(builder.build());
    FileTables::install(&context);
    for function in tamis_udfs::functions::all() {
        context.register_udf(function.as_ref().clone());
    }
    context.register_udtf(known_scores::NAME, Arc::new(TamisScores));
    context
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
