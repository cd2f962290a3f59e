//! Plans made ready to travel.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion_proto::physical_plan::to_proto::serialize_physical_expr_with_converter;
use datafusion_proto::physical_plan::{
    AsExecutionPlan, PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalPlanNodeExt,
    PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::{PhysicalExprNode, PhysicalPlanNode};

/// The plan as an executor will read it. What it shares with the rest of the query is replaced by what that has come to: subqueries
/// by their values, filters that grow while the query runs by what they are now.
pub(crate) fn settle(
    plan: &Arc<dyn ExecutionPlan>,
    codec: &dyn PhysicalExtensionCodec,
    context: &TaskContext,
) -> Result<Arc<dyn ExecutionPlan>> {
    let settled = Settling.execution_plan_to_proto(plan, codec)?;
    settled.try_into_physical_plan(context, codec)
}

/// Encodes expressions of this process as what they stand for.
struct Settling;

impl PhysicalProtoConverterExtension for Settling {
    fn execution_plan_to_proto(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalPlanNode> {
        PhysicalPlanNode::try_from_physical_plan_with_converter(Arc::clone(plan), codec, self)
    }

    fn physical_expr_to_proto(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalExprNode> {
        if !expr.is::<ScalarSubqueryExpr>() {
            return serialize_physical_expr_with_converter(expr, codec, self);
        }
        let ColumnarValue::Scalar(value) = expr.evaluate(&RecordBatch::new_empty(Arc::new(Schema::empty())))? else {
            return internal_err!("a scalar subquery has a value for each row");
        };
        let literal: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(value));
        serialize_physical_expr_with_converter(&literal, codec, self)
    }

    fn proto_to_execution_plan(
        &self,
        _: &PhysicalPlanNode,
        _: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("this converter only encodes")
    }

    fn proto_to_physical_expr(
        &self,
        _: &PhysicalExprNode,
        _: &Schema,
        _: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        internal_err!("this converter only encodes")
    }
}
