//! A session for this crate's tests: the planner's rules, the functions, tables by file name.

use std::sync::Arc;

use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::Optimizer;
use datafusion::prelude::{SessionConfig, SessionContext};
use tamis_udfs::options::TamisOptions;

use crate::tables::{FileTables, MarkTexts};

pub(crate) fn session(chosen: &[(&str, &str)]) -> SessionContext {
    let mut config = SessionConfig::new().with_option_extension(TamisOptions::default());
    crate::options(config.options_mut());
    for (key, value) in chosen {
        config.options_mut().set(key, value).unwrap();
    }
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(crate::runtime().unwrap())
        .with_default_features()
        .with_optimizer_rules(tamis_planner::optimizer_rules(Optimizer::new().rules))
        .with_physical_optimizer_rule(Arc::new(MarkTexts))
        .with_query_planner(tamis_planner::query_planner())
        .build();
    let context = SessionContext::new_with_state(state);
    FileTables::install(&context);
    for function in tamis_udfs::functions::all() {
        context.register_udf(function.as_ref().clone());
    }
    context
}
