//! The figures of some rows: of each column by itself, and compared with the first.

use crate::bootstrap::{Bootstrap, ByFigure, Difference, Resampled};
use crate::calibration::Calibration;
use crate::classes::Confusion;
use crate::counts::Sample;
use crate::figures::Figures;
use crate::report::{Comparison, Summary};
use crate::table::{Column, Table};

/// The figures of some rows in each column.
pub(crate) fn summaries(table: &Table, rows: &[usize], bootstrap: Bootstrap) -> Vec<Summary> {
    let mut samples: Vec<_> = table.columns.iter().map(|column| sample(table, rows, &[column])).collect();
    let pairs: Vec<_> = (0..table.columns.len()).map(|place| pair(table, rows, place, &mut samples)).collect();
    let resampled = bootstrap.resample(&samples);
    let summary = |(place, pair): (usize, Option<Pair>)| {
        let counts = samples[place].counts();
        let scored = counts.labels().iter().sum();
        Summary {
            rows: scored,
            unscored: rows.len() as u64 - scored,
            figures: Figures::of(counts),
            calibration_error: Calibration::of(counts).error,
            confusion: Confusion::of(counts),
            intervals: (bootstrap.resamples > 0).then(|| resampled.intervals(place)),
            difference: pair.map(|pair| comparison(&table.columns[0].name, pair, &samples, &resampled)),
        }
    };
    pairs.into_iter().enumerate().map(summary).collect()
}

/// The places of two samples of the same rows: a column's, and the first column's.
#[derive(Debug, Clone, Copy)]
struct Pair {
    column: usize,
    first: usize,
}

/// The samples that a column is compared with the first by: of the rows that have a score in both. Where these are not all
/// that have one in either, two more samples are made.
fn pair(table: &Table, rows: &[usize], place: usize, samples: &mut Vec<Sample>) -> Option<Pair> {
    let (first, column) = (table.columns.first()?, &table.columns[place]);
    if place == 0 {
        return None;
    }
    if rows.iter().all(|&row| first.scores[row].is_finite() == column.scores[row].is_finite()) {
        return Some(Pair { column: place, first: 0 });
    }
    samples.push(sample(table, rows, &[column, first]));
    samples.push(sample(table, rows, &[first, column]));
    Some(Pair { column: samples.len() - 2, first: samples.len() - 1 })
}

fn comparison(to: &str, Pair { column, first }: Pair, samples: &[Sample], resampled: &Resampled) -> Comparison {
    let counts = samples[column].counts();
    let (figures, than) = (Figures::of(counts), Figures::of(samples[first].counts()));
    let intervals = resampled.differences(column, first);
    Comparison {
        to: to.to_string(),
        rows: counts.labels().iter().sum(),
        figures: ByFigure::new(|figure| Difference {
            value: figures.more(&than, figure),
            interval: *intervals.get(figure),
        }),
    }
}

/// Rows with their scores in the first of the columns; only those have one that have it in all of the columns.
pub(crate) fn sample(table: &Table, rows: &[usize], columns: &[&Column]) -> Sample {
    let score = |row: usize| match columns.iter().all(|column| column.scores[row].is_finite()) {
        true => columns[0].scores[row],
        false => f64::NAN,
    };
    let rows: Vec<_> = rows.iter().map(|&row| (score(row), table.labels[row])).collect();
    Sample::new(&rows)
}
