//! Which source pixels make an output pixel, and with what weight.

use super::Filter;

/// Bits behind the point of a weight: `32 - 8 - 2` in Pillow, which leaves room for the sum to overshoot.
pub(super) const PRECISION_BITS: u32 = 22;

/// Bits of a weight's lower half. Weights lie within +-1.2 * 2^22, so the upper half lies within +-1229.
pub(super) const LOW_BITS: u32 = 12;

/// Weights are made in blocks of about this many, so that a very long axis does not ask for gigabytes of them.
const WEIGHTS_AT_ONCE: usize = 1 << 18;

/// One axis of a resize.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    input: usize,
    output: usize,
    filter: Filter,
    scale: f64,
    filter_scale: f64,
    support: f64,
}

/// The source pixels of one output pixel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// The first source pixel.
    pub(super) start: usize,
    /// Its weight's place in [`Weights::taps`].
    pub(super) offset: usize,
    /// How many there are.
    pub(super) len: usize,
}

/// The weights of some successive output pixels.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    /// The first of these output pixels.
    pub(super) first: usize,
    /// One for each.
    pub(super) windows: Vec<Window>,
    /// Fixed-point weights, window behind window. Each window is followed by zeros up to a multiple of four.
    pub(super) taps: Vec<i32>,
    /// `taps` again, as `high * 2^LOW_BITS + low`: both fit an i16.
    pub(super) high: Vec<i16>,
    pub(super) low: Vec<i16>,
}

impl Axis {
    pub(super) fn new(input: usize, output: usize, filter: Filter) -> Self {
        let scale = input as f64 / output as f64;
        let filter_scale = scale.max(1.0);
        let support = filter.support() * filter_scale;
        Self { input, output, filter, scale, filter_scale, support }
    }

    /// How many output pixels there are.
    pub(super) fn output(&self) -> usize {
        self.output
    }

    /// The weights of the output pixels from `first` on, of as many as make a block.
    pub(super) fn block(&self, first: usize) -> Weights {
        let mut windows = Vec::new();
        let mut taps = Vec::new();
        let mut exact = Vec::new();
        while first + windows.len() < self.output && taps.len() < WEIGHTS_AT_ONCE {
            windows.push(self.window(first + windows.len(), &mut exact, &mut taps));
        }
        let high = taps.iter().map(|tap| (tap >> LOW_BITS) as i16).collect();
        let low = taps.iter().map(|tap| (tap & ((1 << LOW_BITS) - 1)) as i16).collect();
        Weights { first, windows, taps, high, low }
    }

    /// Appends the weights of one output pixel to `taps`.
    fn window(&self, index: usize, exact: &mut Vec<f64>, taps: &mut Vec<i32>) -> Window {
        let center = (index as f64 + 0.5) * self.scale;
        // Pillow multiplies by the reciprocal; dividing would differ in the last bit.
        let reciprocal = 1.0 / self.filter_scale;
        let start = ((center - self.support + 0.5) as i64).max(0) as usize;
        let end = ((center + self.support + 0.5) as i64).min(self.input as i64) as usize;
        let len = end.saturating_sub(start);
        exact.clear();
        exact.extend((0..len).map(|x| self.filter.weight(((x + start) as f64 - center + 0.5) * reciprocal)));
        // In this order: addition of floats is not associative.
        let total = exact.iter().fold(0.0, |sum, weight| sum + weight);
        let offset = taps.len();
        taps.extend(exact.iter().map(|weight| {
            let weight = if total == 0.0 { *weight } else { weight / total };
            let scaled = weight * f64::from(1u32 << PRECISION_BITS);
            (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
        }));
        taps.resize(offset + len.next_multiple_of(4), 0);
        Window { start, offset, len }
    }
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bilinear => 0.0,
            Self::Bicubic => {
                const A: f64 = -0.5;
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
        }
    }
}

impl Weights {
    /// The output pixel behind the last one of this block.
    pub(super) fn end(&self) -> usize {
        self.first + self.windows.len()
    }

    /// A window's weights, without the zeros behind them.
    pub(super) fn of(&self, window: &Window) -> &[i32] {
        &self.taps[window.offset..window.offset + window.len]
    }
}
