//! Writing samples as Parquet.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, Float64Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use tamis_synthesis::rules::Part;
use tamis_synthesis::sources::{Content, Source, Sources};
use tamis_synthesis::split::Split;
use tamis_synthesis::{Sample, Words};

/// A batch is handed on when it has so many rows or bytes of images.
const ROWS: usize = 1_024;
const BYTES: usize = 16 << 20;

/// What all samples of a file have in common.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) provider: &'static str,
    pub(super) model: Option<String>,
    pub(super) prompt: String,
    pub(super) seed: u64,
}

/// The samples of rows, in the rows' order, as they are asked for.
pub(super) fn stream(
    sources: Arc<Sources>,
    splits: Vec<Split>,
    origin: Origin,
    mut samples: impl FnMut(usize, &Source, Split) -> Vec<Sample> + Send + 'static,
) -> SendableRecordBatchStream {
    let schema = schema(is_documents(&sources));
    let mut next = 0;
    let mut builder = Builder::new(Arc::clone(&schema));
    let batches = std::iter::from_fn(move || {
        while next < sources.rows().len() && !builder.is_full() {
            let (row, split) = (&sources.rows()[next], splits[next]);
            for sample in samples(next, row, split) {
                if let Err(error) = builder.push(&sources, row, split, &sample, &origin) {
                    return Some(Err(DataFusionError::IoError(error)));
                }
            }
            next += 1;
        }
        (builder.rows > 0).then(|| builder.finish())
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches)))
}

fn is_documents(sources: &Sources) -> bool {
    sources.rows().iter().any(|row| matches!(row.content, Content::Document(_)))
}

fn schema(is_documents: bool) -> SchemaRef {
    let list = |of| DataType::List(Arc::new(Field::new_list_field(of, true)));
    let (image, text) = match is_documents {
        true => (Field::new("images", list(DataType::Binary), false), Field::new("texts", list(DataType::Utf8), false)),
        false => (Field::new("image", DataType::Binary, false), Field::new("text", DataType::Utf8, false)),
    };
    Arc::new(Schema::new(vec![
        image,
        text,
        Field::new("level", DataType::Int32, false),
        Field::new("uid", DataType::Utf8, false),
        Field::new("split", DataType::Utf8, false),
        Field::new("provider", DataType::Utf8, false),
        Field::new("model", DataType::Utf8, true),
        Field::new("prompt", DataType::Utf8, false),
        Field::new("seed", DataType::Int64, false),
        Field::new("input_tokens", DataType::Int64, false),
        Field::new("output_tokens", DataType::Int64, false),
        Field::new("cost_usd", DataType::Float64, false),
        Field::new("changed", DataType::Utf8, true),
        Field::new("variant", DataType::Int32, false),
    ]))
}

/// Columns that grow.
struct Builder {
    schema: SchemaRef,
    rows: usize,
    bytes: usize,
    image: BinaryBuilder,
    text: StringBuilder,
    images: ListBuilder<BinaryBuilder>,
    texts: ListBuilder<StringBuilder>,
    level: Int32Builder,
    variant: Int32Builder,
    /// uid, split, provider, model, prompt, changed.
    words: [StringBuilder; 6],
    /// seed, input_tokens, output_tokens.
    numbers: [Int64Builder; 3],
    cost: Float64Builder,
}

impl Builder {
    fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            rows: 0,
            bytes: 0,
            image: BinaryBuilder::new(),
            text: StringBuilder::new(),
            images: ListBuilder::new(BinaryBuilder::new()),
            texts: ListBuilder::new(StringBuilder::new()),
            level: Int32Builder::new(),
            variant: Int32Builder::new(),
            words: Default::default(),
            numbers: Default::default(),
            cost: Float64Builder::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.rows >= ROWS || self.bytes >= BYTES
    }

    fn push(
        &mut self,
        sources: &Sources,
        row: &Source,
        split: Split,
        sample: &Sample,
        origin: &Origin,
    ) -> std::io::Result<()> {
        match (&row.content, &sample.words) {
            (Content::Pair { image, .. }, Words::Text(text)) => {
                let bytes = sources.bytes(*image)?;
                self.bytes += bytes.len();
                self.image.append_value(bytes);
                self.text.append_value(text);
            }
            (_, Words::Document(parts)) => {
                for part in parts {
                    match part {
                        Part::Image(image) => {
                            let bytes = sources.bytes(*image)?;
                            self.bytes += bytes.len();
                            self.images.values().append_value(bytes);
                            self.texts.values().append_null();
                        }
                        Part::Text(text) => {
                            self.images.values().append_null();
                            self.texts.values().append_value(text);
                        }
                    }
                }
                self.images.append(true);
                self.texts.append(true);
            }
            // A caption of a document is none.
            (Content::Document(_), Words::Text(_)) => return Ok(()),
        }
        self.rows += 1;
        self.level.append_value(sample.level.number());
        self.variant.append_value(i32::try_from(sample.variant).unwrap_or(i32::MAX));
        let words = [
            Some(row.uid.as_str()),
            Some(split.name()),
            Some(origin.provider),
            origin.model.as_deref(),
            Some(origin.prompt.as_str()),
            sample.changed.as_deref(),
        ];
        for (builder, word) in self.words.iter_mut().zip(words) {
            builder.append_option(word);
        }
        let numbers = [origin.seed, sample.usage.input_tokens, sample.usage.output_tokens];
        for (builder, number) in self.numbers.iter_mut().zip(numbers) {
            builder.append_value(number.cast_signed());
        }
        self.cost.append_value(sample.usage.cost_usd);
        Ok(())
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        let (image, text): (ArrayRef, ArrayRef) = match self.schema.field(0).name().as_str() {
            "images" => (Arc::new(self.images.finish()), Arc::new(self.texts.finish())),
            _ => (Arc::new(self.image.finish()), Arc::new(self.text.finish())),
        };
        let [uid, split, provider, model, prompt, changed] = &mut self.words;
        let [seed, input, output] = &mut self.numbers;
        let columns: Vec<ArrayRef> = vec![
            image,
            text,
            Arc::new(self.level.finish()),
            Arc::new(uid.finish()),
            Arc::new(split.finish()),
            Arc::new(provider.finish()),
            Arc::new(model.finish()),
            Arc::new(prompt.finish()),
            Arc::new(seed.finish()),
            Arc::new(input.finish()),
            Arc::new(output.finish()),
            Arc::new(self.cost.finish()),
            Arc::new(changed.finish()),
            Arc::new(self.variant.finish()),
        ];
        (self.rows, self.bytes) = (0, 0);
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}
