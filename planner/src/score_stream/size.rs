//! How many bytes a record batch's rows take.

use arrow::array::{Array, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::datatypes::DataType;

/// Bytes of the rows of `batch`, without what its buffers hold of other rows.
pub(super) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| array_bytes(column)).sum()
}

fn array_bytes(array: &dyn Array) -> usize {
    let own = match array.data_type() {
        DataType::BinaryView => array.as_binary_view().total_buffer_bytes_used() + array.len() * size_of::<u128>(),
        DataType::Utf8View => array.as_string_view().total_buffer_bytes_used() + array.len() * size_of::<u128>(),
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| array_bytes(column)).sum(),
        DataType::List(_) => list_bytes::<i32>(array),
        DataType::LargeList(_) => list_bytes::<i64>(array),
        _ => return array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
    };
    own + array.nulls().map_or(0, |nulls| nulls.len().div_ceil(8))
}

fn list_bytes<O: OffsetSizeTrait>(array: &dyn Array) -> usize {
    let list = array.as_list::<O>();
    let (first, last) = (list.value_offsets()[0].as_usize(), list.value_offsets()[list.len()].as_usize());
    array_bytes(list.values().slice(first, last - first).as_ref()) + size_of_val(list.value_offsets())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, BinaryViewArray, ListArray, StructArray};
    use arrow::datatypes::Field;

    use super::*;

    const ROWS: usize = 10;

    fn images() -> Vec<Vec<u8>> {
        (0..ROWS).map(|row| vec![0; 1000 + row]).collect()
    }

    fn of_every_kind() -> Vec<ArrayRef> {
        let binary: ArrayRef = Arc::new(BinaryArray::from_iter_values(images()));
        let views: ArrayRef = Arc::new(BinaryViewArray::from_iter_values(images()));
        let field = Arc::new(Field::new("bytes", DataType::BinaryView, true));
        let pairs: ArrayRef = Arc::new(StructArray::from(vec![(field, Arc::clone(&views))]));
        let mut lists = arrow::array::ListBuilder::new(arrow::array::BinaryViewBuilder::new());
        for image in images() {
            lists.append_value([Some(image)]);
        }
        let lists: ListArray = lists.finish();
        vec![binary, views, pairs, Arc::new(lists)]
    }

    #[test]
    fn a_slice_counts_its_own_rows_only() {
        for array in of_every_kind() {
            let whole = array_bytes(array.as_ref());
            let row = array_bytes(array.slice(3, 1).as_ref());
            assert!((10_045..11_000).contains(&whole), "{}: {whole}", array.data_type());
            assert!((1_003..1_100).contains(&row), "{}: {row}", array.data_type());
        }
    }

    #[test]
    fn no_rows_take_next_to_nothing() {
        for array in of_every_kind() {
            assert!(array_bytes(array.slice(ROWS, 0).as_ref()) < 64, "{}", array.data_type());
        }
    }
}
