//! The forward passes of the embedded model in f32; the throughput is in rows.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use tamis_benches::corpus;
use tamis_models::unifilter::UniFilter;
use tamis_models::{Limits, Prepared, PreparedImage, Sample, Scorer};

pub(crate) fn bench(criterion: &mut Criterion, model: &UniFilter) -> anyhow::Result<()> {
    let limits = Limits::default();
    let rows = corpus()?;
    let prepared =
        rows.iter().take(16).map(|r| model.prepare(&Sample::Pair { image: &r.image, text: &r.text }, &limits));
    let prepared: Vec<Prepared> = prepared.collect::<Result<_, _>>()?;

    for batch in [&prepared[..1], &prepared[..]] {
        // Images that keep their embeddings would cost nothing the second time.
        let fresh = || batch.iter().map(without_embeddings).collect::<Vec<_>>();
        model.encode_images(batch)?;
        let mut group = criterion.benchmark_group("forward");
        group.throughput(Throughput::Elements(batch.len() as u64));
        group.bench_function(BenchmarkId::new("vision", batch.len()), |b| {
            b.iter_batched(fresh, |batch| model.encode_images(&batch), BatchSize::LargeInput)
        });
        group.bench_function(BenchmarkId::new("language", batch.len()), |b| {
            b.iter(|| model.last_states(black_box(batch)));
        });
        group.bench_function(BenchmarkId::new("score", batch.len()), |b| {
            b.iter_batched(fresh, |batch| model.score(&batch), BatchSize::LargeInput)
        });
        group.finish();
    }
    Ok(())
}

fn without_embeddings(sample: &Prepared) -> Prepared {
    let images = sample.images.iter().map(|image| Arc::new(PreparedImage::new(image.pixels().to_vec()))).collect();
    Prepared { images, ..sample.clone() }
}
