//! What a CPU thread does for a row before the device sees it; the throughput is in rows.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use tamis_benches::{corpus, photograph};
use tamis_models::unifilter::UniFilter;
use tamis_models::{Limits, Sample, Scorer};

pub(crate) fn bench(criterion: &mut Criterion, model: &UniFilter) -> anyhow::Result<()> {
    let limits = Limits::default();
    let rows = corpus()?;
    let photograph = photograph()?;
    let text = "A tall pagoda with orange and green tiled roofs rises above trees on a hill by a lake.";

    let mut group = criterion.benchmark_group("prepare");
    group.throughput(Throughput::Elements(rows.len() as u64));
    // An empty image is refused once the text has been tokenised: what is left is the tokeniser's work.
    group.bench_function("tokenise the corpus", |b| {
        b.iter(|| {
            rows.iter().filter(|r| model.prepare(&Sample::Pair { image: &[], text: &r.text }, &limits).is_err()).count()
        });
    });
    group.throughput(Throughput::Elements(1));
    let row = Sample::Pair { image: &photograph, text };
    model.prepare(&row, &limits)?;
    group.bench_function("photograph and caption", |b| b.iter(|| model.prepare(black_box(&row), &limits)));
    group.finish();
    Ok(())
}
