//! Looking up a batch of rows among ten million remembered scores.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use criterion::{BatchSize, Criterion, Throughput};
use datafusion::config::ExtensionOptions;
use tamis_udfs::cache::{KnownScore, ModelScores, Place, ScoreCache, ScoreKey, info};
use tamis_udfs::options::TamisOptions;

const ENTRIES: u64 = 10_000_000;
const BATCH: u64 = 1_024;
const MODEL: &str = "00112233445566778899aabbccddeeff";

fn main() -> Result<()> {
    let mut criterion = Criterion::default().sample_size(30).configure_from_args();
    let folder = std::env::temp_dir().join(format!("tamis-cache-bench-{}", std::process::id()));
    let measured = measure(&mut criterion, folder.to_str().context("a path that is UTF-8")?);
    std::fs::remove_dir_all(&folder)?;
    measured?;
    criterion.final_summary();
    Ok(())
}

fn measure(criterion: &mut Criterion, path: &str) -> Result<()> {
    let mut options = TamisOptions::default();
    options.set("cache.path", path)?;
    let cache = ScoreCache::open(&options).context("a cache")?;
    let model = cache.model(MODEL);
    let started = Instant::now();
    for n in 0..ENTRIES {
        model.put(key(n), KnownScore::Score(n as f32));
        if n.is_multiple_of(65_536) {
            ensure!(cache.flush(Duration::from_secs(60)), "the cache was not written");
        }
    }
    ensure!(cache.flush(Duration::from_secs(60)), "the cache was not written");
    let place = Place::parse(path)?.context("a place")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shown = runtime.block_on(info(&place))?;
    let known = shown.models.first().context("a model")?;
    eprintln!(
        "{} scores in {} segments of {} bytes, written in {:.1} s",
        known.entries,
        known.segments,
        known.bytes,
        started.elapsed().as_secs_f64()
    );
    ensure!(known.entries == ENTRIES, "scores are missing");

    let mut group = criterion.benchmark_group("cache");
    group.throughput(Throughput::Elements(BATCH));
    for (name, known_of_ten) in [("all known", 10), ("half known", 5), ("none known", 0)] {
        // Other rows each time: the processor's own caches must not know them.
        let mut next = 0;
        let mut batch = || {
            next += 1;
            let row = |n: u64| {
                let row = (next * BATCH + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) % ENTRIES;
                key(if n % 10 < known_of_ten { row } else { ENTRIES + row })
            };
            (0..BATCH).map(row).collect::<Vec<_>>()
        };
        group
            .bench_function(name, |b| b.iter_batched(&mut batch, |keys| look_up(&model, &keys), BatchSize::SmallInput));
    }
    group.finish();
    Ok(())
}

fn look_up(model: &ModelScores, keys: &[ScoreKey]) -> usize {
    keys.iter().filter(|key| black_box(model.get(key)).is_some()).count()
}

/// Spread evenly, as hashes are: the finaliser of MurmurHash3 twice.
fn key(n: u64) -> ScoreKey {
    let mix = |mut x: u64| {
        x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^ (x >> 33)
    };
    ScoreKey::from_bytes(((u128::from(mix(n + 1)) << 64) | u128::from(mix(n + (1 << 40)))).to_be_bytes())
}
