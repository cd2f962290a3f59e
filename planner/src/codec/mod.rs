//! Plans on the wire: what our nodes are to the processes of a cluster.

mod fetch;
mod score;

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::{internal_datafusion_err, not_impl_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::proto_decode::PhysicalExprDecodeCtx;
use datafusion::physical_expr_common::physical_expr::proto_encode::PhysicalExprEncodeCtx;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::{PhysicalExprNode, PhysicalPlanNode};
use prost::Message;

pub use fetch::{FetchNodes, RowReaderCodec};
pub use score::ScoreNodes;

/// What every encoded node begins with: no protobuf message of others does.
const MAGIC: &[u8] = b"\0tamis\0";

/// Encodes and decodes the plan nodes of one kind.
pub trait NodeCodec: Debug + Send + Sync {
    /// The kind's name on the wire.
    fn kind(&self) -> &'static str;

    /// The node's own part of the message; `None` if it is of another kind.
    fn encode(&self, node: &Arc<dyn ExecutionPlan>, wire: &Encoder<'_>) -> Result<Option<Vec<u8>>>;

    /// The node that was encoded so, over its inputs.
    fn decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        wire: &Decoder<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>>;
}

/// A node as it travels, behind [`MAGIC`].
#[derive(Clone, PartialEq, Message)]
struct NodeMessage {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(bytes = "vec", tag = "2")]
    node: Vec<u8>,
}

/// Some kinds of plan nodes of ours; all else is left to the codec below.
#[derive(Debug)]
pub struct PlanCodec {
    kinds: Vec<Arc<dyn NodeCodec>>,
    below: Arc<dyn PhysicalExtensionCodec>,
}

impl PlanCodec {
    /// A codec of these kinds over `below`.
    pub fn new(kinds: Vec<Arc<dyn NodeCodec>>, below: Arc<dyn PhysicalExtensionCodec>) -> Self {
        Self { kinds, below }
    }
}

/// Encodes what stands inside a node.
#[derive(Clone, Copy)]
pub struct Encoder<'a> {
    codec: &'a dyn PhysicalExtensionCodec,
    converter: &'a dyn PhysicalProtoConverterExtension,
}

impl Encoder<'_> {
    /// An expression.
    pub fn expr(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<PhysicalExprNode> {
        self.converter.physical_expr_to_proto(expr, self.codec)
    }

    /// A plan that stands inside a node, not below it.
    pub fn plan(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<PhysicalPlanNode> {
        self.converter.execution_plan_to_proto(plan, self.codec)
    }
}

/// Decodes what stands inside a node.
#[derive(Clone, Copy)]
pub struct Decoder<'a> {
    context: &'a TaskContext,
    codec: &'a dyn PhysicalExtensionCodec,
    converter: &'a dyn PhysicalProtoConverterExtension,
}

impl Decoder<'_> {
    /// The context of the process that decodes.
    pub fn context(&self) -> &TaskContext {
        self.context
    }

    /// An expression over `schema`.
    pub fn expr(&self, expr: &PhysicalExprNode, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
        let context = PhysicalPlanDecodeContext::new(self.context, self.codec);
        self.converter.proto_to_physical_expr(expr, schema, &context)
    }

    /// A plan that stands inside a node, not below it.
    pub fn plan(&self, plan: &PhysicalPlanNode) -> Result<Arc<dyn ExecutionPlan>> {
        let context = PhysicalPlanDecodeContext::new(self.context, self.codec);
        self.converter.proto_to_execution_plan(plan, &context)
    }
}

/// Decodes the message of a node of `kind`.
pub fn decode_message<M: Message + Default>(kind: &str, bytes: &[u8]) -> Result<M> {
    M::decode(bytes).map_err(|e| internal_datafusion_err!("decoding a plan node of kind {kind}: {e}"))
}

impl PhysicalExtensionCodec for PlanCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(ours) = bytes.strip_prefix(MAGIC) else {
            return self.below.try_decode(bytes, inputs, context, converter);
        };
        let NodeMessage { kind, node } = decode_message("any", ours)?;
        let Some(codec) = self.kinds.iter().find(|codec| codec.kind() == kind) else {
            return not_impl_err!(
                "decoding a plan node of kind {kind}: this process does not know it; \
                 run the same version of tamis in all processes of the cluster"
            );
        };
        codec.decode(&node, inputs, &Decoder { context, codec: self, converter })
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let wire = Encoder { codec: self, converter };
        for codec in &self.kinds {
            if let Some(bytes) = codec.encode(&node, &wire)? {
                let message = NodeMessage { kind: codec.kind().into(), node: bytes };
                buf.extend_from_slice(MAGIC);
                buf.extend_from_slice(&message.encode_to_vec());
                return Ok(());
            }
        }
        self.below.try_encode(node, buf, converter)
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.below.try_decode_udf(name, buf)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.below.try_encode_udf(node, buf)
    }

    fn try_decode_higher_order_function(&self, name: &str, buf: &[u8]) -> Result<Arc<HigherOrderUDF>> {
        self.below.try_decode_higher_order_function(name, buf)
    }

    fn try_encode_higher_order_function(&self, node: &HigherOrderUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.below.try_encode_higher_order_function(node, buf)
    }

    fn try_decode_expr(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn PhysicalExpr>],
        context: &PhysicalExprDecodeCtx<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        self.below.try_decode_expr(buf, inputs, context)
    }

    fn try_encode_expr(
        &self,
        node: &Arc<dyn PhysicalExpr>,
        buf: &mut Vec<u8>,
        context: &PhysicalExprEncodeCtx<'_>,
    ) -> Result<()> {
        self.below.try_encode_expr(node, buf, context)
    }

    fn try_decode_udaf(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.below.try_decode_udaf(name, buf)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.below.try_encode_udaf(node, buf)
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.below.try_decode_udwf(name, buf)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.below.try_encode_udwf(node, buf)
    }
}
