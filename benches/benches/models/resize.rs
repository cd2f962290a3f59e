//! Resizing to what the vision tower reads; the throughput is in pixels of the source.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use tamis_benches::photograph;
use tamis_models::Limits;
use tamis_models::preprocess::{Filter, decode, resize};

const SIDE: u32 = 384;

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let photograph = decode(&photograph()?, Limits::default().max_image_pixels)?;
    let large = resize(&photograph, 2560, 1708, Filter::Bicubic);
    let small = resize(&photograph, 160, 107, Filter::Bicubic);
    let mut group = criterion.benchmark_group("resize");
    for image in [&small, &photograph, &large] {
        group.throughput(Throughput::Elements(u64::from(image.width) * u64::from(image.height)));
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            let name = BenchmarkId::new(format!("{filter:?}"), format_args!("{}x{}", image.width, image.height));
            group.bench_function(name, |b| b.iter(|| resize(black_box(image), SIDE, SIDE, filter)));
        }
    }
    group.finish();
    Ok(())
}
