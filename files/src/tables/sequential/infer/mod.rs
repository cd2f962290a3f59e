//! Columns and types of texts, found by looking at them.

mod value;

use std::io::Read;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::arrow;
use super::csv::CsvForm;
use super::error::{TextError, shortened};
use super::form::{Form, Text};
use super::records::{Ends, MOST_BYTES};
use super::{json, read};
use crate::tables::named::{file_name, in_file};
use crate::tables::schema::{unify, wider};
use value::Inferred;

/// Of so many files of a large table something is looked at.
const MOST_FILES: usize = 16;
/// So many are looked at side by side.
const SIDE_BY_SIDE: usize = 8;
/// At least so many bytes of a file are looked at.
const LEAST_BYTES: u64 = 64 << 10;
/// Of a large table this part of the bytes is looked at that a small one may have.
const OF_LARGE: u64 = 4;
/// In so many places a large file of lines is looked at.
const PLACES: u64 = 8;

/// What is looked at to find columns and types.
#[derive(Debug, Clone)]
pub(in crate::tables) struct Inference {
    /// The files' store.
    pub(in crate::tables) store: Arc<dyn ObjectStore>,
    /// Its URL.
    pub(in crate::tables) url: ObjectStoreUrl,
    /// Bytes to look at. A table that has no more is read as a whole.
    pub(in crate::tables) sample: u64,
}

/// The columns of the files.
pub(in crate::tables) async fn infer(inference: &Inference, files: &[ObjectMeta], form: &Form) -> Result<Schema> {
    let all: u64 = files.iter().map(|file| file.size).sum();
    let is_small = all <= inference.sample;
    let step = if is_small { 1 } else { files.len().div_ceil(MOST_FILES).max(1) };
    let chosen: Vec<ObjectMeta> = files.iter().step_by(step).cloned().collect();
    let most = match is_small {
        true => inference.sample,
        false => (inference.sample / OF_LARGE / chosen.len().max(1) as u64).max(LEAST_BYTES),
    };
    let looks = chosen.into_iter().map(|file| {
        let (inference, form) = (inference.clone(), form.clone());
        async move {
            let name = file_name(&inference.url, &file.location);
            let found = look(&inference, &file, &form, most).await.map_err(|e| in_file(&name, e))?;
            Ok::<_, DataFusionError>((name, found))
        }
        .boxed()
    });
    let found: Vec<(String, Found)> = stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
    let mut values = Inferred::Unknown;
    let mut schemas = vec![];
    for (name, found) in found {
        match found {
            Found::Values(more) => values.meet(more),
            Found::Columns(schema) => schemas.push((name, schema)),
        }
    }
    match &form.text {
        Text::Json => Ok(values.schema()),
        Text::Csv(_) => unify_texts(schemas),
        Text::Arrow => unify(schemas.iter().map(|(name, schema)| (name.as_str(), Arc::clone(schema)))),
    }
}

/// What a look at one file has found.
enum Found {
    Values(Inferred),
    Columns(SchemaRef),
}

async fn look(inference: &Inference, file: &ObjectMeta, form: &Form, most: u64) -> Result<Found> {
    let compression = form.compression_of(&file.location);
    let opened = read::open(inference.store.as_ref(), &file.location, compression).await?;
    let is_json = matches!(form.text, Text::Json);
    let is_whole = file.size <= most;
    let first = if is_json && !is_whole { (most / PLACES).max(LEAST_BYTES / 2) } else { most };
    let form = form.clone();
    let looked = tokio::task::spawn_blocking(move || look_at_beginning(opened.decompressed()?, &form, first));
    let (mut found, ends) = looked.await.map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))??;
    let Found::Values(values) = &mut found else { return Ok(found) };
    if !is_whole && ends == Some(Ends::Lines) && compression == FileCompressionType::UNCOMPRESSED {
        for place in 1..PLACES {
            let length = (most / PLACES).max(LEAST_BYTES / 2);
            let start = (file.size - length.min(file.size)) / (PLACES - 1) * place;
            let bytes = inference.store.get_range(&file.location, start..(start + length).min(file.size)).await?;
            values.look_at_lines(&bytes);
        }
    }
    Ok(found)
}

fn look_at_beginning(reader: Box<dyn Read + Send>, form: &Form, most: u64) -> Result<(Found, Option<Ends>)> {
    if let Text::Arrow = form.text {
        return Ok((Found::Columns(arrow::batches(reader)?.schema()), None));
    }
    let mut beginning = Beginning { reader, text: vec![], is_whole: false };
    beginning.read(most)?;
    if beginning.text.starts_with("\u{feff}".as_bytes()) {
        beginning.text.drain(.."\u{feff}".len());
    }
    match &form.text {
        Text::Csv(csv) => {
            let csv = csv.of_file(&beginning.text, beginning.is_whole);
            let records = beginning.records(&csv.ends(false))?;
            Ok((Found::Columns(csv_columns(&csv, records)?), None))
        }
        _ => {
            let ends = json::ends(&mut beginning.text);
            let mut values = Inferred::Unknown;
            values.look_at(&beginning.records(&ends)?)?;
            Ok((Found::Values(values), Some(ends)))
        }
    }
}

/// The beginning of a text.
struct Beginning {
    reader: Box<dyn Read + Send>,
    text: Vec<u8>,
    is_whole: bool,
}

impl Beginning {
    fn read(&mut self, bytes: u64) -> Result<(), TextError> {
        let read = self.reader.by_ref().take(bytes).read_to_end(&mut self.text)?;
        self.is_whole = (read as u64) < bytes;
        Ok(())
    }

    /// The records that are there as a whole: one at least, however large it is.
    fn records(mut self, ends: &Ends) -> Result<Vec<u8>, TextError> {
        loop {
            let end = ends.look(&mut self.text).end;
            match end {
                _ if self.is_whole => return Ok(self.text),
                Some(end) => {
                    self.text.truncate(end);
                    return Ok(self.text);
                }
                None if self.text.len() > MOST_BYTES => return Ok(vec![]),
                None => self.read(self.text.len() as u64)?,
            }
        }
    }
}

/// Reading says where a text is not UTF-8; its columns are the same.
fn csv_columns(form: &CsvForm, text: Vec<u8>) -> Result<SchemaRef, TextError> {
    let text = match String::from_utf8(text) {
        Ok(text) => text,
        Err(invalid) => String::from_utf8_lossy(invalid.as_bytes()).into_owned(),
    };
    let (schema, _) = form.format().infer_schema(text.as_bytes(), None).map_err(|error| TextError::Record {
        line: 1,
        reason: format!("finding the columns: {}", shortened(&error.to_string())),
    })?;
    Ok(Arc::new(schema))
}

/// One schema of texts: a column whose values are of different types in different files is text, as in one file.
fn unify_texts(files: Vec<(String, SchemaRef)>) -> Result<Schema> {
    let mut whole: Vec<Field> = vec![];
    for (name, schema) in &files {
        unify([(name.as_str(), Arc::clone(schema))])?;
        for field in schema.fields() {
            match whole.iter_mut().find(|known| known.name() == field.name()) {
                Some(known) => {
                    let data_type = wider(known.data_type(), field.data_type()).unwrap_or(DataType::Utf8);
                    known.set_data_type(data_type);
                }
                None => whole.push(field.as_ref().clone()),
            }
        }
    }
    let known = |field: Field| match field.data_type() {
        DataType::Null => field.with_data_type(DataType::Utf8).with_nullable(true),
        _ => field.with_nullable(true),
    };
    Ok(Schema::new(whole.into_iter().map(known).collect::<Vec<_>>()))
}
