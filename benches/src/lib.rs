//! What the benchmarks read: the pictures and captions of `examples/corpus`, and photographs as the web has them.
//!
//! `benches/README.md` says how to run everything here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use datafusion::arrow::array::{Array, BinaryArray, StringArray};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// An image file and its caption.
#[derive(Debug, Clone)]
pub struct Row {
    /// The encoded image.
    pub image: Vec<u8>,
    /// The caption.
    pub text: String,
}

/// The ordinary rows of `examples/corpus/captions.parquet`: those without a note.
pub fn corpus() -> Result<Vec<Row>> {
    let path = root().join("examples/corpus/captions.parquet");
    let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let columns = ProjectionMask::columns(builder.parquet_schema(), ["text", "image", "note"]);
    let mut rows = Vec::new();
    for batch in builder.with_projection(columns).build()? {
        ordinary(&batch?, &mut rows)?;
    }
    ensure!(!rows.is_empty(), "{} has no ordinary rows", path.display());
    Ok(rows)
}

/// A photograph of 640 x 427 pixels as a baseline JPEG of 143 kB.
pub fn photograph() -> Result<Vec<u8>> {
    let path = root().join("models/tests/golden/images/c01.jpg");
    fs::read(&path).with_context(|| format!("reading {}", path.display()))
}

/// The JPEGs of a folder by name, with their paths.
pub fn jpegs(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let listing = || format!("listing {}", folder.display());
    let entries: Vec<fs::DirEntry> = fs::read_dir(folder).and_then(Iterator::collect).with_context(listing)?;
    let is_jpeg = |path: &PathBuf| {
        path.extension().is_some_and(|e| e.eq_ignore_ascii_case("jpg") || e.eq_ignore_ascii_case("jpeg"))
    };
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).filter(is_jpeg).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let file = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok((path, file))
    };
    paths.into_iter().map(read).collect()
}

fn ordinary(batch: &RecordBatch, rows: &mut Vec<Row>) -> Result<()> {
    let column = |name: &str| batch.column_by_name(name).with_context(|| format!("no column {name}"));
    let images = column("image")?.as_any().downcast_ref::<BinaryArray>().context("image is not Binary")?;
    let texts = column("text")?.as_any().downcast_ref::<StringArray>().context("text is not Utf8")?;
    let notes = column("note")?;
    rows.extend(
        (0..batch.num_rows())
            .filter(|&i| notes.is_null(i))
            .map(|i| Row { image: images.value(i).to_vec(), text: texts.value(i).to_string() }),
    );
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ordinary_rows_only() {
        let rows = corpus().unwrap();
        assert_eq!(rows.len(), 202);
        assert!(rows.iter().all(|r| !r.image.is_empty() && !r.text.is_empty()));
    }

    #[test]
    fn a_folder_s_jpegs_come_by_name() {
        let found = jpegs(&root().join("models/tests/golden/images")).unwrap();
        assert!(found.len() > 1 && found.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(found.iter().all(|(_, file)| file.starts_with(b"\xff\xd8\xff")));
    }

    #[test]
    fn the_photograph_is_a_jpeg() {
        assert!(photograph().unwrap().starts_with(b"\xff\xd8\xff"));
    }
}
