//! Decodes and resizes the JPEGs of a folder on one thread, a round for each line of the input: our side of
//! `benches/pillow/run.py`, which says what is measured.
//!
//!     cargo bench --bench pillow -- FOLDER SIDE

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tamis_benches::jpegs;
use tamis_models::preprocess::{Filter, decode_resized};

/// Pillow's own bound.
const MOST_PIXELS: u64 = 89_478_485;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // `cargo bench` runs all benches, each without arguments.
    let [folder, side] = arguments.as_slice() else { return no_arguments(&arguments) };
    let side: u32 = side.parse().with_context(|| format!("{side} is not a size"))?;
    let files = jpegs(Path::new(folder))?;
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        line?;
        let (mut taken, mut digest) = (Duration::ZERO, Sha256::new());
        for (path, file) in &files {
            let begun = Instant::now();
            let image = decode_resized(file, MOST_PIXELS, (side, side), Filter::Bicubic)
                .with_context(|| format!("decoding {}", path.display()))?;
            taken += begun.elapsed();
            digest.update(&image.pixels);
        }
        let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{{\"seconds\": {}, \"sha256\": \"{digest}\"}}", taken.as_secs_f64())?;
    }
    Ok(())
}

fn no_arguments(arguments: &[String]) -> Result<()> {
    if arguments.is_empty() {
        return Ok(());
    }
    bail!("FOLDER and SIDE are wanted, not {}", arguments.join(" "))
}
