//! How much of the CPU's peak a forward pass reaches, piece by piece.
//!
//!     cargo bench --bench roofline -- --model DIR [--dtypes f32,bf16,int8] [--rows N] [--json FILE]
//!
//! The peak is measured beside each piece, on as many threads as the model uses: a machine whose speed changes changes
//! both. Without --model, the embedded tiny model runs: it has the shape of the released ones and next to none of their
//! arithmetic, so its shares mean little.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tamis_benches::corpus;
use tamis_models::checkpoint::Location;
use tamis_models::unifilter::UniFilter;
use tamis_models::{DeviceChoice, DtypeChoice, Limits, Prepared, PreparedImage, Sample, Scorer, roofline};

/// A piece's operations and its rate against the peak measured before and after it.
struct Piece {
    name: &'static str,
    operations: f64,
    shares: Vec<f64>,
    rates: Vec<f64>,
}

const REPEATS: usize = 5;

struct Arguments {
    model: Location,
    dtypes: Vec<String>,
    rows: usize,
    json: Option<String>,
}

fn arguments() -> Result<Arguments> {
    let mut parsed = Arguments {
        model: Location::default_model(),
        dtypes: ["f32", "bf16", "int8"].map(String::from).to_vec(),
        rows: 4,
        json: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--model" => parsed.model = Location::parse(&value()?)?,
            "--dtypes" => parsed.dtypes = value()?.split(',').map(String::from).collect(),
            "--rows" => parsed.rows = value()?.parse()?,
            "--json" => parsed.json = Some(value()?),
            // Cargo's own.
            "--bench" => {}
            other => anyhow::bail!("{other} is not understood; --model, --dtypes, --rows and --json are"),
        }
    }
    Ok(parsed)
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    let threads = std::thread::available_parallelism()?.get();
    let mut out = std::io::stdout();
    writeln!(out, "{threads} threads, {} instructions; operations in 10^9 a second\n", roofline::instructions())?;
    writeln!(out, "| dtype | multiplies | peak of one thread | of all | piece | rate | share of the peak |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let mut lines = Vec::new();
    for name in &arguments.dtypes {
        let dtype: DtypeChoice = name.parse()?;
        let (one, numbers) = roofline::peak_of_a_thread(dtype, 1.);
        let all = peak(dtype, threads, 1.);
        for piece in pieces(&arguments, dtype, threads)? {
            let (rate, share) = (median(&piece.rates), median(&piece.shares));
            writeln!(
                out,
                "| {name} | {numbers} | {:.0} | {:.0} | {} | {:.0} | {:.0} % |",
                one / 1e9,
                all / 1e9,
                piece.name,
                rate / 1e9,
                share * 100.
            )?;
            lines.push(format!(
                "{{\"dtype\": \"{name}\", \"numbers\": \"{numbers}\", \"peak_of_a_thread\": {one:.4e}, \"peak\": {all:.4e}, \
                 \"piece\": \"{}\", \"operations\": {:.4e}, \"rate\": {rate:.4e}, \"share\": {share:.4}}}",
                piece.name, piece.operations
            ));
        }
    }
    if let Some(file) = arguments.json {
        std::fs::write(&file, format!("[\n{}\n]\n", lines.join(",\n"))).with_context(|| format!("writing {file}"))?;
    }
    Ok(())
}

/// The peak of as many threads at once.
fn peak(dtype: DtypeChoice, threads: usize, seconds: f64) -> f64 {
    std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..threads).map(|_| scope.spawn(move || roofline::peak_of_a_thread(dtype, seconds).0)).collect();
        all.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN)).sum()
    })
}

fn pieces(arguments: &Arguments, dtype: DtypeChoice, threads: usize) -> Result<[Piece; 3]> {
    let model = UniFilter::load(&arguments.model, DeviceChoice::Cpu, dtype)?;
    let rows = corpus()?;
    let prepare = |row: &tamis_benches::Row| {
        model.prepare(&Sample::Pair { image: &row.image, text: &row.text }, &Limits::default())
    };
    let batch: Vec<Prepared> = rows.iter().take(arguments.rows).map(prepare).collect::<Result<_, _>>()?;
    ensure!(!batch.is_empty(), "--rows 0 measures nothing");
    let (mut image, mut text) = (0., 0.);
    for sample in &batch {
        let work = model.work(sample.ids.len());
        (image, text) = (image + work.image, text + work.text);
    }
    let piece = |name, operations| Piece { name, operations, shares: Vec::new(), rates: Vec::new() };
    let mut pieces = [piece("vision", image), piece("language", text), piece("whole", image + text)];
    model.score(&batch)?;
    for _ in 0..REPEATS {
        for piece in &mut pieces {
            // Images that keep their embeddings would cost nothing the second time.
            let fresh: Vec<Prepared> = batch.iter().map(without_embeddings).collect();
            let before = peak(dtype, threads, 0.1);
            let begun = Instant::now();
            match piece.name {
                "vision" => drop(model.encode_images(&fresh)?),
                "language" => drop(model.last_states(&batch)?),
                _ => drop(model.score(&fresh)?),
            }
            let rate = piece.operations / begun.elapsed().as_secs_f64();
            let peak = (before + peak(dtype, threads, 0.1)) / 2.;
            piece.rates.push(rate);
            piece.shares.push(rate / peak);
        }
    }
    Ok(pieces)
}

fn without_embeddings(sample: &Prepared) -> Prepared {
    let images = sample.images.iter().map(|image| Arc::new(PreparedImage::new(image.pixels().to_vec()))).collect();
    Prepared { images, ..sample.clone() }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
