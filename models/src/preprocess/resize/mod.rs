//! Pillow's resize, bit for bit.
//!
//! Two passes, horizontal first, with 22-bit fixed-point coefficients and uint8 in between; a pass whose size does not
//! change is skipped. [`plain`] is the arithmetic as written down, and the oracle of its vectorised twin.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod plain;
mod plan;

use super::Rgb;
use plan::{Axis, Weights};

/// Pillow's resampling filters that checkpoints name (`resample` in preprocessor_config.json).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Pillow's 2.
    Bilinear,
    /// Pillow's 3, a = -0.5.
    Bicubic,
}

impl Filter {
    /// The filter that Pillow gives this number, if it is one of these.
    pub fn from_pillow(resample: u32) -> Option<Self> {
        match resample {
            2 => Some(Self::Bilinear),
            3 => Some(Self::Bicubic),
            _ => None,
        }
    }
}

/// Pillow's resize, bit for bit. An image without pixels, or a size of zero, gives zeros.
pub fn resize(image: &Rgb, width: u32, height: u32, filter: Filter) -> Rgb {
    let backend = Backend::best();
    let (source_width, source_height) = (image.width as usize, image.height as usize);
    let (out_width, out_height) = (width as usize, height as usize);
    if [source_width, source_height, out_width, out_height].contains(&0)
        || image.pixels.len() != source_width * source_height * 3
    {
        return Rgb { width, height, pixels: vec![0; out_width * out_height * 3] };
    }
    let mut stage = Stage { width: source_width, height: source_height, pixels: &image.pixels };
    let mut narrowed = Vec::new();
    if out_width != stage.width {
        narrowed = vec![0; out_width * stage.height * 3];
        for weights in Axis::new(stage.width, out_width, filter).weights() {
            backend.horizontal(&stage, &weights, out_width, &mut narrowed);
        }
        stage = Stage { width: out_width, height: stage.height, pixels: &narrowed };
    }
    if out_height == stage.height {
        let pixels = if narrowed.is_empty() { image.pixels.clone() } else { narrowed };
        return Rgb { width, height, pixels };
    }
    let mut pixels = vec![0; out_width * out_height * 3];
    for weights in Axis::new(stage.height, out_height, filter).weights() {
        let row_bytes = out_width * 3;
        let rows = &mut pixels[weights.first * row_bytes..(weights.first + weights.windows.len()) * row_bytes];
        backend.vertical(&stage, &weights, rows);
    }
    Rgb { width, height, pixels }
}

/// What a pass reads: `width * height * 3` bytes.
struct Stage<'a> {
    width: usize,
    height: usize,
    pixels: &'a [u8],
}

/// Who computes a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
}

impl Backend {
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = avx2::Avx2::detect() {
            return Self::Avx2(avx2);
        }
        Self::Plain
    }

    /// Computes the columns of `weights` of every row; `out` holds whole rows of `out_width` pixels.
    fn horizontal(self, stage: &Stage<'_>, weights: &Weights, out_width: usize, out: &mut [u8]) {
        match self {
            Self::Plain => plain::horizontal(stage, weights, out_width, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.horizontal(stage, weights, out_width, out),
        }
    }

    /// Computes the rows of `weights`; `out` holds those rows.
    fn vertical(self, stage: &Stage<'_>, weights: &Weights, out: &mut [u8]) {
        match self {
            Self::Plain => plain::vertical(stage, weights, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.vertical(stage, weights, out),
        }
    }
}
