//! Reading the samples of a training.

use std::path::Path;

use datafusion::arrow::array::{Array, AsArray, Float64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use futures::TryStreamExt;
use rayon::prelude::*;
use tamis_engine::session::Session;
use tamis_training::data::{Content, DataSet, Reader, Refused, Row, Store, read_json};
use tamis_udfs::columns::{self, ImageRef, SampleColumns};
use tamis_udfs::reach::{self, Reach};

use crate::error::CommandError;

/// Rows of a JSON list that are read at once.
const AT_ONCE: usize = 256;
/// The columns that hold labels.
const LABELS: [&str; 2] = ["level", "label"];

/// What is trained on, and what is measured on.
#[derive(Debug)]
pub(super) struct Samples {
    pub(super) training: DataSet,
    pub(super) validation: DataSet,
}

/// Reads data into samples.
pub(super) struct Source<'a> {
    pub(super) session: &'a Session,
    pub(super) reader: &'a Reader,
    pub(super) store: &'a mut Store,
    pub(super) image_folder: Option<&'a Path>,
    /// Whether rows without a label are samples.
    pub(super) is_unlabelled: bool,
}

impl Source<'_> {
    /// Reads `--data` and `--validation`. Without the latter, a column `split` says what is what.
    pub(super) async fn read(&mut self, data: &[String], validation: &[String]) -> Result<Samples, CommandError> {
        let empty = || DataSet { samples: vec![], refused: vec![] };
        let mut samples = Samples { training: empty(), validation: empty() };
        for data in data {
            self.read_one(data, validation.is_empty(), &mut samples).await?;
        }
        for data in validation {
            let mut measured = Samples { training: empty(), validation: empty() };
            self.read_one(data, false, &mut measured).await?;
            samples.validation.samples.append(&mut measured.training.samples);
            samples.validation.refused.append(&mut measured.training.refused);
        }
        Ok(samples)
    }

    async fn read_one(&mut self, data: &str, is_split: bool, samples: &mut Samples) -> Result<(), CommandError> {
        if Path::new(data).extension().is_some_and(|extension| extension == "json") && !data.contains("://") {
            let path = Path::new(data);
            let folder = self.image_folder.unwrap_or_else(|| path.parent().unwrap_or(Path::new("")));
            return self.read_list(path, folder, &mut samples.training);
        }
        let frame = self.session.data(data).await?;
        let has = |name: &&str| frame.schema().has_column_with_unqualified_name(name);
        let wanted = [["image", "text"], ["images", "texts"]].into_iter().find(|pair| pair.iter().all(&has));
        let Some(pair) = wanted else {
            return Err(CommandError::Usage(format!(
                "{data}: expected the columns image and text, or images and texts; name them so in a query, such as SELECT \
                 picture AS image, caption AS text, level FROM ..."
            )));
        };
        let label = LABELS.into_iter().find(|name| has(name));
        if label.is_none() && !self.is_unlabelled {
            let message = format!("{data}: no column level, and none named label: stage 2 learns from labels");
            return Err(CommandError::Usage(message));
        }
        let split = Some("split").filter(|name| is_split && has(name));
        let uid = Some("uid").filter(has);
        let names: Vec<&str> = pair.into_iter().chain(label).chain(split).chain(uid).collect();
        let mut stream = frame.select_columns(&names)?.execute_stream().await?;
        let reach = reach::of(&self.session.context().copied_config());
        let mut first = 0;
        while let Some(batch) = stream.try_next().await? {
            let columns = Columns { pair, label, first };
            // Images are read, decoded and resized on threads of their own.
            tokio::task::block_in_place(|| self.add(&batch, &columns, &reach, samples))?;
            first += batch.num_rows();
        }
        Ok(())
    }

    fn add(
        &mut self,
        batch: &RecordBatch,
        columns: &Columns,
        reach: &Reach,
        samples: &mut Samples,
    ) -> Result<(), CommandError> {
        let column = |name: &str| batch.column_by_name(name);
        let [Some(images), Some(texts)] = columns.pair.map(column) else { return Ok(()) };
        let rows = SampleColumns::try_new(&[images.clone(), texts.clone()])?;
        let labels = columns.label.and_then(column).map(|labels| as_numbers(labels)).transpose()?;
        let texts_of = |name: &str| column(name).map(|column| as_text(column)).transpose();
        let (uids, splits) = (texts_of("uid")?, texts_of("split")?);
        let of = |column: &Option<StringArray>, row: usize| {
            column.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row).to_string())
        };
        let read = (0..batch.num_rows()).into_par_iter().map(|row| {
            let uid = of(&uids, row).unwrap_or_else(|| (columns.first + row).to_string());
            let label = labels.as_ref().filter(|labels| labels.is_valid(row)).map(|labels| labels.value(row));
            let content = content(&rows.row(row), reach);
            (of(&splits, row), content.map(|content| Row { content, label, uid: uid.clone() }).map_err(|e| (uid, e)))
        });
        let (mut training, mut validation) = (vec![], vec![]);
        for (split, row) in read.collect::<Vec<_>>() {
            let (rows, to) = match split.as_deref() {
                None | Some("train") => (&mut training, &mut samples.training),
                Some("validation") => (&mut validation, &mut samples.validation),
                // The rest is for later.
                Some(_) => continue,
            };
            match row {
                Ok(row) => rows.push(row),
                Err((uid, reason)) => to.refused.push(Refused { uid, reason }),
            }
        }
        self.reader.read(&training, self.store, &mut samples.training)?;
        self.reader.read(&validation, self.store, &mut samples.validation)?;
        Ok(())
    }

    /// The published training set's form.
    fn read_list(&mut self, path: &Path, folder: &Path, to: &mut DataSet) -> Result<(), CommandError> {
        for objects in read_json(path, folder)?.chunks(AT_ONCE) {
            let read = objects.par_iter().map(|object| {
                let images = object.images.iter().map(|file| {
                    let bytes = std::fs::read(file).map_err(|error| format!("image {}: {error}", file.display()))?;
                    Ok(bytes.into())
                });
                let content = Content::Prompt {
                    images: images.collect::<Result<_, String>>()?,
                    text: object.text.as_str().into(),
                };
                Ok(Row { content, label: object.label, uid: object.uid.clone() })
            });
            let mut rows = vec![];
            for (object, row) in objects.iter().zip(read.collect::<Vec<Result<_, String>>>()) {
                match row {
                    Ok(row) => rows.push(row),
                    Err(reason) => to.refused.push(Refused { uid: object.uid.clone(), reason }),
                }
            }
            self.reader.read(&rows, self.store, to)?;
        }
        Ok(())
    }
}

/// Where the columns are, and the number of a batch's first row.
struct Columns {
    pair: [&'static str; 2],
    label: Option<&'static str>,
    first: usize,
}

/// What a row holds, its images read from where they lie.
fn content<'a>(row: &columns::Row<'a>, reach: &Reach) -> Result<Content<'a>, String> {
    let file = |image: &ImageRef<'a>| image.file(reach).map_err(|error| format!("image: {error}"));
    match row {
        columns::Row::Null => Err("the image or the text is NULL".into()),
        columns::Row::Pair { image, text } => Ok(Content::Pair { image: file(image)?, text: (*text).into() }),
        columns::Row::Document { images, texts } => {
            let images = images.iter().map(|image| image.as_ref().map(file).transpose());
            Ok(Content::Document {
                images: images.collect::<Result<_, String>>()?,
                texts: texts.iter().map(|text| text.map(Into::into)).collect(),
            })
        }
    }
}

fn as_numbers(column: &dyn Array) -> Result<Float64Array, CommandError> {
    let column = cast(column, &DataType::Float64).map_err(datafusion::error::DataFusionError::from)?;
    Ok(column.as_primitive::<Float64Type>().clone())
}

fn as_text(column: &dyn Array) -> Result<StringArray, CommandError> {
    let column = cast(column, &DataType::Utf8).map_err(datafusion::error::DataFusionError::from)?;
    Ok(column.as_string::<i32>().clone())
}
