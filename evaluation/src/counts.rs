//! Rows as counts: how many of each label there are at each score.

/// How many labels there are: 0, 1, 2 and 3.
pub const LEVELS: usize = 4;

/// The label that a number is, if it is one: 0, 1, 2 or 3.
pub fn level(value: f64) -> Option<u8> {
    [0, 1, 2, 3].into_iter().find(|&level| f64::from(level) == value)
}

/// How many rows of each label there are at each score.
#[derive(Debug, Clone, Copy)]
pub struct Counts<'a> {
    /// The scores that occur, each once, in ascending order.
    pub scores: &'a [f64],
    /// The rows at each of these scores, by label.
    pub rows: &'a [[u32; LEVELS]],
}

impl Counts<'_> {
    /// The scores with their rows, in ascending order.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = (f64, [u64; LEVELS])> + ExactSizeIterator {
        self.scores.iter().zip(self.rows).map(|(&score, rows)| (score, rows.map(u64::from)))
    }

    /// How many rows there are of each label.
    pub fn labels(&self) -> [u64; LEVELS] {
        let mut totals = [0; LEVELS];
        for rows in self.rows {
            add(&mut totals, &rows.map(u64::from));
        }
        totals
    }
}

/// Adds rows to those of the same labels.
pub(crate) fn add(totals: &mut [u64; LEVELS], rows: &[u64; LEVELS]) {
    for (total, rows) in totals.iter_mut().zip(rows) {
        *total += rows;
    }
}

/// Labelled rows: the counts of those that have a score, and which of the counts each row is in.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    scores: Vec<f64>,
    rows: Vec<[u32; LEVELS]>,
    /// For each row the place of its score, times [`LEVELS`], plus its label; or [`UNSCORED`].
    cells: Vec<u32>,
}

/// The row has no score, and is in none of the counts.
const UNSCORED: u32 = u32::MAX;

impl Sample {
    /// How many rows a sample may have.
    pub const MOST_ROWS: usize = UNSCORED as usize / LEVELS;

    /// Counts rows of labels below [`LEVELS`], at most [`Sample::MOST_ROWS`] of them. What is not finite is no score.
    pub fn new(rows: &[(f64, u8)]) -> Self {
        let mut order: Vec<usize> = (0..rows.len()).filter(|&row| rows[row].0.is_finite()).collect();
        order.sort_unstable_by(|&a, &b| rows[a].0.total_cmp(&rows[b].0));
        let mut sample = Self { cells: vec![UNSCORED; rows.len()], ..Self::default() };
        for row in order {
            let (score, label) = rows[row];
            if sample.scores.last() != Some(&score) {
                sample.scores.push(score);
                sample.rows.push([0; LEVELS]);
            }
            let (place, label) = (sample.scores.len() - 1, usize::from(label));
            sample.rows[place][label] += 1;
            sample.cells[row] = (place * LEVELS + label) as u32;
        }
        sample
    }

    /// How many rows there are, with a score or without.
    pub fn rows(&self) -> usize {
        self.cells.len()
    }

    /// The counts of all rows that have a score.
    pub fn counts(&self) -> Counts<'_> {
        Counts { scores: &self.scores, rows: &self.rows }
    }

    /// The counts of rows that were drawn, each as often as it was drawn. `counted` is where they are counted, whatever it held.
    pub(crate) fn counts_of<'a>(&'a self, drawn: &[u32], counted: &'a mut Vec<[u32; LEVELS]>) -> Counts<'a> {
        counted.clear();
        counted.resize(self.rows.len(), [0; LEVELS]);
        let cells = counted.as_flattened_mut();
        for &row in drawn {
            let cell = self.cells[row as usize];
            if cell != UNSCORED {
                cells[cell as usize] += 1;
            }
        }
        Counts { scores: &self.scores, rows: counted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_four_whole_numbers() {
        assert_eq!([0.0, -0.0, 3.0].map(level), [Some(0), Some(0), Some(3)]);
        assert_eq!([-1.0, 4.0, 2.5, f64::NAN, f64::INFINITY].map(level), [None; 5]);
    }

    #[test]
    fn equal_scores_are_one_step() {
        let sample = Sample::new(&[(2.0, 3), (-0.0, 1), (f64::NAN, 3), (2.0, 3), (0.0, 0), (-1.5, 0)]);
        let counts = sample.counts();
        assert_eq!(counts.scores, [-1.5, 0.0, 2.0]);
        assert_eq!(counts.rows, [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 2]]);
        assert_eq!(counts.labels(), [2, 1, 0, 2]);
    }

    #[test]
    fn drawn_rows_count_as_often_as_they_were_drawn() {
        let sample = Sample::new(&[(0.5, 3), (2.0, 1), (0.5, 3), (f64::INFINITY, 0)]);
        let mut counted = vec![[9; LEVELS]; 7];
        assert_eq!(sample.counts_of(&[1, 3, 0, 2], &mut counted).rows, sample.counts().rows);
        assert_eq!(sample.counts_of(&[3, 2, 2, 2], &mut counted).rows, [[0, 0, 0, 3], [0; 4]]);
    }

    #[test]
    fn no_rows_are_no_steps() {
        assert_eq!(Sample::new(&[]).counts().steps().len(), 0);
    }
}
