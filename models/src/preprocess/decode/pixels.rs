//! Conversions to RGB that several formats share.

/// A colour table. An index beyond its end is black, as in Pillow.
pub(super) struct Palette([[u8; 3]; 256]);

impl Palette {
    /// From successive colours; those beyond the 256th are ignored.
    pub(super) fn new(colours: impl IntoIterator<Item = [u8; 3]>) -> Self {
        let mut table = [[0; 3]; 256];
        for (entry, colour) in table.iter_mut().zip(colours) {
            *entry = colour;
        }
        Self(table)
    }

    pub(super) fn grey() -> Self {
        Self::new((0..=255).map(|level| [level; 3]))
    }

    pub(super) fn colour(&self, index: u8) -> [u8; 3] {
        self.0[usize::from(index)]
    }
}

/// The unsigned numbers of `bits` bits (1, 2, 4 or 8) that lie in `row`, the highest bits of a byte first.
pub(super) fn packed(row: &[u8], bits: u32) -> impl Iterator<Item = u8> + '_ {
    let each = 8 / bits;
    let mask = (0xff_u32 >> (8 - bits)) as u8;
    row.iter().flat_map(move |byte| (0..each).map(move |i| (byte >> (8 - bits * (i + 1))) & mask))
}

/// `a * b / 255`, rounded as Pillow rounds it.
fn multiply_255(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// CMYK to RGB, without a colour profile.
pub(super) fn cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let light = 255 - k;
    [c, m, y].map(|ink| light.saturating_sub(multiply_255(ink, light)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_numbers_come_highest_bits_first() {
        assert_eq!(packed(&[0b1010_0001], 1).collect::<Vec<_>>(), [1, 0, 1, 0, 0, 0, 0, 1]);
        assert_eq!(packed(&[0b1101_0010], 2).collect::<Vec<_>>(), [3, 1, 0, 2]);
        assert_eq!(packed(&[0x7f, 0x80], 4).collect::<Vec<_>>(), [7, 15, 8, 0]);
        assert_eq!(packed(&[7, 255], 8).collect::<Vec<_>>(), [7, 255]);
    }

    #[test]
    fn cmyk_corners() {
        assert_eq!(cmyk([0, 0, 0, 0]), [255, 255, 255]);
        assert_eq!(cmyk([0, 0, 0, 255]), [0, 0, 0]);
        assert_eq!(cmyk([255, 0, 128, 0]), [0, 255, 127]);
    }
}
