//! Pillow's resize, bit for bit.
//!
//! Two passes, horizontal first, with 22-bit fixed-point coefficients and uint8 in between; a pass whose size does not
//! change is skipped. [`plain`] is the arithmetic as written down, and the oracle of its vectorised twin. Rows come in
//! bands from the top ([`Resizer`]): what both passes work on lies in a CPU's nearest cache, and a picture that is
//! decoded row by row is never in memory as a whole.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod plain;
mod plan;
mod resizer;

use super::Rgb;
use plan::{Weights, Window};
pub(super) use resizer::{BAND, Resizer};

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
    resize_with(Backend::best(), image, width, height, filter)
}

fn resize_with(backend: Backend, image: &Rgb, width: u32, height: u32, filter: Filter) -> Rgb {
    let mut resizer = Resizer::with(backend, (image.width, image.height), (width, height), filter);
    if image.pixels.len() == image.width as usize * image.height as usize * 3 {
        resizer.push(&image.pixels);
    }
    resizer.finish()
}

/// What a pass reads: successive rows of a picture.
struct Rows<'a> {
    /// The place of the first of them in the picture.
    first: usize,
    row_bytes: usize,
    pixels: &'a [u8],
}

impl Rows<'_> {
    /// The rows that make an output row.
    fn of(&self, window: &Window) -> &[u8] {
        let start = window.start - self.first;
        &self.pixels[start * self.row_bytes..(start + window.len) * self.row_bytes]
    }
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

    /// Computes the columns of `weights` of every row; `out` holds whole rows.
    fn horizontal(self, source: &Rows<'_>, weights: &Weights, out_row_bytes: usize, out: &mut [u8]) {
        match self {
            Self::Plain => plain::horizontal(source, weights, out_row_bytes, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.horizontal(source, weights, out_row_bytes, out),
        }
    }

    /// Computes the rows of `windows`, which are of `weights`; `out` holds those rows.
    fn vertical(self, source: &Rows<'_>, weights: &Weights, windows: &[Window], out: &mut [u8]) {
        match self {
            Self::Plain => plain::vertical(source, weights, windows, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.vertical(source, weights, windows, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A picture with gradients, noise, and the extremes that make sums overshoot.
    fn picture(width: u32, height: u32, seed: u32) -> Rgb {
        let mut state = seed | 1;
        let pixels = (0..width * height * 3)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                match state >> 30 {
                    0 => 0,
                    1 => 255,
                    2 => (state >> 20) as u8,
                    _ => i as u8,
                }
            })
            .collect();
        Rgb { width, height, pixels }
    }

    fn filters() -> impl Strategy<Value = Filter> {
        prop_oneof![Just(Filter::Bilinear), Just(Filter::Bicubic)]
    }

    fn side() -> impl Strategy<Value = u32> {
        prop_oneof![1..8u32, 1..70u32, 380..390u32]
    }

    proptest! {
        #[test]
        fn vectorised_is_plain(
            (width, height, out_width, out_height) in (side(), side(), side(), side()), filter in filters(), seed: u32
        ) {
            let image = picture(width, height, seed);
            let plain = resize_with(Backend::Plain, &image, out_width, out_height, filter);
            prop_assert_eq!(resize(&image, out_width, out_height, filter), plain);
        }

        #[test]
        fn bands_are_the_whole(
            (width, height, out_width, out_height) in (side(), side(), side(), side()), band in 1..40usize, seed: u32
        ) {
            let image = picture(width, height, seed);
            let mut resizer = Resizer::new((width, height), (out_width, out_height), Filter::Bicubic);
            for rows in image.pixels.chunks(band * width as usize * 3) {
                resizer.push(rows);
            }
            let plain = resize_with(Backend::Plain, &image, out_width, out_height, Filter::Bicubic);
            prop_assert_eq!(resizer.finish(), plain);
        }

        #[test]
        fn one_colour_stays(level: u8, (width, height) in (side(), side()), filter in filters()) {
            let image = Rgb { width, height, pixels: vec![level; (width * height * 3) as usize] };
            prop_assert!(resize(&image, 384, 37, filter).pixels.iter().all(|out| *out == level));
        }
    }

    /// So long an axis that its weights come in several blocks.
    #[test]
    fn vectorised_is_plain_on_a_long_strip() {
        for (width, height) in [(70_001, 5), (3, 70_003)] {
            let image = picture(width, height, 7);
            let plain = resize_with(Backend::Plain, &image, 384, 384, Filter::Bicubic);
            assert!(resize(&image, 384, 384, Filter::Bicubic) == plain, "{width} x {height}");
        }
    }

    /// Pillow 11.3: `Image.fromarray(a).resize((3, 2), f)` of the 4 x 3 picture whose bytes are 7 * i * i modulo 256.
    #[test]
    fn a_small_picture_is_as_pillow_makes_it() {
        let pixels = (0..36u32).map(|i| (7 * i * i) as u8).collect();
        let image = Rgb { width: 4, height: 3, pixels };
        assert_eq!(resize(&image, 3, 2, Filter::Bilinear).pixels, BILINEAR);
        assert_eq!(resize(&image, 3, 2, Filter::Bicubic).pixels, BICUBIC);
    }

    #[test]
    fn the_same_size_is_a_copy() {
        let image = picture(5, 4, 1);
        assert_eq!(resize(&image, 5, 4, Filter::Bicubic), image);
    }

    #[test]
    fn nothing_gives_zeros() {
        let image = Rgb { width: 0, height: 3, pixels: vec![] };
        assert_eq!(resize(&image, 2, 1, Filter::Bilinear).pixels, [0; 6]);
        assert!(resize(&picture(2, 2, 1), 0, 5, Filter::Bilinear).pixels.is_empty());
    }

    #[test]
    fn pillow_numbers() {
        assert_eq!(Filter::from_pillow(2), Some(Filter::Bilinear));
        assert_eq!(Filter::from_pillow(3), Some(Filter::Bicubic));
        assert_eq!(Filter::from_pillow(1), None);
    }

    const BILINEAR: [u8; 18] = [79, 65, 95, 148, 105, 204, 100, 140, 129, 196, 73, 152, 173, 100, 169, 145, 123, 114];
    const BICUBIC: [u8; 18] = [65, 62, 83, 151, 105, 216, 96, 144, 125, 205, 71, 158, 173, 99, 171, 145, 124, 106];
}
