//! `tamis synth inspect`: what a file of samples has, and how it looks.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int32Type};
use futures::TryStreamExt;
use serde_json::{Value, json};
use tamis_engine::session::Session;
use tamis_models::preprocess::decode;
use tamis_synthesis::Level;
use tamis_synthesis::sheet::{Cell, contact_sheet};
use tamis_udfs::columns::{ImageRef, Row, SampleColumns};
use tamis_udfs::reach;

use crate::args::SessionArgs;
use crate::error::CommandError;

/// What is to be shown.
pub(super) struct Shown<'a> {
    /// Where the sheet goes, if one is wanted.
    pub(super) output: Option<&'a Path>,
    /// Samples of each level on it.
    pub(super) each: usize,
    /// Which are drawn.
    pub(super) seed: u64,
    pub(super) is_json: bool,
}

/// Prints statistics of samples, and draws some.
pub(super) async fn inspect(args: &SessionArgs, samples: &str, shown: &Shown<'_>) -> Result<(), CommandError> {
    let session = Session::open(&args.settings()).await?;
    let mut levels: BTreeMap<i32, Counts> = BTreeMap::new();
    let mut drawn: BTreeMap<i32, Vec<(u64, Cell)>> = BTreeMap::new();
    let reach = reach::of(&session.context().copied_config());
    let mut stream = session.data(samples).await?.execute_stream().await?;
    while let Some(batch) = stream.try_next().await? {
        let columns = Columns::of(&batch, samples)?;
        for row in 0..batch.num_rows() {
            let Some(level) = columns.level(row) else { continue };
            levels.entry(level).or_default().add(&columns, row);
            if shown.output.is_none() {
                continue;
            }
            // The least of hashes of rows are a sample, whatever their order.
            let rank = columns.rank(row, level, shown.seed);
            let cells = drawn.entry(level).or_default();
            if cells.len() < shown.each || cells.last().is_some_and(|(last, _)| rank < *last) {
                cells.push((rank, columns.cell(row, level, &reach)));
                cells.sort_by_key(|(rank, _)| *rank);
                cells.truncate(shown.each);
            }
        }
    }
    let text = if shown.is_json { format!("{:#}", as_json(&levels)) } else { as_text(&levels) };
    writeln!(std::io::stdout(), "{text}").map_err(CommandError::Print)?;
    if let Some(path) = shown.output {
        let cells: Vec<Cell> = drawn.into_values().rev().flatten().map(|(_, cell)| cell).collect();
        let failed = |source| CommandError::File { path: path.to_path_buf(), source };
        let sheet = contact_sheet(&cells).map_err(|error| failed(std::io::Error::other(error)))?;
        std::fs::write(path, sheet).map_err(failed)?;
    }
    Ok(())
}

/// What is counted of a level.
#[derive(Default)]
struct Counts {
    samples: u64,
    words: u64,
    shortest: Option<usize>,
    longest: usize,
    cost_usd: f64,
    splits: BTreeMap<String, u64>,
    changed: BTreeMap<String, u64>,
}

impl Counts {
    fn add(&mut self, columns: &Columns, row: usize) {
        let words = columns.text(row).split_whitespace().count();
        self.samples += 1;
        self.words += words as u64;
        self.shortest = Some(self.shortest.map_or(words, |shortest| shortest.min(words)));
        self.longest = self.longest.max(words);
        self.cost_usd += columns.cost(row);
        if let Some(split) = columns.word("split", row) {
            *self.splits.entry(split).or_default() += 1;
        }
        for property in columns.word("changed", row).iter().flat_map(|changed| changed.split(',')) {
            *self.changed.entry(property.to_string()).or_default() += 1;
        }
    }

    fn mean(&self) -> f64 {
        self.words as f64 / self.samples.max(1) as f64
    }
}

/// The columns of a batch of samples.
struct Columns<'a> {
    batch: &'a RecordBatch,
    samples: SampleColumns,
    levels: datafusion::arrow::array::Int32Array,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch, named: &str) -> Result<Self, CommandError> {
        let column = |name| batch.column_by_name(name);
        let pair = column("image").zip(column("text")).or(column("images").zip(column("texts")));
        let (Some((image, text)), Some(level)) = (pair, column("level")) else {
            let what = "no samples: expected the columns level, and image and text, or images and texts";
            return Err(CommandError::Usage(format!("{named}: {what}")));
        };
        let levels = cast(level, &DataType::Int32).map_err(datafusion::error::DataFusionError::from)?;
        let samples = SampleColumns::try_new(&[image.clone(), text.clone()])?;
        Ok(Self { batch, samples, levels: levels.as_primitive::<Int32Type>().clone() })
    }

    fn level(&self, row: usize) -> Option<i32> {
        self.levels.is_valid(row).then(|| self.levels.value(row))
    }

    fn word(&self, name: &str, row: usize) -> Option<String> {
        let column = cast(&self.batch.column_by_name(name)?.slice(row, 1), &DataType::Utf8).ok()?;
        let column = column.as_string::<i32>();
        column.is_valid(0).then(|| column.value(0).to_string())
    }

    fn cost(&self, row: usize) -> f64 {
        self.word("cost_usd", row).and_then(|cost| cost.parse().ok()).unwrap_or_default()
    }

    /// The text; that of a document with marks where its images stand.
    fn text(&self, row: usize) -> String {
        match self.samples.row(row) {
            Row::Pair { text, .. } => text.to_string(),
            Row::Document { images, texts } => {
                let parts =
                    images.iter().zip(texts).filter_map(|(image, text)| text.or(image.as_ref().map(|_| "[image]")));
                parts.collect::<Vec<_>>().join(" ")
            }
            Row::Null => String::new(),
        }
    }

    fn rank(&self, row: usize, level: i32, seed: u64) -> u64 {
        let uid = self.word("uid", row).unwrap_or_default();
        let hash = blake3::hash(format!("{seed} {level} {uid} {}", self.text(row)).as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    fn cell(&self, row: usize, level: i32, reach: &reach::Reach) -> Cell {
        let image: Option<ImageRef<'_>> = match self.samples.row(row) {
            Row::Pair { image, .. } => Some(image),
            Row::Document { images, .. } => images.into_iter().flatten().next(),
            Row::Null => None,
        };
        let image = image.and_then(|image| decode(&image.file(reach).ok()?, 1 << 28).ok());
        let head = [self.word("split", row), self.word("changed", row), self.word("uid", row)];
        Cell {
            image,
            level: Level::of(level),
            head: head.into_iter().flatten().collect::<Vec<_>>().join("  "),
            text: self.text(row),
        }
    }
}

fn as_json(levels: &BTreeMap<i32, Counts>) -> Value {
    let levels = levels.iter().map(|(level, counts)| {
        json!({
            "level": level,
            "samples": counts.samples,
            "mean_words": counts.mean(),
            "shortest": counts.shortest.unwrap_or_default(),
            "longest": counts.longest,
            "cost_usd": counts.cost_usd,
            "splits": counts.splits,
            "changed": counts.changed,
        })
    });
    json!({"levels": levels.collect::<Vec<_>>()})
}

fn as_text(levels: &BTreeMap<i32, Counts>) -> String {
    let mut lines = vec!["level  samples   mean words  shortest  longest  splits".to_string()];
    let listed =
        |of: &BTreeMap<String, u64>| of.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ");
    for (level, counts) in levels.iter().rev() {
        lines.push(format!(
            "{level:<6} {:<9} {:<11.1} {:<9} {:<8} {}",
            counts.samples,
            counts.mean(),
            counts.shortest.unwrap_or_default(),
            counts.longest,
            listed(&counts.splits)
        ));
    }
    for (level, counts) in levels.iter().rev().filter(|(_, counts)| !counts.changed.is_empty()) {
        lines.push(format!("changed in level {level}: {}", listed(&counts.changed)));
    }
    let cost: f64 = levels.values().map(|counts| counts.cost_usd).sum();
    lines.push(format!("cost ${cost:.4}"));
    lines.join("\n")
}
