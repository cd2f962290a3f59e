//! Records of CSV and TSV files as batches.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv::reader::Format;
use datafusion::arrow::csv::{ReaderBuilder, reader};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use regex::Regex;

use super::arrow::adapt;
use super::error::{TextError, shortened};
use super::pool::Pool;
use super::records::{Block, Ends, Quotes, uses_quotes};

/// A quote character that is in no text.
const NO_QUOTE: u8 = 0;

/// How CSV files are written.
#[derive(Debug, Clone)]
pub(in crate::tables) struct CsvForm {
    pub(super) has_header: bool,
    pub(super) delimiter: u8,
    pub(super) quote: Quote,
    pub(super) escape: Option<u8>,
    pub(super) comment: Option<u8>,
    pub(super) terminator: Option<u8>,
    /// Whether records may have fewer values than there are columns.
    pub(super) may_be_short: bool,
    /// What stands for NULL; without it nothing does.
    pub(super) null: Option<Regex>,
}

/// What encloses values that have delimiters and line breaks in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tables) enum Quote {
    /// Nothing does.
    None,
    /// This character.
    Byte(u8),
    /// This character, in files where it does so throughout.
    Perhaps(u8),
}

impl CsvForm {
    /// The form of one file, whose beginning tells whether it uses quotes.
    pub(super) fn of_file(&self, beginning: &[u8], is_whole: bool) -> Self {
        let quote = match self.quote {
            Quote::Perhaps(quote) if uses_quotes(beginning, self.quotes(quote, true), is_whole) => Quote::Byte(quote),
            Quote::Perhaps(_) => Quote::None,
            known => known,
        };
        Self { quote, ..self.clone() }
    }

    /// What ends a record. Where it was not certain that values are quoted, they have to be so throughout.
    pub(super) fn ends(&self, is_strict: bool) -> Ends {
        match self.quote {
            Quote::Byte(quote) => Ends::Quoted(self.quotes(quote, is_strict)),
            _ => match self.terminator {
                Some(_) => Ends::Quoted(self.quotes(NO_QUOTE, false)),
                None => Ends::Lines,
            },
        }
    }

    fn quotes(&self, quote: u8, is_strict: bool) -> Quotes {
        let terminator = self.terminator.unwrap_or(b'\n');
        Quotes { quote, escape: self.escape, delimiter: self.delimiter, terminator, is_strict }
    }

    fn quote_byte(&self) -> u8 {
        match self.quote {
            Quote::Byte(quote) => quote,
            _ => NO_QUOTE,
        }
    }

    /// How arrow's inference reads this.
    pub(super) fn format(&self) -> Format {
        let mut format = Format::default()
            .with_header(self.has_header)
            .with_delimiter(self.delimiter)
            .with_quote(self.quote_byte())
            .with_truncated_rows(self.may_be_short);
        if let Some(escape) = self.escape {
            format = format.with_escape(escape);
        }
        if let Some(comment) = self.comment {
            format = format.with_comment(comment);
        }
        if let Some(terminator) = self.terminator {
            format = format.with_terminator(terminator);
        }
        if let Some(null) = &self.null {
            format = format.with_null_regex(null.clone());
        }
        format
    }

    /// The names in the first record; `None` if there are none.
    pub(super) fn header(&self, beginning: &[u8]) -> Result<Option<Vec<String>>, TextError> {
        if !self.has_header {
            return Ok(None);
        }
        let is_comment = |record: &[u8]| self.comment.is_some_and(|comment| record.first() == Some(&comment));
        let records = self.ends(false).split(beginning);
        let header = records.into_iter().find(|range| {
            let record = &beginning[range.clone()];
            !record.iter().all(|byte| matches!(byte, b'\r' | b'\n')) && !is_comment(record)
        });
        let Some(header) = header else { return Ok(None) };
        let read = self.format().infer_schema(&beginning[header], Some(0));
        let (schema, _) = read.map_err(|e| TextError::Record { line: 1, reason: reason(&e, None) })?;
        Ok(Some(schema.fields().iter().map(|field| field.name().clone()).collect()))
    }
}

/// Decodes the blocks of one file.
#[derive(Debug)]
pub(super) struct CsvDecoder {
    form: CsvForm,
    /// The columns of the file as it has them.
    in_file: SchemaRef,
    /// Those that are read, by place and ascending.
    places: Vec<usize>,
    /// What comes out.
    wanted: SchemaRef,
    batch_size: usize,
    decoders: Pool<reader::Decoder>,
}

impl CsvDecoder {
    /// Reads the columns `wanted` of a table whose files have the columns of `table`, from a file with this header.
    ///
    /// Columns are found by their names. Those that a statement has declared are found by their places, unless the header has
    /// all their names.
    pub(super) fn new(
        form: CsvForm,
        header: Option<&[String]>,
        table: &Schema,
        wanted: SchemaRef,
        is_declared: bool,
        batch_size: usize,
    ) -> Self {
        let has_all = |header: &&[String]| table.fields().iter().all(|field| header.contains(field.name()));
        let by_name = header.filter(|header| !is_declared || has_all(header));
        let in_file: Schema = match by_name {
            Some(names) => {
                let field = |name: &String| match table.field_with_name(name) {
                    Ok(field) => field.clone().with_nullable(true),
                    Err(_) => Field::new(name, DataType::Utf8, true),
                };
                Schema::new(names.iter().map(field).collect::<Vec<_>>())
            }
            None => table.clone(),
        };
        let place = |field: &Arc<Field>| in_file.fields().iter().position(|known| known.name() == field.name());
        let mut places: Vec<usize> = wanted.fields().iter().filter_map(place).collect();
        places.sort_unstable();
        places.dedup();
        Self { form, in_file: Arc::new(in_file), places, wanted, batch_size, decoders: Pool::default() }
    }

    /// The records of a block.
    pub(super) fn decode(&self, block: &Block) -> Result<Vec<RecordBatch>, ArrowError> {
        let has_header = block.is_first && self.form.has_header;
        let mut decoder = match has_header {
            true => self.decoder(true),
            false => self.decoders.take(|| Ok::<_, ArrowError>(self.decoder(false)))?,
        };
        let mut batches = vec![];
        let mut text = block.text.as_slice();
        loop {
            let read = decoder.decode(text)?;
            text = &text[read..];
            let is_at_end = text.is_empty() && decoder.decode(text)? == 0;
            if decoder.capacity() == 0 || is_at_end || read == 0 {
                match decoder.flush()? {
                    Some(batch) => batches.push(adapt(&batch, &self.wanted)?),
                    None if is_at_end => {
                        if !has_header {
                            self.decoders.give(decoder);
                        }
                        return Ok(batches);
                    }
                    None => {}
                }
            }
        }
    }

    fn decoder(&self, has_header: bool) -> reader::Decoder {
        let mut builder = ReaderBuilder::new(Arc::clone(&self.in_file))
            .with_format(self.form.format())
            .with_header(has_header)
            .with_projection(self.places.clone())
            .with_batch_size(self.batch_size);
        if let Some(null) = &self.form.null {
            builder = builder.with_null_regex(null.clone());
        }
        builder.build_decoder()
    }

    /// Whether a record of a first block is the header.
    pub(super) fn is_header(&self, block: &Block, record: usize) -> bool {
        block.is_first && self.form.has_header && record == 0
    }

    /// Why a record was refused.
    pub(super) fn reason(&self, error: &ArrowError) -> String {
        reason(error, Some(&self.in_file))
    }
}

/// Arrow's words without the whole record in them, with the column's name.
fn reason(error: &ArrowError, columns: Option<&Schema>) -> String {
    let text = match error {
        ArrowError::CsvError(text) | ArrowError::ParseError(text) => text.clone(),
        other => other.to_string(),
    };
    if let Some((found, expected)) = counts(&text) {
        return format!(
            "{found} values where there are {expected} columns; OPTIONS ('format.truncated_rows' 'true') in CREATE EXTERNAL \
             TABLE reads what is missing as NULL"
        );
    }
    // `Error while parsing value 'x' as type 'Int64' for column 3 at line 1. Row data: '[...]'`
    let parsed = text.split_once("value '").and_then(|(_, rest)| rest.split_once("' as type '"));
    let Some((value, rest)) = parsed else { return shortened(&text) };
    let data_type = rest.split('\'').next().unwrap_or_default();
    let column = rest.split_once("for column ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<usize>().ok());
    let name = column.and_then(|column| Some(columns?.fields().get(column)?.name().clone()));
    format!(
        "column {}: '{}' is no {data_type}, as which it was inferred or declared; SET tamis.files.sample_bytes to more, or \
         declare the columns in CREATE EXTERNAL TABLE",
        name.unwrap_or_default(),
        shortened(value)
    )
}

/// How many values there are and should be, if that is what is wrong.
fn counts(text: &str) -> Option<(u64, u64)> {
    let number = |before: &str| text.split_once(before)?.1.split(' ').next()?.parse().ok();
    text.contains("unequal lengths").then_some(())?;
    Some((number("found ")?, number("Expected ")?))
}
