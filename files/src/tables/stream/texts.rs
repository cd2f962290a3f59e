//! Texts of Parquet files, looked at before they are taken for texts.
//!
//! A file says of a column that it is UTF-8, and some of its values are not. Parquet's reader fails then and does not say
//! where. So the columns are read as byte strings and become texts here, without a copy where all is well.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, GenericBinaryArray, GenericListArray, GenericStringArray, OffsetSizeTrait, RecordBatch,
    RecordBatchOptions, StructArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::parquet::basic::{ConvertedType, Repetition, Type as PhysicalType};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::schema::types::{SchemaDescriptor, Type};
use tamis_planner::marked;

/// What becomes of values that are not UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::tables) enum Texts {
    /// The scan fails and names the column and the row.
    #[default]
    Refused,
    /// U+FFFD stands for what cannot be read.
    Replaced,
    /// In these columns a model is told instead ([`marked`]); in others the scan fails.
    Marked(Arc<[String]>),
}

/// What becomes of the values of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Refused,
    Replaced,
    Marked,
}

impl Texts {
    fn of_column(&self, name: &str) -> Text {
        match self {
            Self::Replaced => Text::Replaced,
            Self::Marked(columns) if columns.iter().any(|column| column == name) => Text::Marked,
            _ => Text::Refused,
        }
    }
}

/// The schema of a file with byte strings in the places of texts.
pub(super) fn as_bytes(schema: &SchemaDescriptor) -> Result<SchemaDescriptor, ParquetError> {
    Ok(SchemaDescriptor::new(Arc::new(type_as_bytes(schema.root_schema())?)))
}

fn type_as_bytes(node: &Type) -> Result<Type, ParquetError> {
    let info = node.get_basic_info();
    let id = info.has_id().then(|| info.id());
    let repetition = if info.has_repetition() { info.repetition() } else { Repetition::REQUIRED };
    match node {
        Type::PrimitiveType { physical_type: PhysicalType::BYTE_ARRAY, .. }
            if info.converted_type() == ConvertedType::UTF8 =>
        {
            let bytes = Type::primitive_type_builder(info.name(), PhysicalType::BYTE_ARRAY);
            bytes.with_repetition(repetition).with_id(id).build()
        }
        Type::PrimitiveType { .. } => Ok(node.clone()),
        Type::GroupType { fields, .. } => {
            let fields = fields.iter().map(|field| type_as_bytes(field).map(Arc::new)).collect::<Result<_, _>>()?;
            let mut group = Type::group_type_builder(info.name())
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_fields(fields)
                .with_id(id);
            if info.has_repetition() {
                group = group.with_repetition(repetition);
            }
            group.build()
        }
    }
}

/// The columns as they are read.
pub(super) fn fields_as_bytes(fields: &Fields) -> Fields {
    fields.iter().map(field_as_bytes).collect()
}

fn field_as_bytes(field: &FieldRef) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(bytes_type(field.data_type())))
}

fn bytes_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::Utf8View => DataType::Binary,
        DataType::LargeUtf8 => DataType::LargeBinary,
        DataType::Dictionary(_, value) if value.is_string() => bytes_type(value),
        DataType::List(item) => DataType::List(field_as_bytes(item)),
        DataType::LargeList(item) => DataType::LargeList(field_as_bytes(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(field_as_bytes(item), *length),
        DataType::Map(entries, sorted) => DataType::Map(field_as_bytes(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields_as_bytes(fields)),
        other => other.clone(),
    }
}

/// A value that is not UTF-8: its place in its column, and that of its first wrong byte.
#[derive(Debug)]
struct Invalid {
    place: usize,
    byte: usize,
}

enum Failed {
    Invalid(Invalid),
    Arrow(ArrowError),
}

impl From<ArrowError> for Failed {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

/// Where a batch's rows lie.
pub(super) struct Place<'a, F> {
    /// The file.
    pub(super) file: &'a str,
    /// The number in the file of a row of the batch.
    pub(super) row: F,
}

/// A batch of byte strings with the texts of `schema`.
pub(super) fn with_texts(
    batch: &RecordBatch,
    schema: &Schema,
    texts: &Texts,
    place: &Place<'_, impl Fn(usize) -> u64>,
) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (column, (read, field)) in batch.columns().iter().zip(batch.schema().fields().iter().zip(schema.fields())) {
        if read.data_type() == field.data_type() {
            fields.push(Arc::clone(read));
            columns.push(Arc::clone(column));
            continue;
        }
        let name = field.name();
        let mut texts = texts.of_column(name);
        if texts == Text::Marked && !matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8) {
            texts = Text::Refused;
        }
        let mark = |Invalid { place: at, byte }| {
            marked(&format!(
                "{name}: not UTF-8, from byte {byte} on (row {} of {}, counted from 0)",
                (place.row)(at),
                place.file
            ))
        };
        let array = text(column, field.data_type(), texts, &mark).map_err(|failed| match failed {
            Failed::Arrow(error) => error.into(),
            Failed::Invalid(Invalid { place: at, byte }) => exec_datafusion_err!(
                "column {name}, row {} (counted from 0): not UTF-8, from byte {byte} of the value on; SET \
                 tamis.files.invalid_utf8 = 'replace' reads U+FFFD in such places",
                (place.row)(at)
            ),
        })?;
        fields.push(Arc::clone(field));
        columns.push(array);
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &rows)?)
}

type Mark<'a> = &'a dyn Fn(Invalid) -> String;

fn text(array: &ArrayRef, wanted: &DataType, texts: Text, mark: Mark<'_>) -> Result<ArrayRef, Failed> {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), wanted) {
        (DataType::Binary, DataType::Utf8) => checked::<i32>(array.as_binary(), texts, mark),
        (DataType::LargeBinary, DataType::LargeUtf8) => checked::<i64>(array.as_binary(), texts, mark),
        (DataType::Binary, DataType::Dictionary(_, _) | DataType::Utf8View) => {
            Ok(cast(&checked::<i32>(array.as_binary(), texts, mark)?, wanted)?)
        }
        (DataType::LargeBinary, DataType::Dictionary(_, _)) => {
            Ok(cast(&checked::<i64>(array.as_binary(), texts, mark)?, wanted)?)
        }
        (DataType::List(_), DataType::List(item)) => list::<i32>(array, item, texts, mark),
        (DataType::LargeList(_), DataType::LargeList(item)) => list::<i64>(array, item, texts, mark),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let array = array.as_struct();
            let columns = array.columns().iter().zip(fields);
            let columns = columns.map(|(column, f)| text(column, f.data_type(), texts, mark));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, array.nulls().cloned())?))
        }
        // Lists of one length and maps: their texts are checked by the cast, which does not tell where.
        _ => Ok(cast(array, wanted)?),
    }
}

fn checked<O: OffsetSizeTrait>(array: &GenericBinaryArray<O>, texts: Text, mark: Mark<'_>) -> Result<ArrayRef, Failed> {
    if let Ok(strings) = GenericStringArray::<O>::try_from_binary(array.clone()) {
        return Ok(Arc::new(strings));
    }
    // What is wrong may lie in a value that is NULL.
    let mut strings: Vec<Option<Cow<'_, str>>> = Vec::with_capacity(array.len());
    for (place, value) in array.iter().enumerate() {
        let Some(value) = value else {
            strings.push(None);
            continue;
        };
        strings.push(Some(match (std::str::from_utf8(value), texts) {
            (Ok(string), _) => Cow::Borrowed(string),
            (Err(_), Text::Replaced) => String::from_utf8_lossy(value),
            (Err(error), Text::Marked) => Cow::Owned(mark(Invalid { place, byte: error.valid_up_to() })),
            (Err(error), Text::Refused) => {
                return Err(Failed::Invalid(Invalid { place, byte: error.valid_up_to() }));
            }
        }));
    }
    Ok(Arc::new(GenericStringArray::<O>::from_iter(strings)))
}

fn list<O: OffsetSizeTrait>(
    array: &ArrayRef,
    item: &FieldRef,
    texts: Text,
    mark: Mark<'_>,
) -> Result<ArrayRef, Failed> {
    let list = array.as_list::<O>();
    let values = text(list.values(), item.data_type(), texts, mark).map_err(|failed| match failed {
        Failed::Invalid(Invalid { place, byte }) => {
            let rows = list.offsets().partition_point(|offset| offset.as_usize() <= place);
            Failed::Invalid(Invalid { place: rows.saturating_sub(1), byte })
        }
        other => other,
    })?;
    let nulls = list.nulls().cloned();
    Ok(Arc::new(GenericListArray::<O>::try_new(Arc::clone(item), list.offsets().clone(), values, nulls)?))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{BinaryArray, ListArray, StringArray};
    use datafusion::arrow::datatypes::Int32Type;

    use super::*;

    fn batch() -> RecordBatch {
        let bytes: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(b"a"), None, Some(b"caf\xe9")]));
        RecordBatch::try_from_iter([("w", bytes)]).unwrap()
    }

    fn schema(data_type: DataType) -> Schema {
        Schema::new(vec![Field::new("w", data_type, true)])
    }

    fn place(first: u64) -> Place<'static, impl Fn(usize) -> u64> {
        Place { file: "a.parquet", row: move |row| first + row as u64 }
    }

    #[test]
    fn what_is_not_utf8_is_named_replaced_or_marked() {
        let refused = with_texts(&batch(), &schema(DataType::Utf8), &Texts::Refused, &place(100));
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("column w, row 102") && error.contains("from byte 3"), "{error}");
        let replaced = with_texts(&batch(), &schema(DataType::Utf8), &Texts::Replaced, &place(0)).unwrap();
        let expected = StringArray::from(vec![Some("a"), None, Some("caf\u{fffd}")]);
        assert_eq!(replaced.column(0).as_string::<i32>(), &expected);
        let columns = Texts::Marked(["w".to_string()].into());
        let told = with_texts(&batch(), &schema(DataType::Utf8), &columns, &place(0)).unwrap();
        let expected = marked("w: not UTF-8, from byte 3 on (row 2 of a.parquet, counted from 0)");
        assert_eq!(told.column(0).as_string::<i32>().value(2), expected);
    }

    #[test]
    fn texts_in_lists_are_those_of_their_rows() {
        let items: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"a", b"b", b"\xff"]));
        let offsets = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1), Some(2)]),
            None,
            Some(vec![]),
            Some(vec![Some(3)]),
        ]);
        let item = |data_type| Arc::new(Field::new_list_field(data_type, true));
        let list = ListArray::new(item(DataType::Binary), offsets.offsets().clone(), items, offsets.nulls().cloned());
        let batch = RecordBatch::try_from_iter([("w", Arc::new(list) as ArrayRef)]).unwrap();
        let wanted = schema(DataType::List(item(DataType::Utf8)));
        let error = with_texts(&batch, &wanted, &Texts::Refused, &place(0)).unwrap_err().to_string();
        assert!(error.contains("row 3"), "{error}");
        assert!(with_texts(&batch, &wanted, &Texts::Replaced, &place(0)).is_ok());
    }
}
