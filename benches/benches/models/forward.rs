//! The forward passes of the embedded model in f32; the throughput is in rows.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use tamis_benches::corpus;
use tamis_models::unifilter::UniFilter;
use tamis_models::{Limits, Prepared, Sample, Scorer};

pub(crate) fn bench(criterion: &mut Criterion, model: &UniFilter) -> anyhow::Result<()> {
    let limits = Limits::default();
    let rows = corpus()?;
    let prepared =
        rows.iter().take(16).map(|r| model.prepare(&Sample::Pair { image: &r.image, text: &r.text }, &limits));
    let prepared: Vec<Prepared> = prepared.collect::<Result<_, _>>()?;

    for batch in [&prepared[..1], &prepared[..]] {
        let images: Vec<&[u8]> = batch.iter().flat_map(|p| &p.images).map(Vec::as_slice).collect();
        let embeddings = model.image_embeddings(&images)?;
        let mut group = criterion.benchmark_group("forward");
        group.throughput(Throughput::Elements(batch.len() as u64));
        group.bench_function(BenchmarkId::new("vision", batch.len()), |b| {
            b.iter(|| model.image_embeddings(black_box(&images)))
        });
        group.bench_function(BenchmarkId::new("language", batch.len()), |b| {
            b.iter(|| model.last_states(black_box(batch), Some(&embeddings)));
        });
        group.bench_function(BenchmarkId::new("score", batch.len()), |b| b.iter(|| model.score(black_box(batch))));
        group.finish();
    }
    Ok(())
}
