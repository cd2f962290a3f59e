//! How sure figures are: what they would be in other samples of the same kind.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;
use serde::ser::Serializer;

use crate::counts::Sample;
use crate::figures::{Figure, Figures};

/// The share of resamples that an interval holds.
const LEVEL: f64 = 0.95;

/// The percentile bootstrap: rows are drawn with replacement, as many as there are, and the figures computed of these; again
/// and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bootstrap {
    /// How often; 0 for no intervals.
    pub resamples: u32,
    /// What the random draws follow from: the same seed gives the same intervals.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, seed: 0 }
    }
}

/// The middle 95 % of a figure's values over resamples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// In how many resamples the figure is defined; the others are left out.
    pub resamples: usize,
}

/// How much more a figure is than another column's, over the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// The difference over all rows; none where one of the two is not defined.
    pub value: Option<f64>,
    /// Its interval, if there are resamples in which both are defined.
    #[serde(flatten)]
    pub interval: Option<Interval>,
}

/// Something for each figure.
#[derive(Debug, Clone, PartialEq)]
pub struct ByFigure<T>(Vec<T>);

impl<T> ByFigure<T> {
    pub(crate) fn new(of: impl FnMut(Figure) -> T) -> Self {
        Self(Figure::ALL.into_iter().map(of).collect())
    }

    /// What is there for one figure.
    pub fn get(&self, figure: Figure) -> &T {
        &self.0[figure as usize]
    }
}

impl<T: Serialize> Serialize for ByFigure<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Figure::ALL.map(|figure| (figure.key(), self.get(figure))))
    }
}

impl Bootstrap {
    /// Resamples rows: all samples hold the same ones in the same order, and are given the same draws of them.
    pub(crate) fn resample(self, samples: &[Sample]) -> Resampled {
        let rows = samples.iter().map(|sample| sample.rows() as u32).min().unwrap_or_default();
        let resamples = if rows == 0 { 0 } else { u64::from(self.resamples) };
        let resample = |(drawn, counted): &mut (Vec<u32>, Vec<_>), number| {
            // The draws are those of the resample's number, whatever thread makes them.
            let mut random = ChaCha8Rng::seed_from_u64(self.seed);
            random.set_stream(number);
            drawn.clear();
            drawn.extend((0..rows).map(|_| random.random_range(0..rows)));
            samples.iter().map(|sample| Figures::of(sample.counts_of(drawn, counted))).collect()
        };
        Resampled((0..resamples).into_par_iter().map_init(Default::default, resample).collect())
    }
}

/// The figures of each sample, in each resample.
pub(crate) struct Resampled(Vec<Vec<Figures>>);

impl Resampled {
    /// The interval of each figure of one sample.
    pub(crate) fn intervals(&self, sample: usize) -> ByFigure<Option<Interval>> {
        ByFigure::new(|figure| interval(self.0.iter().filter_map(|figures| figures[sample].get(figure))))
    }

    /// The interval of how much more each figure is in one sample than in another.
    pub(crate) fn differences(&self, sample: usize, than: usize) -> ByFigure<Option<Interval>> {
        ByFigure::new(|figure| {
            interval(self.0.iter().filter_map(|figures| figures[sample].more(&figures[than], figure)))
        })
    }
}

/// The middle of values, in any order.
fn interval(values: impl Iterator<Item = f64>) -> Option<Interval> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let outside = (1.0 - LEVEL) / 2.0;
    Some(Interval {
        low: percentile(&values, outside)?,
        high: percentile(&values, 1.0 - outside)?,
        resamples: values.len(),
    })
}

/// The value below which a share of the ordered values lies, interpolated between the two nearest.
fn percentile(ordered: &[f64], share: f64) -> Option<f64> {
    let place = share * ordered.len().checked_sub(1)? as f64;
    let (below, above) = (ordered[place.floor() as usize], ordered[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows whose score is right in about seven of ten, and whose order in the file says nothing.
    fn sample(shift: usize) -> Sample {
        let rows: Vec<_> = (0..400)
            .map(|row| {
                let label = (row * 7 / 3 % 4) as u8;
                let is_right = (row * 37 + shift) % 10 < 7;
                (f64::from(label) + if is_right { 0.01 * (row % 9) as f64 } else { 1.0 }, label)
            })
            .collect();
        Sample::new(&rows)
    }

    #[test]
    fn percentiles_are_interpolated() {
        assert_eq!(percentile(&[1.0, 2.0, 4.0], 0.5), Some(2.0));
        assert_eq!(percentile(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
        assert_eq!(percentile(&[5.0], 0.025), Some(5.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    fn intervals(bootstrap: Bootstrap, sample: &Sample) -> ByFigure<Option<Interval>> {
        bootstrap.resample(std::slice::from_ref(sample)).intervals(0)
    }

    /// The accuracy of resamples is binomial: its interval is about 1.96 standard deviations to each side.
    #[test]
    fn the_interval_of_a_share_is_as_wide_as_theory_says() {
        let sample = sample(0);
        let accuracy = Figures::of(sample.counts()).get(Figure::Accuracy).unwrap();
        let deviation = (accuracy * (1.0 - accuracy) / sample.rows() as f64).sqrt();
        let intervals = intervals(Bootstrap { resamples: 4000, seed: 7 }, &sample);
        let interval = intervals.get(Figure::Accuracy).unwrap();
        assert_eq!(interval.resamples, 4000);
        assert!((interval.low - (accuracy - 1.96 * deviation)).abs() < 0.15 * deviation, "{interval:?}");
        assert!((interval.high - (accuracy + 1.96 * deviation)).abs() < 0.15 * deviation, "{interval:?}");
    }

    #[test]
    fn a_seed_gives_the_same_intervals_on_any_number_of_threads() {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| intervals(Bootstrap { resamples: 50, seed: 1 }, &sample(0)))
        };
        assert_eq!(on(1), on(3));
        assert_ne!(on(1), intervals(Bootstrap { resamples: 50, seed: 2 }, &sample(0)));
    }

    #[test]
    fn samples_are_compared_over_the_same_draws() {
        let samples = [sample(0), sample(0), sample(3)];
        let resampled = Bootstrap { resamples: 500, seed: 0 }.resample(&samples);
        let same = resampled.differences(1, 0);
        for figure in Figure::ALL {
            let interval = same.get(figure).unwrap();
            assert_eq!((interval.low, interval.high), (0.0, 0.0), "{figure:?}");
        }
        let [own, other] = [0, 2].map(|place| resampled.intervals(place).get(Figure::Accuracy).unwrap());
        let difference = resampled.differences(2, 0).get(Figure::Accuracy).unwrap();
        assert!(difference.low >= other.low - own.high && difference.high <= other.high - own.low, "{difference:?}");
    }

    #[test]
    fn no_rows_and_no_resamples_give_no_interval() {
        for none in [
            intervals(Bootstrap::default(), &Sample::new(&[])),
            intervals(Bootstrap { resamples: 0, seed: 0 }, &sample(0)),
        ] {
            assert_eq!(*none.get(Figure::Accuracy), None);
        }
    }

    #[test]
    fn resamples_in_which_a_figure_is_not_defined_are_left_out() {
        let sample = Sample::new(&[(1.0, 0), (2.0, 0), (3.0, 3)]);
        let intervals = intervals(Bootstrap::default(), &sample);
        let area = intervals.get(Figure::Auc3VsRest).unwrap();
        // All three draws are the same side's in (8 + 1) / 27 of the resamples.
        assert!((600..730).contains(&area.resamples), "{area:?}");
        assert_eq!(intervals.get(Figure::Accuracy).unwrap().resamples, 1000);
    }
}
