//! Which columns weigh.

use arrow::datatypes::DataType;

/// Whether values of this type may be large: byte strings, such as images, and what holds them.
pub(crate) fn is_heavy(data_type: &DataType) -> bool {
    match data_type {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => is_heavy(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| is_heavy(field.data_type())),
        _ => false,
    }
}
