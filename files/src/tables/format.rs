//! File formats by extension.

use datafusion::common::plan_datafusion_err;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::Result;

/// The extensions that are understood, for messages.
pub(super) const KNOWN: &str =
    "parquet, jsonl, ndjson, json, csv, tsv, arrow, feather (the text formats also .gz, .bz2, .xz, .zst)";

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FormatName {
    Parquet,
    Csv,
    Tsv,
    Json,
    Arrow,
}

/// A file format and its compression, as a file's extension tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileKind {
    name: FormatName,
    compression: Option<FileCompressionType>,
}

impl FileKind {
    /// The kind of a file by its name, in capitals or not; `None` if the extension says nothing.
    pub(super) fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?.to_ascii_lowercase();
        let (stem, last) = name.rsplit_once('.')?;
        let compression = compression(last);
        let extension = if compression.is_some() { stem.rsplit_once('.')?.1 } else { last };
        let name = match extension {
            "parquet" | "parq" | "pq" => FormatName::Parquet,
            "json" | "jsonl" | "ndjson" => FormatName::Json,
            "csv" => FormatName::Csv,
            "tsv" => FormatName::Tsv,
            "arrow" | "feather" | "ipc" | "arrows" => FormatName::Arrow,
            _ => return None,
        };
        if compression.is_some() && matches!(name, FormatName::Parquet | FormatName::Arrow) {
            return None;
        }
        Some(Self { name, compression })
    }

    /// The kind that a statement names: `STORED AS CSV`.
    pub(super) fn named(name: &str) -> Result<Self> {
        let name = match name.to_ascii_uppercase().as_str() {
            "PARQUET" => FormatName::Parquet,
            "CSV" => FormatName::Csv,
            "TSV" => FormatName::Tsv,
            "JSON" | "NDJSON" | "JSONL" => FormatName::Json,
            "ARROW" | "FEATHER" => FormatName::Arrow,
            _ => {
                return Err(plan_datafusion_err!(
                    "files of format {name} cannot be read; PARQUET, CSV, TSV, JSON and ARROW can"
                ));
            }
        };
        Ok(Self { name, compression: None })
    }

    /// What is in the file.
    pub(super) fn name(&self) -> FormatName {
        self.name
    }

    /// How the file is compressed, if it is.
    pub(super) fn compression(&self) -> Option<FileCompressionType> {
        self.compression
    }

    /// Whether files of the two kinds can be one table: whatever their compression.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

fn compression(extension: &str) -> Option<FileCompressionType> {
    match extension {
        "gz" | "gzip" => Some(FileCompressionType::GZIP),
        "bz2" => Some(FileCompressionType::BZIP2),
        "xz" => Some(FileCompressionType::XZ),
        "zst" | "zstd" => Some(FileCompressionType::ZSTD),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_extension() {
        use FormatName::*;
        for (path, name, compression) in [
            ("a/b.parquet", Parquet, None),
            ("b.JSONL", Json, None),
            ("b.PARQUET", Parquet, None),
            ("x.y.csv.gz", Csv, Some(FileCompressionType::GZIP)),
            ("x.tsv", Tsv, None),
            ("x.NDJSON.zst", Json, Some(FileCompressionType::ZSTD)),
            ("x.feather", Arrow, None),
        ] {
            assert_eq!(FileKind::of(path), Some(FileKind { name, compression }), "{path}");
        }
    }

    #[test]
    fn unknown_kinds() {
        for path in ["README.md", "noextension", "x.parquet.gz", "data.d/file", ".gz", "x.gz"] {
            assert_eq!(FileKind::of(path), None, "{path}");
        }
        assert!(FileKind::named("XLSX").unwrap_err().to_string().contains("XLSX"));
    }

    #[test]
    fn csv_and_tsv_are_not_one_table() {
        let kind = |path| FileKind::of(path).unwrap();
        assert!(!kind("a.csv").is_same(&kind("a.tsv")) && kind("a.csv").is_same(&kind("b.CSV.gz")));
    }
}
