//! Score nodes on the wire.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use arrow::datatypes::Schema;
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::protobuf::PhysicalExprNode;
use parking_lot::Mutex;
use prost::Message;
use tamis_udfs::runtime::QueryScores;

use super::{Decoder, Encoder, NodeCodec, decode_message};
use crate::{ModelCall, ScoreColumns, ScoreExec, ScoreSettings, Sieve};

/// Encodes and decodes [`ScoreExec`]. The nodes of one query that one process decodes share their scores, as they do where
/// they were planned.
#[derive(Debug, Default)]
pub struct ScoreNodes {
    queries: Mutex<HashMap<u64, Weak<QueryScores>>>,
}

#[derive(Clone, PartialEq, Message)]
struct ScoreMessage {
    #[prost(string, tag = "1")]
    family: String,
    #[prost(string, optional, tag = "2")]
    model: Option<String>,
    #[prost(message, repeated, tag = "3")]
    args: Vec<PhysicalExprNode>,
    #[prost(message, optional, tag = "4")]
    when: Option<PhysicalExprNode>,
    #[prost(string, tag = "5")]
    score: String,
    #[prost(string, optional, tag = "6")]
    error: Option<String>,
    #[prost(uint64, repeated, tag = "7")]
    unread: Vec<u64>,
    #[prost(message, optional, tag = "8")]
    sieve: Option<SieveMessage>,
    #[prost(fixed64, tag = "9")]
    query: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SieveMessage {
    #[prost(message, optional, tag = "1")]
    predicate: Option<PhysicalExprNode>,
    #[prost(uint64, tag = "2")]
    enough: u64,
    #[prost(bool, tag = "3")]
    ends: bool,
}

impl ScoreNodes {
    fn scores(&self, query: u64) -> Arc<QueryScores> {
        let mut queries = self.queries.lock();
        queries.retain(|_, scores| scores.strong_count() > 0);
        if let Some(scores) = queries.get(&query).and_then(Weak::upgrade) {
            return scores;
        }
        let scores = Arc::new(QueryScores::with_id(query));
        queries.insert(query, Arc::downgrade(&scores));
        scores
    }
}

impl NodeCodec for ScoreNodes {
    fn kind(&self) -> &'static str {
        "score"
    }

    fn encode(&self, node: &Arc<dyn ExecutionPlan>, wire: &Encoder<'_>) -> Result<Option<Vec<u8>>> {
        let Some(exec) = node.downcast_ref::<ScoreExec>() else { return Ok(None) };
        let ScoreSettings { call, when, columns, unread, sieve } = exec.settings();
        let sieve = sieve.map(|sieve| {
            let predicate = Some(wire.expr(&sieve.predicate)?);
            Ok::<_, datafusion::error::DataFusionError>(SieveMessage {
                predicate,
                enough: sieve.enough as u64,
                ends: sieve.ends,
            })
        });
        let message = ScoreMessage {
            family: call.family,
            model: call.model,
            args: call.args.iter().map(|arg| wire.expr(arg)).collect::<Result<_>>()?,
            when: when.map(|when| wire.expr(&when)).transpose()?,
            score: columns.score,
            error: columns.error,
            unread: unread.into_iter().map(|column| column as u64).collect(),
            sieve: sieve.transpose()?,
            query: exec.scores().id(),
        };
        Ok(Some(message.encode_to_vec()))
    }

    fn decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        wire: &Decoder<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = inputs else { return internal_err!("a score node came with {} inputs", inputs.len()) };
        let message: ScoreMessage = decode_message(self.kind(), bytes)?;
        let from = input.schema();
        let columns = ScoreColumns { score: message.score, error: message.error };
        let output = Schema::new(from.fields().iter().cloned().chain(columns.fields()).collect::<Vec<_>>());
        let sieve = message.sieve.map(|sieve| {
            let missing = || internal_datafusion_err!("the demand of a score node came without its predicate");
            let predicate = wire.expr(sieve.predicate.as_ref().ok_or_else(missing)?, &output)?;
            let enough = usize::try_from(sieve.enough).unwrap_or(usize::MAX);
            Ok::<_, datafusion::error::DataFusionError>(Sieve { predicate, enough, ends: sieve.ends })
        });
        let settings = ScoreSettings {
            call: ModelCall {
                family: message.family,
                model: message.model,
                args: message.args.iter().map(|arg| wire.expr(arg, &from)).collect::<Result<_>>()?,
            },
            when: message.when.map(|when| wire.expr(&when, &from)).transpose()?,
            columns,
            unread: message.unread.into_iter().map(|column| column as usize).collect(),
            sieve: sieve.transpose()?,
        };
        Ok(Arc::new(ScoreExec::try_new(Arc::clone(input), settings, self.scores(message.query))?))
    }
}
