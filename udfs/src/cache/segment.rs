//! One immutable file of scores: an Arrow IPC file of one record batch, sorted by key.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, FixedSizeBinaryArray, FixedSizeBinaryBuilder, Float32Array, Float32Builder, RecordBatch,
    StringArray, StringBuilder,
};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::convert::fb_to_schema;
use datafusion::arrow::ipc::reader::{FileDecoder, read_footer_length};
use datafusion::arrow::ipc::writer::FileWriter;
use datafusion::arrow::ipc::{Footer, root_as_footer};

use super::KnownScore;
use super::error::CacheError;
use super::key::{KEY_BYTES, ScoreKey};
use super::merge::Merged;
use super::name::SegmentName;
use super::search;

/// The footer's note of how many scores a segment holds, so that nobody has to read them to count them.
const ENTRIES: &str = "tamis.entries";

/// Length of the footer and magic at an Arrow file's end.
const TRAILER: usize = 10;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::FixedSizeBinary(KEY_BYTES as i32), false),
        Field::new("score", DataType::Float32, true),
        Field::new("error", DataType::Utf8, true),
    ]))
});

/// The scores of one segment, looked up where they lie.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: SegmentName,
    pub(super) bytes: u64,
    keys: FixedSizeBinaryArray,
    scores: Float32Array,
    errors: StringArray,
}

impl Segment {
    /// Opens a segment's content, which must be what the name says.
    pub(super) fn open(name: SegmentName, content: &Buffer) -> Result<Self, CacheError> {
        let damaged = |reason: String| CacheError::Damaged { segment: name.to_string(), reason };
        if !name.is_of(content) {
            return Err(damaged(format!("its {} bytes have another hash than its name", content.len())));
        }
        let batch = decode(content).map_err(|e| damaged(e.to_string()))?;
        let bytes = content.len() as u64;
        Self::of_batch(name.clone(), bytes, &batch).ok_or_else(|| damaged("it holds something else than scores".into()))
    }

    /// The columns of a record batch that is sorted by key.
    fn of_batch(name: SegmentName, bytes: u64, batch: &RecordBatch) -> Option<Self> {
        if batch.schema_ref().fields() != SCHEMA.fields() {
            return None;
        }
        let keys: &FixedSizeBinaryArray = batch.column(0).as_any().downcast_ref()?;
        let scores: &Float32Array = batch.column(1).as_any().downcast_ref()?;
        let errors: &StringArray = batch.column(2).as_any().downcast_ref()?;
        let segment = Self { name, bytes, keys: keys.clone(), scores: scores.clone(), errors: errors.clone() };
        search::is_sorted(segment.keys()).then_some(segment)
    }

    /// Scores that have not been written, as a segment.
    pub(super) fn unwritten(scores: Vec<(ScoreKey, KnownScore)>) -> Result<Self, CacheError> {
        let name = SegmentName::new(super::name::now(), b"");
        let batch = batch(scores).map_err(CacheError::Encode)?;
        let reason = || CacheError::Damaged { segment: name.to_string(), reason: "keys twice".into() };
        Self::of_batch(name.clone(), 0, &batch).ok_or_else(reason)
    }

    /// How many scores there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys, one behind the other.
    pub(super) fn keys(&self) -> &[[u8; KEY_BYTES]] {
        let (keys, _) = self.keys.value_data().as_chunks::<KEY_BYTES>();
        // The array may be a part of its buffer, though none is made that way.
        keys.get(self.keys.offset()..self.keys.offset() + self.keys.len()).unwrap_or_default()
    }

    /// What is known of a row.
    pub(super) fn get(&self, key: &ScoreKey) -> Option<KnownScore> {
        self.at(search::find(self.keys(), key.as_bytes())?)
    }

    /// What the row at this place holds.
    pub(super) fn at(&self, row: usize) -> Option<KnownScore> {
        if self.scores.is_valid(row) {
            let score = self.scores.value(row);
            return score.is_finite().then_some(KnownScore::Score(score));
        }
        self.errors.is_valid(row).then(|| KnownScore::Failed(self.errors.value(row).into()))
    }
}

/// A record batch of these scores in this order.
fn batch_of(
    scores: impl Iterator<Item = ([u8; KEY_BYTES], KnownScore)>,
    about: usize,
) -> Result<RecordBatch, ArrowError> {
    let mut keys = FixedSizeBinaryBuilder::with_capacity(about, KEY_BYTES as i32);
    let mut values = Float32Builder::with_capacity(about);
    let mut errors = StringBuilder::with_capacity(about, 0);
    for (key, known) in scores {
        keys.append_value(key)?;
        match known {
            KnownScore::Score(score) => {
                values.append_value(score);
                errors.append_null();
            }
            KnownScore::Failed(reason) => {
                values.append_null();
                errors.append_value(reason);
            }
        }
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(keys.finish()), Arc::new(values.finish()), Arc::new(errors.finish())];
    RecordBatch::try_new(Arc::clone(&SCHEMA), columns)
}

fn batch(mut scores: Vec<(ScoreKey, KnownScore)>) -> Result<RecordBatch, ArrowError> {
    scores.sort_unstable_by_key(|(key, _)| *key);
    let about = scores.len();
    batch_of(scores.into_iter().map(|(key, known)| (*key.as_bytes(), known)), about)
}

/// The content of a segment that holds these scores, none twice.
pub(super) fn encode(scores: Vec<(ScoreKey, KnownScore)>) -> Result<Vec<u8>, CacheError> {
    batch(scores).and_then(|batch| encode_batch(&batch)).map_err(CacheError::Encode)
}

/// The content of one segment that holds all that these hold.
pub(super) fn merge(segments: Vec<Arc<Segment>>) -> Result<Vec<u8>, CacheError> {
    let about = segments.iter().map(|segment| segment.len()).sum();
    batch_of(Merged::new(segments), about).and_then(|batch| encode_batch(&batch)).map_err(CacheError::Encode)
}

/// The content of a segment that holds this batch, which is sorted by key.
fn encode_batch(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut content = Vec::with_capacity(batch.get_array_memory_size() + 4096);
    let mut writer = FileWriter::try_new(&mut content, &SCHEMA)?;
    writer.write_metadata(ENTRIES, batch.num_rows().to_string());
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    Ok(content)
}

/// How many scores a segment holds, by its last bytes; `None` if these do not tell.
pub(super) fn entries_of(tail: &[u8]) -> Option<u64> {
    let notes = footer(tail).ok()?.0.custom_metadata()?;
    notes.iter().find(|note| note.key() == Some(ENTRIES))?.value()?.parse().ok()
}

/// The footer of an Arrow file, and its offset.
fn footer(content: &[u8]) -> Result<(Footer<'_>, usize), ArrowError> {
    let short = || ArrowError::ParseError("it is too short".into());
    let (body, trailer) = content.split_last_chunk::<TRAILER>().ok_or_else(short)?;
    let start = body.len().checked_sub(read_footer_length(*trailer)?).ok_or_else(short)?;
    let footer = root_as_footer(&body[start..]).map_err(|e| ArrowError::ParseError(e.to_string()))?;
    Ok((footer, start))
}

/// The one record batch of an Arrow file, in place.
fn decode(content: &Buffer) -> Result<RecordBatch, ArrowError> {
    let wrong = |reason: &str| ArrowError::ParseError(reason.to_string());
    let (footer, end) = footer(content)?;
    let schema = fb_to_schema(footer.schema().ok_or_else(|| wrong("it has no schema"))?);
    let blocks = footer.recordBatches().ok_or_else(|| wrong("it has no batches"))?;
    let block = match blocks.len() {
        1 => blocks.get(0),
        n => return Err(wrong(&format!("it has {n} batches"))),
    };
    let lengths = (usize::try_from(block.offset()), usize::try_from(block.metaDataLength()), block.bodyLength());
    let range = match lengths {
        (Ok(offset), Ok(header), body) if header >= 8 => {
            usize::try_from(body).ok().and_then(|body| header.checked_add(body)).map(|length| (offset, length))
        }
        _ => None,
    };
    let (offset, length) = range
        .filter(|(offset, length)| offset.checked_add(*length).is_some_and(|last| last <= end))
        .ok_or_else(|| wrong("its batch lies outside of it"))?;
    FileDecoder::new(Arc::new(schema), footer.version())
        .read_record_batch(block, &content.slice_with_length(offset, length))?
        .ok_or_else(|| wrong("its batch is none"))
}
