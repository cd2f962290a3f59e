//! The bins of adaptive average pooling over a square grid of patches.

use std::ops::Range;

/// The patches that are averaged into one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bin {
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Bin {
    /// Indexes of its patches in a grid of `side` by `side`.
    pub fn patches(&self, side: usize) -> impl Iterator<Item = usize> {
        self.rows.clone().flat_map(move |row| self.columns.clone().map(move |column| row * side + column))
    }

    /// Its rows from, to, and its columns from, to.
    #[cfg(feature = "cuda")]
    pub(super) fn bounds(&self) -> [usize; 4] {
        [self.rows.start, self.rows.end, self.columns.start, self.columns.end]
    }

    /// How many patches it has.
    #[expect(clippy::len_without_is_empty, reason = "a bin is never empty")]
    pub fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

/// The bins, row by row: of `from` by `from` patches to `to` by `to` tokens. Bin `i` of a side covers
/// `floor(i * from / to)` up to `ceil((i + 1) * from / to)`, exclusive, as PyTorch's `adaptive_avg_pool2d` has it.
pub fn bins(from: usize, to: usize) -> Vec<Bin> {
    let side: Vec<_> = (0..to).map(|i| i * from / to..((i + 1) * from).div_ceil(to)).collect();
    let row = |rows: &Range<usize>| {
        let rows = rows.clone();
        side.iter().map(move |columns| Bin { rows: rows.clone(), columns: columns.clone() }).collect::<Vec<_>>()
    };
    side.iter().flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_of_27_to_12_start_where_the_reference_s_do() {
        let bins = bins(27, 12);
        let starts: Vec<_> = bins.iter().take(12).map(|bin| bin.columns.start).collect();
        assert_eq!(starts, [0, 2, 4, 6, 9, 11, 13, 15, 18, 20, 22, 24]);
        assert!(bins.len() == 144 && bins.iter().all(|bin| bin.len() == 9));
        assert_eq!(bins[13].patches(27).collect::<Vec<_>>(), [56, 57, 58, 83, 84, 85, 110, 111, 112]);
    }
}
