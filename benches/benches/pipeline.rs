//! What the way through SQL costs beside the model itself.
//!
//! The device is a stand-in that sleeps a fixed time for each pass, so that a busy machine cannot blur the comparison; rows
//! are prepared as for the real model. A query scores them, then the same prepared batches are given to the stand-in
//! directly. What the query takes longer is the engine's: planning, reading, waiting for the first rows, passing results
//! on.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use datafusion::arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use parking_lot::Mutex;
use tamis_benches::corpus;
use tamis_engine::session::{Session, SessionSettings};
use tamis_models::checkpoint::Location;
use tamis_models::{
    DeviceChoice, DtypeChoice, Limits, LoadError, ModelError, Prepared, Sample, SampleError, Scored, Scorer,
};
use tamis_udfs::runtime::register_scorer;

/// Where the stand-in is the model.
const MODEL: &str = "stand-in://device";
/// What a pass takes: about a full-size model's time for a CPU's batch on a GPU.
const PASS: Duration = Duration::from_millis(50);
/// Captions over each image of the corpus.
const CAPTIONS: usize = 4;
/// Measurements; the middle one counts.
const ROUNDS: usize = 5;

/// Prepares as the embedded model does, and sleeps where that would compute.
#[derive(Debug)]
struct StandIn {
    model: Arc<dyn Scorer>,
    passes: Mutex<Vec<Vec<Prepared>>>,
}

impl Scorer for StandIn {
    fn fingerprint(&self) -> Result<&str, LoadError> {
        self.model.fingerprint()
    }

    fn prepare(&self, sample: &Sample<'_>, limits: &Limits) -> Result<Prepared, SampleError> {
        self.model.prepare(sample, limits)
    }

    fn score(&self, batch: &[Prepared]) -> Result<Scored, ModelError> {
        let begun = Instant::now();
        self.passes.lock().push(batch.to_vec());
        let scores = batch.iter().map(|sample| sample.positions as f32).collect();
        sleep(PASS.saturating_sub(begun.elapsed()));
        Ok(Scored { scores, images_encoded: 0 })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rows.parquet");
    let rows = write_rows(&file)?;
    let model = tamis_models::load(&Location::default_model(), DeviceChoice::Cpu, DtypeChoice::F32)?;
    let device = Arc::new(StandIn { model, passes: Mutex::default() });
    let scorer: Arc<dyn Scorer> = device.clone();
    register_scorer(&Location::parse(MODEL)?, &scorer)?;
    let options = [("tamis.unifilter.model", MODEL), ("tamis.scoring.device", "cpu"), ("tamis.cache.path", "off")];
    let options = options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let session = Session::open(&SessionSettings { options, corpus: None }).await?;
    let query = format!("SELECT text, unifilter(image, text) AS q FROM '{}'", file.display());
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let batches = session.context().sql(&query).await?.collect().await?;
        let sql = begun.elapsed();
        ensure!(batches.iter().map(RecordBatch::num_rows).sum::<usize>() == rows, "rows went missing");
        let passes = std::mem::take(&mut *device.passes.lock());
        let begun = Instant::now();
        for batch in &passes {
            black_box(device.score(batch)?);
        }
        let direct = begun.elapsed();
        device.passes.lock().clear();
        let ratio = sql.as_secs_f64() / direct.as_secs_f64();
        eprintln!(
            "{rows} rows in {} passes: {:.3} s by SQL, {:.3} s directly, ratio {ratio:.3}",
            passes.len(),
            sql.as_secs_f64(),
            direct.as_secs_f64()
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios.get(ROUNDS / 2).context("no round")?;
    eprintln!("by SQL over directly: {ratio:.3} (at most 1.05 is wanted)");
    Ok(())
}

/// The corpus's images, each with several captions; how many rows that gives.
fn write_rows(path: &Path) -> Result<usize> {
    let rows = corpus()?;
    let captions = (0..CAPTIONS).flat_map(|n| rows.iter().map(move |row| (&row.image, format!("{} ({n})", row.text))));
    let (images, texts): (Vec<_>, Vec<_>) = captions.unzip();
    let columns: [(&str, ArrayRef); 2] = [
        ("image", Arc::new(BinaryArray::from_iter_values(images))),
        ("text", Arc::new(StringArray::from_iter_values(texts))),
    ];
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path)?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(batch.num_rows())
}
