//! Plans as bytes: what Ballista's types are made for here.
//!
//! Its scheduler and executors are generic over the messages that plans travel as. DataFusion's own messages name every plan
//! node and expression, in a circle; to see that a future with one of them may move between threads takes the compiler
//! minutes. Here a message is its bytes.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::{AsLogicalPlan, LogicalExtensionCodec};
use datafusion_proto::physical_plan::{
    AsExecutionPlan, DeduplicatingProtoConverter, PhysicalExtensionCodec, PhysicalPlanNodeExt,
};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};

/// A logical plan, encoded.
#[derive(Debug, Clone)]
pub(crate) struct LogicalBytes(Bytes);

/// A physical plan, encoded.
#[derive(Debug, Clone)]
pub(crate) struct PhysicalBytes(Bytes);

impl AsLogicalPlan for LogicalBytes {
    fn try_decode(bytes: &[u8]) -> Result<Self> {
        Ok(Self(Bytes::copy_from_slice(bytes)))
    }

    fn try_encode<B: BufMut>(&self, buf: &mut B) -> Result<()> {
        buf.put_slice(&self.0);
        Ok(())
    }

    fn try_into_logical_plan(&self, context: &TaskContext, codec: &dyn LogicalExtensionCodec) -> Result<LogicalPlan> {
        <LogicalPlanNode as AsLogicalPlan>::try_decode(&self.0)?.try_into_logical_plan(context, codec)
    }

    fn try_from_logical_plan(plan: &LogicalPlan, codec: &dyn LogicalExtensionCodec) -> Result<Self> {
        let mut bytes = BytesMut::new();
        LogicalPlanNode::try_from_logical_plan(plan, codec)?.try_encode(&mut bytes)?;
        Ok(Self(bytes.freeze()))
    }
}

impl AsExecutionPlan for PhysicalBytes {
    fn try_decode(bytes: &[u8]) -> Result<Self> {
        Ok(Self(Bytes::copy_from_slice(bytes)))
    }

    fn try_encode<B: BufMut>(&self, buf: &mut B) -> Result<()> {
        buf.put_slice(&self.0);
        Ok(())
    }

    fn try_into_physical_plan(
        &self,
        context: &TaskContext,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Filters that grow while a task runs are one with what makes them grow.
        let node = <PhysicalPlanNode as AsExecutionPlan>::try_decode(&self.0)?;
        node.try_into_physical_plan_with_converter(context, codec, &DeduplicatingProtoConverter {})
    }

    fn try_from_physical_plan(plan: Arc<dyn ExecutionPlan>, codec: &dyn PhysicalExtensionCodec) -> Result<Self> {
        let mut bytes = BytesMut::new();
        PhysicalPlanNode::try_from_physical_plan(plan, codec)?.try_encode(&mut bytes)?;
        Ok(Self(bytes.freeze()))
    }
}
