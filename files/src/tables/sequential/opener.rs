//! Opening one file: a thread that reads and cuts, and tasks that decode.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::common::runtime::SpawnedTask;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener};
use datafusion::error::{DataFusionError, Result};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use tokio::sync::mpsc::{self, Sender};

use super::csv::CsvDecoder;
use super::error::TextError;
use super::form::{Form, Text};
use super::invalid::{Invalid, replaced};
use super::json::JsonDecoder;
use super::pool::Pool;
use super::read::{self, Opened};
use super::records::{Block, Blocks, Ends};
use super::{arrow, json};
use crate::tables::opened::received;

/// A block, and with it a batch, has about so many bytes.
const BLOCK: usize = 1 << 20;
/// So many blocks wait to be decoded.
const WAITING: usize = 2;
/// So many blocks for each core are decoded or have been: whoever takes batches takes those of one block before it looks at the
/// next.
const IN_ADVANCE: usize = 2;

/// Opens files of one form.
#[derive(Clone)]
pub(super) struct SequentialOpener {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) form: Form,
    /// The columns of the table that are in files.
    pub(super) table: SchemaRef,
    /// Those that are read.
    pub(super) wanted: SchemaRef,
    pub(super) batch_size: usize,
}

impl FileOpener for SequentialOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let opener = self.clone();
        Ok(Box::pin(async move {
            let location = &file.object_meta.location;
            let compression = opener.form.compression_of(location);
            let file = read::open(opener.store.as_ref(), location, compression).await?;
            Ok(match opener.form.text {
                Text::Arrow => opener.batches(file),
                Text::Csv(_) | Text::Json => {
                    let name = location.to_string();
                    opener.decoded(file, name)
                }
            })
        }))
    }
}

/// A block with what decodes it.
type Cut = (Arc<Decoder>, Block);

impl SequentialOpener {
    /// The batches of Arrow's files.
    fn batches(self, file: Opened) -> BoxStream<'static, Result<RecordBatch>> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let thread = tokio::task::spawn_blocking(move || {
            let mut send = |batch: Result<RecordBatch>| sender.blocking_send(batch).is_ok();
            match file.decompressed().and_then(arrow::batches) {
                Ok(mut batches) => {
                    let adapted = batches.by_ref().map(|batch| Ok(arrow::adapt(&batch?, &self.wanted)?));
                    // Nobody listens any more if this ends early.
                    let _ = adapted.into_iter().all(&mut send);
                }
                Err(error) => {
                    send(Err(error));
                }
            }
        });
        received(receiver, thread).boxed()
    }

    /// The batches of a text.
    fn decoded(self, file: Opened, name: String) -> BoxStream<'static, Result<RecordBatch>> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let thread = tokio::task::spawn_blocking(move || {
            if let Err(error) = self.cut(file, name, &sender) {
                // Nobody listens any more if this fails.
                let _ = sender.blocking_send(Err(error));
            }
        });
        let decoded = received(receiver, thread).map(|cut: Result<Cut>| async move {
            let (decoder, block) = cut?;
            let task = SpawnedTask::spawn(async move { decoder.decode(block) });
            task.await.map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))?.map_err(DataFusionError::from)
        });
        let side_by_side = std::thread::available_parallelism().map_or(1, usize::from) * IN_ADVANCE;
        let batches = decoded.buffered(side_by_side).map_ok(|batches| stream::iter(batches.into_iter().map(Ok)));
        batches.try_flatten().boxed()
    }

    fn cut(&self, file: Opened, name: String, sender: &Sender<Result<Cut>>) -> Result<()> {
        let mut blocks = Blocks::new(file.decompressed()?, BLOCK);
        let (beginning, is_whole) = blocks.beginning()?;
        let (decoder, ends) = match &self.form.text {
            Text::Csv(form) => {
                let of_file = form.of_file(beginning, is_whole);
                let header = of_file.header(beginning)?;
                let ends = of_file.ends(of_file.quote != form.quote);
                let wanted = Arc::clone(&self.wanted);
                let header = header.as_deref();
                let csv = CsvDecoder::new(of_file, header, &self.table, wanted, self.form.is_declared, self.batch_size);
                (Decode::Csv(csv), ends)
            }
            _ => (Decode::Json(JsonDecoder::new(Arc::clone(&self.wanted), self.batch_size)), json::ends(beginning)),
        };
        let invalid =
            Invalid { replaces: self.form.replaces_invalid, marked: Arc::clone(&self.form.marked), file: name };
        let decoder = Arc::new(Decoder { decode: decoder, ends, invalid, used: blocks.used() });
        while let Some(block) = blocks.next(&ends)? {
            if sender.blocking_send(Ok((Arc::clone(&decoder), block))).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Decodes blocks, and finds the record that is wrong if one is.
struct Decoder {
    decode: Decode,
    ends: Ends,
    invalid: Invalid,
    /// Where texts go that were decoded.
    used: Arc<Pool<Vec<u8>>>,
}

enum Decode {
    Csv(CsvDecoder),
    Json(JsonDecoder),
}

impl Decode {
    fn batches(&self, block: &Block) -> Result<Vec<RecordBatch>, ArrowError> {
        match self {
            Self::Csv(csv) => csv.decode(block),
            Self::Json(json) => json.decode(block),
        }
    }
}

impl Decoder {
    fn decode(&self, mut block: Block) -> Result<Vec<RecordBatch>, TextError> {
        let error = match self.decode.batches(&block) {
            Ok(batches) => {
                self.used.give(block.text);
                return Ok(batches);
            }
            Err(error) => error,
        };
        if let Err(invalid) = std::str::from_utf8(&block.text) {
            let place = TextError::not_utf8(&block.text, invalid.valid_up_to(), block.first_line);
            let Some(stands_for) = self.invalid.stands_for() else { return Err(place) };
            block.text = replaced(&block.text, stands_for);
            let batches = self.decode.batches(&block).map_err(|error| self.explain(&block, &error))?;
            return self.invalid.finished(batches, place);
        }
        Err(self.explain(&block, &error))
    }

    /// Which record it is that cannot be decoded, and why.
    fn explain(&self, block: &Block, error: &ArrowError) -> TextError {
        let mut line = block.first_line;
        for (number, range) in self.ends.split(&block.text).into_iter().enumerate() {
            let text = block.text[range].to_vec();
            let lines = memchr::memchr_iter(b'\n', &text).count() as u64;
            let is_header = matches!(&self.decode, Decode::Csv(csv) if csv.is_header(block, number));
            let record = Block { text, first_line: line, is_first: false };
            if let (false, Err(error)) = (is_header, self.decode.batches(&record)) {
                return TextError::Record { line, reason: self.reason(&error) };
            }
            line += lines;
        }
        TextError::Record { line: block.first_line, reason: self.reason(error) }
    }

    fn reason(&self, error: &ArrowError) -> String {
        match &self.decode {
            Decode::Csv(csv) => csv.reason(error),
            Decode::Json(json) => json.reason(error),
        }
    }
}
