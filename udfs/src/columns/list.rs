//! Where each row's list lies among the values of a list column.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;

/// The rows of a list column of any Arrow form, as ranges of its values.
#[derive(Debug, Clone)]
pub(super) struct ListRows {
    nulls: Option<NullBuffer>,
    ranges: Ranges,
}

#[derive(Debug, Clone)]
enum Ranges {
    Small(OffsetBuffer<i32>),
    Large(OffsetBuffer<i64>),
    SmallView(ScalarBuffer<i32>, ScalarBuffer<i32>),
    LargeView(ScalarBuffer<i64>, ScalarBuffer<i64>),
    Fixed(usize),
    Null,
}

impl ListRows {
    /// The type of a list's items; `None` if this is no list.
    pub(super) fn item_type(data_type: &DataType) -> Option<&DataType> {
        match data_type {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => Some(item.data_type()),
            _ => None,
        }
    }

    /// The rows of a column of NULLs.
    pub(super) fn null() -> Self {
        Self { nulls: None, ranges: Ranges::Null }
    }

    /// The rows and the values that they are ranges of; `None` if the array is no list.
    pub(super) fn try_new(array: &ArrayRef) -> Option<(Self, ArrayRef)> {
        let (ranges, values) = match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                (Ranges::Small(list.offsets().clone()), list.values())
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                (Ranges::Large(list.offsets().clone()), list.values())
            }
            DataType::ListView(_) => {
                let list = array.as_list_view::<i32>();
                (Ranges::SmallView(list.offsets().clone(), list.sizes().clone()), list.values())
            }
            DataType::LargeListView(_) => {
                let list = array.as_list_view::<i64>();
                (Ranges::LargeView(list.offsets().clone(), list.sizes().clone()), list.values())
            }
            DataType::FixedSizeList(_, _) => {
                let list = array.as_fixed_size_list();
                (Ranges::Fixed(usize::try_from(list.value_length()).ok()?), list.values())
            }
            _ => return None,
        };
        Some((Self { nulls: array.nulls().cloned(), ranges }, values.clone()))
    }

    /// The values of a row's list; `None` for NULL.
    pub(super) fn get(&self, row: usize) -> Option<Range<usize>> {
        if self.nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            return None;
        }
        // Offsets and sizes of a valid array are never negative.
        let small = |start: i32, end: i32| start as usize..end as usize;
        let large = |start: i64, end: i64| start as usize..end as usize;
        match &self.ranges {
            Ranges::Small(offsets) => Some(small(offsets[row], offsets[row + 1])),
            Ranges::Large(offsets) => Some(large(offsets[row], offsets[row + 1])),
            Ranges::SmallView(offsets, sizes) => Some(small(offsets[row], offsets[row] + sizes[row])),
            Ranges::LargeView(offsets, sizes) => Some(large(offsets[row], offsets[row] + sizes[row])),
            Ranges::Fixed(length) => Some(row * length..(row + 1) * length),
            Ranges::Null => None,
        }
    }
}
