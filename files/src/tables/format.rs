//! File formats by extension.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::plan_datafusion_err;
use datafusion::datasource::file_format::FileFormat;
use datafusion::error::Result;
use datafusion::execution::context::SessionState;

/// The extensions that are understood, for messages.
pub(super) const KNOWN: &str =
    "parquet, jsonl, ndjson, json, csv, tsv, arrow, feather (the text formats also .gz, .bz2, .xz, .zst)";

/// A file format and its compression, as a file's extension tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileKind {
    /// DataFusion's name of the format.
    format: &'static str,
    delimiter: Option<&'static str>,
    compression: Option<&'static str>,
    /// The extension as the file has it, with which a folder's other files are chosen.
    extension: String,
}

impl FileKind {
    /// The kind of a file by its name; `None` if the extension says nothing.
    pub(super) fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?;
        let (stem, last) = name.rsplit_once('.')?;
        let compression = compression(last);
        let (format_extension, extension) = match compression {
            Some(_) => {
                let inner = stem.rsplit_once('.')?.1;
                (inner, format!(".{inner}.{last}"))
            }
            None => (last, format!(".{last}")),
        };
        let (format, delimiter) = match format_extension.to_ascii_lowercase().as_str() {
            "parquet" | "parq" | "pq" => ("parquet", None),
            "json" | "jsonl" | "ndjson" => ("json", None),
            "csv" => ("csv", None),
            "tsv" => ("csv", Some("\t")),
            "arrow" | "feather" | "ipc" => ("arrow", None),
            _ => return None,
        };
        if compression.is_some() && matches!(format, "parquet" | "arrow") {
            return None;
        }
        Some(Self { format, delimiter, compression, extension })
    }

    /// The extension that the table's files share, with its dot.
    pub(super) fn extension(&self) -> &str {
        &self.extension
    }

    /// Whether the files are Parquet.
    pub(super) fn is_parquet(&self) -> bool {
        self.format == "parquet"
    }

    /// DataFusion's reader, with the session's options for the format.
    pub(super) fn format(&self, state: &SessionState) -> Result<Arc<dyn FileFormat>> {
        let factory = state
            .get_file_format_factory(self.format)
            .ok_or_else(|| plan_datafusion_err!("this build cannot read {} files", self.format))?;
        let options = [("format.delimiter", self.delimiter), ("format.compression", self.compression)];
        let options: HashMap<String, String> =
            options.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?.to_string()))).collect();
        factory.create(state, &options)
    }
}

fn compression(extension: &str) -> Option<&'static str> {
    match extension.to_ascii_lowercase().as_str() {
        "gz" | "gzip" => Some("gzip"),
        "bz2" => Some("bzip2"),
        "xz" => Some("xz"),
        "zst" | "zstd" => Some("zstd"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_extension() {
        for (path, format, compression, extension) in [
            ("a/b.parquet", "parquet", None, ".parquet"),
            ("b.JSONL", "json", None, ".JSONL"),
            ("x.y.csv.gz", "csv", Some("gzip"), ".csv.gz"),
            ("x.tsv", "csv", None, ".tsv"),
            ("x.ndjson.zst", "json", Some("zstd"), ".ndjson.zst"),
            ("x.feather", "arrow", None, ".feather"),
        ] {
            let kind = FileKind::of(path).unwrap();
            assert_eq!((kind.format, kind.compression, kind.extension()), (format, compression, extension), "{path}");
        }
    }

    #[test]
    fn unknown_kinds() {
        for path in ["README.md", "noextension", "x.parquet.gz", "data.d/file", ".gz", "x.gz"] {
            assert_eq!(FileKind::of(path), None, "{path}");
        }
    }

    #[test]
    fn csv_and_tsv_are_not_one_table() {
        assert_ne!(FileKind::of("a.csv"), FileKind::of("a.tsv"));
    }
}
