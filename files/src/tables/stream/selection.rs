//! Which rows of a row group are read.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray, BooleanBufferBuilder};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::parquet::arrow::arrow_reader::RowSelection;

/// The rows of one row group that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selected(Arc<BooleanBuffer>);

impl Selected {
    /// The rows of these numbers, of `rows`.
    pub(super) fn numbers(numbers: impl IntoIterator<Item = usize>, rows: usize) -> Self {
        let mut selected = BooleanBufferBuilder::new(rows);
        selected.append_n(rows, false);
        numbers.into_iter().filter(|number| *number < rows).for_each(|number| selected.set_bit(number, true));
        Self(Arc::new(selected.finish()))
    }

    /// The rows for which a predicate is true, of those that `before` selected (all, if it is `None`).
    pub(super) fn of_filters(filters: &[BooleanArray], before: Option<&Self>, rows: usize) -> Self {
        let mut kept = filters.iter().flat_map(|f| (0..f.len()).map(move |row| f.is_valid(row) && f.value(row)));
        match before {
            None => {
                let mut selected = BooleanBufferBuilder::new(rows);
                kept.for_each(|kept| selected.append(kept));
                selected.append_n(rows.saturating_sub(selected.len()), false);
                Self(Arc::new(selected.finish()))
            }
            Some(before) => {
                let numbers: Vec<usize> = before.iter().filter(|_| kept.next().unwrap_or(false)).collect();
                Self::numbers(numbers, rows)
            }
        }
    }

    /// How many rows are wanted.
    pub(super) fn count(&self) -> usize {
        self.0.count_set_bits()
    }

    /// Whether all rows of the row group are.
    pub(super) fn is_all(&self) -> bool {
        self.count() == self.0.len()
    }

    pub(super) fn contains(&self, row: usize) -> bool {
        row < self.0.len() && self.0.value(row)
    }

    /// Whether one of these rows is wanted.
    pub(super) fn any(&self, rows: Range<usize>) -> bool {
        let end = rows.end.min(self.0.len());
        rows.start < end && self.0.slice(rows.start, end - rows.start).count_set_bits() > 0
    }

    /// The numbers of the wanted rows, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.set_indices()
    }

    /// What the decoder understands.
    pub(super) fn to_row_selection(&self) -> RowSelection {
        RowSelection::from_filters(&[BooleanArray::new(self.0.as_ref().clone(), None)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_filter_sees_what_the_first_kept() {
        let first = [BooleanArray::from(vec![true, false, true]), BooleanArray::from(vec![Some(true), None])];
        let first = Selected::of_filters(&first, None, 5);
        assert_eq!(first.iter().collect::<Vec<_>>(), [0, 2, 3]);
        let second = Selected::of_filters(&[BooleanArray::from(vec![None, Some(true), Some(true)])], Some(&first), 5);
        assert_eq!(second, Selected::numbers([3, 2], 5));
        assert_eq!((second.count(), second.any(0..2), second.any(3..9), second.contains(2)), (2, false, true, true));
        assert!(!second.contains(9) && !second.is_all());
    }
}
