//! Fetch nodes on the wire.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::protobuf;
use prost::Message;

use super::{Decoder, Encoder, NodeCodec, decode_message};
use crate::{FetchExec, RowReader};

/// Encodes and decodes the readers of rows that [`FetchExec`] reads with: what they read is not the planner's to know.
pub trait RowReaderCodec: Debug + Send + Sync {
    /// The reader as bytes.
    fn encode(&self, reader: &dyn RowReader) -> Result<Vec<u8>>;

    /// The reader that was encoded so.
    fn decode(&self, bytes: &[u8]) -> Result<Arc<dyn RowReader>>;
}

/// Encodes and decodes [`FetchExec`].
#[derive(Debug)]
pub struct FetchNodes {
    readers: Arc<dyn RowReaderCodec>,
}

impl FetchNodes {
    /// A codec of fetch nodes whose readers travel by `readers`.
    pub fn new(readers: Arc<dyn RowReaderCodec>) -> Self {
        Self { readers }
    }
}

#[derive(Clone, PartialEq, Message)]
struct FetchMessage {
    #[prost(bytes = "vec", tag = "1")]
    reader: Vec<u8>,
    #[prost(uint64, tag = "2")]
    file: u64,
    #[prost(uint64, tag = "3")]
    row: u64,
    #[prost(message, repeated, tag = "4")]
    columns: Vec<FetchedMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct FetchedMessage {
    #[prost(uint64, tag = "1")]
    place: u64,
    #[prost(message, optional, tag = "2")]
    field: Option<protobuf::Field>,
}

impl NodeCodec for FetchNodes {
    fn kind(&self) -> &'static str {
        "fetch"
    }

    fn encode(&self, node: &Arc<dyn ExecutionPlan>, _wire: &Encoder<'_>) -> Result<Option<Vec<u8>>> {
        let Some(exec) = node.downcast_ref::<FetchExec>() else { return Ok(None) };
        let columns = exec.columns().iter().map(|(place, field)| {
            let field = protobuf::Field::try_from(field.as_ref())
                .map_err(|e| internal_datafusion_err!("encoding a fetched column: {e}"))?;
            Ok(FetchedMessage { place: *place as u64, field: Some(field) })
        });
        let message = FetchMessage {
            reader: self.readers.encode(exec.reader().as_ref())?,
            file: exec.file() as u64,
            row: exec.row() as u64,
            columns: columns.collect::<Result<_>>()?,
        };
        Ok(Some(message.encode_to_vec()))
    }

    fn decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        _wire: &Decoder<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = inputs else { return internal_err!("a fetch node came with {} inputs", inputs.len()) };
        let message: FetchMessage = decode_message(self.kind(), bytes)?;
        let reader = self.readers.decode(&message.reader)?;
        let columns = message.columns.into_iter().map(|column| {
            let missing = || internal_datafusion_err!("a fetched column came without its field");
            let field = Field::try_from(&column.field.ok_or_else(missing)?)
                .map_err(|e| internal_datafusion_err!("decoding a fetched column: {e}"))?;
            Ok((column.place as usize, Arc::new(field)))
        });
        let columns = columns.collect::<Result<_>>()?;
        let (file, row) = (message.file as usize, message.row as usize);
        Ok(Arc::new(FetchExec::try_new(Arc::clone(input), reader, file, row, columns)?))
    }
}
