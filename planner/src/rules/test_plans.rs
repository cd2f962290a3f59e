//! Plans that several rules' tests begin with.

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, col, table_scan};

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
