//! What a TIFF's samples mean: the combinations of tags that Pillow reads, and their conversion to RGB.

use super::FAULT;
use super::directory::{Directory, tag};
use crate::preprocess::ImageError;
use crate::preprocess::decode::pixels::{Palette, cmyk, packed};

/// How the samples of a pixel make a colour.
pub(super) struct Layout {
    pub(super) colour: Colour,
    /// Bits of a sample: 1, 2, 4, 8, 16 or 32.
    pub(super) bits: u32,
    /// Samples of a pixel.
    pub(super) samples: usize,
}

pub(super) enum Colour {
    Grey {
        inverted: bool,
    },
    /// Signed whole numbers, clipped to 0..=255.
    Signed,
    /// Floats, clipped to 0..=255.
    Float,
    Rgb {
        premultiplied: bool,
    },
    Cmyk,
    Palette(Box<Palette>),
}

impl Layout {
    pub(super) fn read(directory: &Directory<'_>, jpeg: bool) -> Result<Self, ImageError> {
        let small = |tag| directory.numbers(tag).map(|numbers| numbers.take(8).collect::<Vec<_>>());
        let photometric = directory.number(tag::PHOTOMETRIC).unwrap_or(0);
        let samples = directory.number(tag::SAMPLES).unwrap_or(1);
        let samples = usize::try_from(samples).ok().filter(|n| (1..=6).contains(n));
        let samples = samples.ok_or(FAULT.unsupported("more than 6 samples a pixel"))?;
        let mut bits = small(tag::BITS).unwrap_or_else(|| vec![1]);
        if bits.len() == 1 {
            bits.resize(samples, bits[0]);
        }
        bits.truncate(samples);
        let extra = small(tag::EXTRA).unwrap_or_default();
        let format = match small(tag::SAMPLE_FORMAT).as_deref() {
            None => 1,
            Some([format]) => *format,
            Some(formats) if formats.iter().all(|format| *format == 1) => 1,
            Some(_) => 0,
        };
        let little_endian = !directory.big_endian;
        let depth = bits[0];
        let colour = match (photometric, depth, format, extra.as_slice()) {
            _ if bits.len() != samples || bits.iter().any(|other| *other != depth) => None,
            (0 | 1, 1 | 2 | 4 | 8, 1, []) | (1, 8, 2, []) if samples == 1 => {
                Some(Colour::Grey { inverted: photometric == 0 })
            }
            (6, 8, 1, []) if samples == 1 => Some(Colour::Grey { inverted: false }),
            (1, 16, 1, []) if samples == 1 => Some(Colour::Grey { inverted: false }),
            // Pillow does not invert these.
            (0, 16, 1, []) if samples == 1 && little_endian => Some(Colour::Grey { inverted: false }),
            (1, 16 | 32, 2, []) if samples == 1 => Some(Colour::Signed),
            (1, 32, 1, []) if samples == 1 && little_endian => Some(Colour::Signed),
            (0 | 1, 32, 3, []) if samples == 1 => Some(Colour::Float),
            (1, 8, 1, [2]) if samples == 2 => Some(Colour::Grey { inverted: false }),
            (2, 8 | 16, 1, []) if samples == 3 || samples == 4 => Some(Colour::Rgb { premultiplied: false }),
            (2, 8, 1, [999]) if samples == 4 => Some(Colour::Rgb { premultiplied: false }),
            (2, 8 | 16, 1, [kind @ 0..=2, rest @ ..])
                if samples == 3 + extra.len()
                    && rest.iter().all(|other| *other == 0)
                    && (depth == 8 || samples == 4) =>
            {
                Some(Colour::Rgb { premultiplied: *kind == 1 })
            }
            (3, 1 | 2 | 4 | 8, 1, []) if samples == 1 => Some(palette(directory)?),
            (3, 8, 1, [2]) if samples == 2 => Some(palette(directory)?),
            (3, 8, 1, [0]) if samples == 2 && little_endian => Some(palette(directory)?),
            (5, 8, 1, rest) if samples == 4 + rest.len() && rest.iter().all(|other| *other == 0) => Some(Colour::Cmyk),
            (5, 16, 1, []) if samples == 4 => Some(Colour::Cmyk),
            // The JPEG decoder gives RGB.
            (6, 8, 1, []) if samples == 3 && jpeg => Some(Colour::Rgb { premultiplied: false }),
            _ => None,
        };
        let colour = colour.ok_or_else(|| {
            FAULT.unsupported(format!(
                "photometric interpretation {photometric}, {bits:?} bits of sample format {format} and extra samples \
                 {extra:?}"
            ))
        })?;
        Ok(Self { colour, bits: depth as u32, samples })
    }

    /// Bytes of a row of `width` pixels, of which each has `samples` samples.
    pub(super) fn row_bytes(&self, width: usize, samples: usize) -> usize {
        (width * samples * self.bits as usize).div_ceil(8)
    }

    /// A row of pixels to RGB. Numbers of several bytes have their lowest byte first.
    pub(super) fn to_rgb(&self, row: &[u8], out: &mut [u8]) {
        let bytes = self.bits as usize / 8;
        let step = self.samples * bytes;
        let high = bytes.saturating_sub(1);
        let out = out.as_chunks_mut::<3>().0.iter_mut();
        match &self.colour {
            Colour::Grey { .. } if self.bits == 16 => {
                for (out, level) in out.zip(row.as_chunks::<2>().0) {
                    *out = [if level[1] == 0 { level[0] } else { 255 }; 3];
                }
            }
            Colour::Grey { inverted } => {
                let scale = 255 / ((1u32 << self.bits) - 1) as u8;
                let flip = if *inverted { 255 } else { 0 };
                for (out, level) in out.zip(packed(row, self.bits).step_by(self.samples)) {
                    *out = [(level * scale) ^ flip; 3];
                }
            }
            Colour::Signed if self.bits == 16 => {
                for (out, level) in out.zip(row.as_chunks::<2>().0) {
                    *out = [i16::from_le_bytes(*level).clamp(0, 255) as u8; 3];
                }
            }
            Colour::Signed => {
                for (out, level) in out.zip(row.as_chunks::<4>().0) {
                    *out = [i32::from_le_bytes(*level).clamp(0, 255) as u8; 3];
                }
            }
            Colour::Float => {
                for (out, level) in out.zip(row.as_chunks::<4>().0) {
                    // A cast of a float saturates, and takes what is no number as 0.
                    *out = [f32::from_le_bytes(*level) as u8; 3];
                }
            }
            Colour::Rgb { premultiplied } => {
                for (out, pixel) in out.zip(row.chunks_exact(step)) {
                    let colour = [pixel[high], pixel[bytes + high], pixel[2 * bytes + high]];
                    *out = if *premultiplied { divide_alpha(colour, pixel[3 * bytes + high]) } else { colour };
                }
            }
            Colour::Cmyk => {
                for (out, pixel) in out.zip(row.chunks_exact(step)) {
                    *out = cmyk([0, 1, 2, 3].map(|ink| pixel[ink * bytes + high]));
                }
            }
            Colour::Palette(palette) => {
                for (out, index) in out.zip(packed(row, self.bits).step_by(self.samples)) {
                    *out = palette.colour(index);
                }
            }
        }
    }
}

/// The colour that was multiplied by its alpha.
fn divide_alpha(colour: [u8; 3], alpha: u8) -> [u8; 3] {
    match alpha {
        0 => [0; 3],
        255 => colour,
        _ => colour.map(|level| (u32::from(level) * 255 / u32::from(alpha)).min(255) as u8),
    }
}

fn palette(directory: &Directory<'_>) -> Result<Colour, ImageError> {
    let map = directory.numbers(tag::COLOUR_MAP).ok_or(FAULT.damaged("it has no colour map"))?;
    // All reds, then all greens, then all blues.
    let levels: Vec<u8> = map.take(3 * 256).map(|level| (level / 256) as u8).collect();
    let third = levels.len() / 3;
    let colours = (0..third).map(|i| [levels[i], levels[third + i], levels[2 * third + i]]);
    Ok(Colour::Palette(Box::new(Palette::new(colours))))
}
