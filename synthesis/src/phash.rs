//! A hash of how an image looks: images that differ in size, format or compression alone have hashes of few different bits.

use std::f32::consts::PI;

use tamis_models::preprocess::{Filter, ImageError, Rgb, decode_resized};

/// The side that images are resized to.
const SIDE: usize = 32;
/// The side of the square of lowest frequencies that make the hash.
const LOW: usize = 8;

/// Below this many grey levels between the darkest and the lightest place an image is flat: its frequencies are noise.
const FLAT: f32 = 4.0;

/// The perceptual hash of an encoded image: which of the 64 lowest frequencies of its grey levels are above their median, as
/// in `imagehash.phash`, but for the filter that it is resized with. `None` for an image that is all of one colour.
pub fn perceptual_hash(bytes: &[u8], max_pixels: u64) -> Result<Option<u64>, ImageError> {
    let small = decode_resized(bytes, max_pixels, (SIDE as u32, SIDE as u32), Filter::Bicubic)?;
    let grey = grey(&small);
    let (low, high) = grey.iter().fold((f32::MAX, f32::MIN), |(low, high), g| (low.min(*g), high.max(*g)));
    if high - low < FLAT {
        return Ok(None);
    }
    let frequencies = low_frequencies(&grey);
    let mut sorted = frequencies;
    sorted.sort_by(f32::total_cmp);
    let median = (sorted[LOW * LOW / 2 - 1] + sorted[LOW * LOW / 2]) / 2.0;
    Ok(Some(frequencies.iter().fold(0, |hash, f| hash << 1 | u64::from(*f > median))))
}

/// Grey levels by the weights of ITU-R 601.
fn grey(image: &Rgb) -> Vec<f32> {
    let pixels = image.pixels.chunks_exact(3);
    pixels.map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2])).collect()
}

/// The lowest frequencies of a cosine transform in both directions.
fn low_frequencies(grey: &[f32]) -> [f32; LOW * LOW] {
    let wave = |k: usize, n: usize| (PI * k as f32 * (2 * n + 1) as f32 / (2 * SIDE) as f32).cos();
    // Down the columns first, then along the rows.
    let mut down = [0.0; LOW * SIDE];
    for k in 0..LOW {
        for x in 0..SIDE {
            down[k * SIDE + x] = (0..SIDE).map(|y| grey[y * SIDE + x] * wave(k, y)).sum();
        }
    }
    let mut low = [0.0; LOW * LOW];
    for k in 0..LOW {
        for j in 0..LOW {
            low[k * LOW + j] = (0..SIDE).map(|x| down[k * SIDE + x] * wave(j, x)).sum();
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::png;

    /// A picture of two soft spots, drawn at any size.
    fn picture(side: u32, shift: f32) -> Vec<u8> {
        let mut pixels = vec![];
        for y in 0..side {
            for x in 0..side {
                let (x, y) = (x as f32 / side as f32, y as f32 / side as f32);
                let spot = |cx: f32, cy: f32| (-((x - cx).powi(2) + (y - cy).powi(2)) * 18.0).exp();
                let light = 200.0 * spot(0.3 + shift, 0.35) + 120.0 * spot(0.7, 0.8 - shift);
                pixels.extend([light as u8, (light * 0.7) as u8, 40]);
            }
        }
        png(&Rgb { width: side, height: side, pixels }).unwrap()
    }

    #[test]
    fn size_changes_little_and_another_picture_much() {
        let hash = |bytes: &[u8]| perceptual_hash(bytes, 1 << 20).unwrap().unwrap();
        let one = hash(&picture(128, 0.0));
        assert!((one ^ hash(&picture(90, 0.0))).count_ones() <= 4);
        assert!((one ^ hash(&picture(128, 0.3))).count_ones() > 10);
    }

    #[test]
    fn a_flat_image_has_none_and_a_broken_one_a_reason() {
        let flat = png(&Rgb { width: 8, height: 8, pixels: vec![77; 192] }).unwrap();
        assert_eq!(perceptual_hash(&flat, 1 << 20).unwrap(), None);
        assert!(perceptual_hash(b"no image", 1 << 20).unwrap_err().to_string().contains("not an image"));
    }
}
