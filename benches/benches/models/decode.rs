//! Decoding to RGB, and to what the vision tower reads, by format; the throughput is in pixels.

use anyhow::Context;
use criterion::{BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use tamis_benches::{corpus, photograph};
use tamis_models::Limits;
use tamis_models::preprocess::{Filter, ImageFormat, decode, decode_resized, probe};

pub(crate) fn bench(criterion: &mut Criterion) -> anyhow::Result<()> {
    let limit = Limits::default().max_image_pixels;
    let rows = corpus()?;
    let mut group = criterion.benchmark_group("decode");
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let image = match format {
            ImageFormat::Jpeg => photograph()?,
            _ => rows
                .iter()
                .filter_map(|r| probe(&r.image).ok().map(|info| (info, &r.image)))
                .filter(|(info, _)| info.format == format)
                .max_by_key(|(info, image)| (info.width * info.height, image.len()))
                .map(|(_, image)| image.clone())
                .with_context(|| format!("no {format:?} in the corpus"))?,
        };
        let rgb = decode(&image, limit)?;
        group.throughput(Throughput::Elements(u64::from(rgb.width) * u64::from(rgb.height)));
        let name = BenchmarkId::new(format!("{format:?}"), format_args!("{}x{}", rgb.width, rgb.height));
        group.bench_function(name, |b| b.iter(|| decode(black_box(&image), limit)));
        let name = BenchmarkId::new(format!("{format:?} to 384x384"), format_args!("{}x{}", rgb.width, rgb.height));
        let resized = || decode_resized(black_box(&image), limit, (384, 384), Filter::Bicubic);
        group.bench_function(name, |b| b.iter(resized));
    }
    group.finish();
    Ok(())
}
