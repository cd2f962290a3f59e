//! How the files of a table are to be read, and that on the wire.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::common::{plan_datafusion_err, plan_err};
use datafusion::config::{ConfigFileType, CsvOptions};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::Result;
use object_store::path::Path;
use prost::Message;
use regex::Regex;
use tamis_udfs::options::{InvalidUtf8, TamisOptions};

use super::csv::{CsvForm, Quote};
use crate::stores::written_name;
use crate::tables::format::{FileKind, FormatName};

/// How files are read that are read from their beginning to their end.
#[derive(Debug, Clone)]
pub(in crate::tables) struct Form {
    pub(super) text: Text,
    /// How all files are compressed; without it each is as its name says.
    compression: Option<FileCompressionType>,
    /// Whether a statement has declared the columns.
    pub(super) is_declared: bool,
    /// Whether what is not UTF-8 is read as U+FFFD.
    pub(super) replaces_invalid: bool,
    /// The columns in which texts that are not UTF-8 are marked for a model.
    pub(super) marked: Arc<[String]>,
}

/// What a file's bytes are.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Csv(CsvForm),
    Json,
    Arrow,
}

impl Form {
    /// How files of this kind are read, with the options of a session and of a statement. `None`: not from their beginning.
    pub(in crate::tables) fn of(
        kind: &FileKind,
        session: &dyn Session,
        options: &HashMap<String, String>,
        is_declared: bool,
    ) -> Result<Option<Self>> {
        let (text, compression) = match kind.name() {
            FormatName::Parquet => return Ok(None),
            FormatName::Arrow => (Text::Arrow, CompressionTypeVariant::UNCOMPRESSED),
            FormatName::Json => {
                let mut known = session.default_table_options();
                known.set_config_format(ConfigFileType::JSON);
                known.alter_with_string_hash_map(options)?;
                (Text::Json, known.json.compression)
            }
            FormatName::Csv | FormatName::Tsv => {
                let (form, compression) = csv(kind.name() == FormatName::Tsv, session, options)?;
                (Text::Csv(form), compression)
            }
        };
        let compression = (compression != CompressionTypeVariant::UNCOMPRESSED).then(|| compression.into());
        let replaces = TamisOptions::from_config(session.config_options()).invalid_utf8() == InvalidUtf8::Replace;
        Ok(Some(Self { text, compression, is_declared, replaces_invalid: replaces, marked: Arc::default() }))
    }

    /// How a file is compressed.
    pub(super) fn compression_of(&self, location: &Path) -> FileCompressionType {
        let by_name = || FileKind::of(&written_name(location)).and_then(|kind| kind.compression());
        self.compression.or_else(by_name).unwrap_or(FileCompressionType::UNCOMPRESSED)
    }

    /// The format's name in plans.
    pub(super) fn name(&self) -> &'static str {
        match &self.text {
            Text::Csv(form) if form.delimiter == b'\t' => "tsv",
            Text::Csv(_) => "csv",
            Text::Json => "json",
            Text::Arrow => "arrow",
        }
    }
}

fn csv(
    is_tsv: bool,
    session: &dyn Session,
    options: &HashMap<String, String>,
) -> Result<(CsvForm, CompressionTypeVariant)> {
    let mut options = options.clone();
    let quote_key = options.keys().find(|key| matches!(key.as_str(), "format.quote" | "quote")).cloned();
    let asked = quote_key.as_ref().and_then(|key| options.get(key)).cloned();
    // No character is no value of DataFusion's option.
    if let (Some(key), Some("")) = (&quote_key, asked.as_deref()) {
        options.remove(key);
    }
    let mut known = session.default_table_options();
    known.set_config_format(ConfigFileType::CSV);
    known.alter_with_string_hash_map(&options)?;
    let csv: CsvOptions = known.csv;
    let has_delimiter = options.keys().any(|key| matches!(key.as_str(), "format.delimiter" | "delimiter"));
    let quote = match asked.as_deref() {
        Some("") => Quote::None,
        None if is_tsv => Quote::Perhaps(csv.quote),
        _ => Quote::Byte(csv.quote),
    };
    let null = csv.null_regex.filter(|text| !text.is_empty()).map(|text| {
        Regex::new(&text).map_err(|e| plan_datafusion_err!("format.null_regex: {text} is no regular expression: {e}"))
    });
    let form = CsvForm {
        has_header: csv.has_header.unwrap_or(session.config_options().catalog.has_header),
        delimiter: if is_tsv && !has_delimiter { b'\t' } else { csv.delimiter },
        quote,
        escape: csv.escape,
        comment: csv.comment,
        terminator: csv.terminator,
        may_be_short: csv.truncated_rows.unwrap_or(false),
        null: null.transpose()?,
    };
    Ok((form, csv.compression))
}

/// A form on the wire.
#[derive(Clone, PartialEq, Message)]
pub(in crate::tables) struct FormMessage {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(string, optional, tag = "2")]
    compression: Option<String>,
    #[prost(bool, tag = "3")]
    is_declared: bool,
    #[prost(bool, tag = "4")]
    replaces_invalid: bool,
    #[prost(message, optional, tag = "5")]
    csv: Option<CsvMessage>,
    #[prost(string, repeated, tag = "6")]
    marked: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct CsvMessage {
    #[prost(bool, tag = "1")]
    has_header: bool,
    #[prost(uint32, tag = "2")]
    delimiter: u32,
    #[prost(uint32, optional, tag = "3")]
    quote: Option<u32>,
    #[prost(bool, tag = "4")]
    perhaps: bool,
    #[prost(uint32, optional, tag = "5")]
    escape: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    comment: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    terminator: Option<u32>,
    #[prost(bool, tag = "8")]
    may_be_short: bool,
    #[prost(string, optional, tag = "9")]
    null: Option<String>,
}

impl From<&Form> for FormMessage {
    fn from(form: &Form) -> Self {
        let csv = match &form.text {
            Text::Csv(csv) => Some(CsvMessage {
                has_header: csv.has_header,
                delimiter: csv.delimiter.into(),
                quote: match csv.quote {
                    Quote::None => None,
                    Quote::Byte(quote) | Quote::Perhaps(quote) => Some(quote.into()),
                },
                perhaps: matches!(csv.quote, Quote::Perhaps(_)),
                escape: csv.escape.map(u32::from),
                comment: csv.comment.map(u32::from),
                terminator: csv.terminator.map(u32::from),
                may_be_short: csv.may_be_short,
                null: csv.null.as_ref().map(ToString::to_string),
            }),
            _ => None,
        };
        let text = match &form.text {
            Text::Csv(_) => "csv",
            Text::Json => "json",
            Text::Arrow => "arrow",
        };
        Self {
            text: text.to_string(),
            compression: form.compression.map(|compression| compression.get_variant().to_string()),
            is_declared: form.is_declared,
            replaces_invalid: form.replaces_invalid,
            csv,
            marked: form.marked.to_vec(),
        }
    }
}

impl TryFrom<FormMessage> for Form {
    type Error = datafusion::error::DataFusionError;

    fn try_from(message: FormMessage) -> Result<Self> {
        let byte =
            |value: u32| u8::try_from(value).map_err(|_| plan_datafusion_err!("a scan came with the byte {value}"));
        let text = match (message.text.as_str(), message.csv) {
            ("json", _) => Text::Json,
            ("arrow", _) => Text::Arrow,
            ("csv", Some(csv)) => Text::Csv(CsvForm {
                has_header: csv.has_header,
                delimiter: byte(csv.delimiter)?,
                quote: match csv.quote.map(byte).transpose()? {
                    None => Quote::None,
                    Some(quote) if csv.perhaps => Quote::Perhaps(quote),
                    Some(quote) => Quote::Byte(quote),
                },
                escape: csv.escape.map(byte).transpose()?,
                comment: csv.comment.map(byte).transpose()?,
                terminator: csv.terminator.map(byte).transpose()?,
                may_be_short: csv.may_be_short,
                null: csv.null.map(|null| Regex::new(&null).map_err(|e| plan_datafusion_err!("{e}"))).transpose()?,
            }),
            (other, _) => return plan_err!("a scan came of files of the unknown format {other:?}"),
        };
        let compression = message.compression.map(|name| FileCompressionType::from_str(&name)).transpose()?;
        Ok(Self {
            text,
            compression,
            is_declared: message.is_declared,
            replaces_invalid: message.replaces_invalid,
            marked: message.marked.into(),
        })
    }
}
