//! Reading the rows that samples are made of.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use futures::TryStreamExt;
use tamis_engine::session::Session;
use tamis_synthesis::Quarantined;
use tamis_synthesis::rules::{Facts, Part};
use tamis_synthesis::sources::{Content, Source, Sources, examine};
use tamis_synthesis::split::Split;
use tamis_udfs::columns::{ImageRef, Row, SampleColumns};
use tamis_udfs::reach::{self, Reach};

use crate::error::CommandError;

/// What was read: rows that can be used, and those that cannot.
pub(super) struct Corpus {
    pub(super) sources: Sources,
    pub(super) quarantined: Vec<Quarantined>,
}

/// Reads a table or a query; images are put aside in `folder`.
pub(super) async fn read(session: &Session, data: &str, folder: &Path) -> Result<Corpus, CommandError> {
    let frame = session.data(data).await?;
    let named = |name: &&str| frame.schema().has_column_with_unqualified_name(name);
    let (image, text) = match (named(&"image"), named(&"images") && named(&"texts")) {
        (true, _) => ("image", Some("text").filter(named)),
        (false, true) => ("images", Some("texts")),
        (false, false) => {
            return Err(CommandError::Usage(format!(
                "--data {data}: no column image, nor columns images and texts; name them so in a query, such as SELECT \
                 picture AS image, caption AS text FROM ..."
            )));
        }
    };
    let wanted: Vec<&str> =
        [Some(image), text].into_iter().flatten().chain(["uid", "facts", "split"].into_iter().filter(named)).collect();
    let frame = frame.select_columns(&wanted)?;
    let options = session.context().copied_config();
    let max_pixels = session.option("tamis.image.max_pixels").and_then(|n| n.parse().ok()).unwrap_or(u64::MAX);
    let reader = Reader { reach: reach::of(&options), max_pixels };
    let spooling = |source| CommandError::Spool { folder: folder.to_path_buf(), source };
    let mut corpus = Corpus { sources: Sources::new(folder).map_err(spooling)?, quarantined: vec![] };
    let mut stream = frame.execute_stream().await?;
    let mut first = 0;
    while let Some(batch) = stream.try_next().await? {
        let rows = batch.num_rows();
        // Images are read and decoded on threads of their own.
        tokio::task::block_in_place(|| reader.take(&batch, first, &mut corpus, &spooling))?;
        first += rows;
    }
    Ok(corpus)
}

/// Takes rows out of batches.
struct Reader {
    reach: Reach,
    max_pixels: u64,
}

impl Reader {
    fn take(
        &self,
        batch: &RecordBatch,
        first: usize,
        corpus: &mut Corpus,
        spooling: &impl Fn(std::io::Error) -> CommandError,
    ) -> Result<(), CommandError> {
        let rows = batch.num_rows();
        let text = |name: &str| batch.column_by_name(name).map(as_text).transpose();
        let (uids, facts, splits) = (text("uid")?, text("facts")?, text("split")?);
        let texts = if batch.column_by_name("image").is_some() { text("text")? } else { None };
        let columns =
            match (batch.column_by_name("image"), batch.column_by_name("images"), batch.column_by_name("texts")) {
                (Some(image), ..) => {
                    // A row without a text has an image all the same.
                    let nothing: ArrayRef = Arc::new(StringArray::from(vec![""; rows]));
                    SampleColumns::try_new(&[Arc::clone(image), nothing])?
                }
                (None, Some(images), Some(texts)) => SampleColumns::try_new(&[Arc::clone(images), Arc::clone(texts)])?,
                _ => return Ok(()),
            };
        let parts: Vec<Row<'_>> = (0..rows).map(|row| columns.row(row)).collect();
        let images: Vec<ImageRef<'_>> = parts.iter().flat_map(images_of).collect();
        let mut examined = examine(&images, |image| image.file(&self.reach), self.max_pixels).into_iter();
        let of = |column: &Option<StringArray>, row: usize| {
            column.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row).to_string())
        };
        for (row, parts) in parts.iter().enumerate() {
            let uid = of(&uids, row).unwrap_or_else(|| (first + row).to_string());
            let files: Vec<_> = examined.by_ref().take(images_of(parts).len()).collect();
            let mut numbers = vec![];
            let mut reason = None;
            for file in files {
                match file {
                    Ok((bytes, examined)) => numbers.push(corpus.sources.keep(&bytes, examined).map_err(spooling)?),
                    Err(why) => reason = reason.or(Some(why)),
                }
            }
            let made = match reason {
                Some(reason) => Err(reason),
                None => content(parts, &numbers, of(&texts, row), of(&facts, row)),
            };
            match made {
                Ok(content) => {
                    let split = of(&splits, row).as_deref().and_then(Split::parse);
                    corpus.sources.push(Source { uid, split, content });
                }
                Err(reason) => corpus.quarantined.push(Quarantined { uid, level: None, reason }),
            }
        }
        Ok(())
    }
}

/// A column as texts.
fn as_text(column: &ArrayRef) -> Result<StringArray, CommandError> {
    let column = cast(column, &DataType::Utf8).map_err(datafusion::error::DataFusionError::from)?;
    Ok(column.as_string::<i32>().clone())
}

fn images_of<'a>(row: &Row<'a>) -> Vec<ImageRef<'a>> {
    match row {
        Row::Null => vec![],
        Row::Pair { image, .. } => vec![*image],
        Row::Document { images, .. } => images.iter().flatten().copied().collect(),
    }
}

/// What a row holds, or why it cannot be used.
fn content(row: &Row<'_>, images: &[usize], text: Option<String>, facts: Option<String>) -> Result<Content, String> {
    match row {
        Row::Null => Err("it has no image".into()),
        Row::Pair { .. } => match images {
            [image] => {
                Ok(Content::Pair { image: *image, text, facts: facts.as_deref().map(Facts::parse).transpose()? })
            }
            _ => Err("it has no image".into()),
        },
        Row::Document { images: places, texts } => {
            if places.len() != texts.len() {
                return Err(format!("its lists differ: {} images, {} texts", places.len(), texts.len()));
            }
            let mut numbers = images.iter();
            let mut parts = vec![];
            for (image, text) in places.iter().zip(texts) {
                parts.extend(image.and_then(|_| numbers.next()).map(|image| Part::Image(*image)));
                parts.extend(text.map(|text| Part::Text(text.to_string())));
            }
            match parts.iter().any(|part| matches!(part, Part::Text(_))) && !images.is_empty() {
                true => Ok(Content::Document(parts)),
                false => Err("a document needs an image and a text".into()),
            }
        }
    }
}
