//! From uint8 pixels to the floats that a vision tower reads.

/// The processor's rescale and normalise steps as one table: a float for each of the 256 levels of each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Normaliser {
    table: [[f32; 256]; 3],
}

impl Normaliser {
    /// The reference's arithmetic: `(f32(f64(level) * rescale) - mean) / std`, the last two steps in f32.
    pub fn new(rescale: f64, mean: [f32; 3], std: [f32; 3]) -> Self {
        let mut table = [[0.0; 256]; 3];
        for ((channel, mean), std) in table.iter_mut().zip(mean).zip(std) {
            for (level, value) in channel.iter_mut().enumerate() {
                *value = ((level as f64 * rescale) as f32 - mean) / std;
            }
        }
        Self { table }
    }

    /// The floats of a channel's 256 levels.
    pub fn table(&self, channel: usize) -> &[f32; 256] {
        &self.table[channel]
    }

    /// Turns one image's pixels from HWC uint8 to CHW f32. Images laid one behind the other make NCHW.
    ///
    /// `out` must be as long as `pixels`; what does not fit is left alone.
    pub fn nchw(&self, pixels: &[u8], out: &mut [f32]) {
        debug_assert_eq!(pixels.len(), out.len(), "one float a byte");
        let plane = out.len() / 3;
        for (channel, table) in self.table.iter().enumerate() {
            let levels = pixels.iter().skip(channel).step_by(3);
            for (value, level) in out[channel * plane..(channel + 1) * plane].iter_mut().zip(levels) {
                *value = table[usize::from(*level)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siglip_values_are_those_of_one_division() {
        let normaliser = Normaliser::new(1.0 / 255.0, [0.5; 3], [0.5; 3]);
        for level in 0..=255u8 {
            let expected = f32::from(level) / 127.5 - 1.0;
            for channel in normaliser.table {
                assert_eq!(channel[usize::from(level)].to_bits(), expected.to_bits(), "{level}");
            }
        }
    }

    #[test]
    fn channels_have_their_own_mean_and_come_first() {
        let normaliser = Normaliser::new(1.0, [0.0, 10.0, 20.0], [1.0, 2.0, 4.0]);
        let mut out = [0.0; 6];
        normaliser.nchw(&[1, 12, 24, 2, 14, 28], &mut out);
        assert_eq!(out, [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
    }
}
