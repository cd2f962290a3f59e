//! Plans that several rules' tests begin with.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, col, table_scan};
use datafusion::prelude::{SessionConfig, SessionContext};
use tamis_udfs::options::TamisOptions;

use crate::{ModelCall, ScoreColumns, ScoreNode};

/// A scan of `t`: width, image, text.
pub(super) fn scan() -> LogicalPlan {
    let schema = Schema::new(vec![
        Field::new("width", DataType::Int32, false),
        Field::new("image", DataType::Binary, true),
        Field::new("text", DataType::Utf8, true),
    ]);
    table_scan(Some("t"), &schema, None).unwrap().build().unwrap()
}

/// [`scan`] under a score node with both columns, `__q` and `__e`.
pub(super) fn scored() -> LogicalPlanBuilder {
    let call = ModelCall { family: "unifilter".into(), model: None, args: vec![col("t.image"), col("t.text")] };
    let columns = ScoreColumns { score: "__q".into(), error: Some("__e".into()) };
    LogicalPlanBuilder::from(ScoreNode::try_new(scan(), call, columns).unwrap().into_plan())
}

/// A session with our functions, without our rules, and with the empty tables `t`, `u` and `k`: id, width, image, text.
pub(super) fn session() -> SessionContext {
    let config = SessionConfig::new().with_option_extension(TamisOptions::default());
    let state = SessionStateBuilder::new().with_default_features().with_config(config).build();
    let context = SessionContext::new_with_state(state);
    for function in tamis_udfs::functions::all() {
        context.register_udf(function.as_ref().clone());
    }
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("width", DataType::Int32, false),
        Field::new("image", DataType::Binary, true),
        Field::new("text", DataType::Utf8, true),
    ]));
    for name in ["t", "u", "k"] {
        let table = MemTable::try_new(Arc::clone(&schema), vec![vec![]]).unwrap();
        context.register_table(name, Arc::new(table)).unwrap();
    }
    context
}

/// The plan of `sql` after DataFusion's analysis, before any rule.
pub(super) async fn analyzed(context: &SessionContext, sql: &str) -> LogicalPlan {
    let state = context.state();
    let plan = state.create_logical_plan(sql).await.unwrap();
    state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).unwrap()
}
