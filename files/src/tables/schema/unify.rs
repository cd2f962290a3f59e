//! One schema for files whose schemas differ.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::common::plan_datafusion_err;
use datafusion::error::Result;

/// Most digits of the decimals that are wide enough for most.
const MOST_DIGITS: u8 = 38;
const MOST_DIGITS_LARGE: u8 = 76;

/// The type in which a column of files is read: byte strings have 64-bit offsets, so that a group or a sort may hold more than
/// 2 GiB of images, and nothing is a view, which does not travel.
pub(in crate::tables) fn presented(data_type: &DataType) -> DataType {
    let item = |item: &FieldRef| Arc::new(presented_field(item));
    match data_type {
        DataType::Binary | DataType::BinaryView => DataType::LargeBinary,
        DataType::Utf8View => DataType::Utf8,
        DataType::List(field) | DataType::ListView(field) => DataType::List(item(field)),
        DataType::LargeList(field) | DataType::LargeListView(field) => DataType::LargeList(item(field)),
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(item(field), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(item).collect()),
        DataType::Dictionary(key, value) => DataType::Dictionary(key.clone(), Box::new(presented(value))),
        other => other.clone(),
    }
}

/// Without what a writer notes of its own file.
fn presented_field(field: &Field) -> Field {
    field.clone().with_data_type(presented(field.data_type())).with_metadata(HashMap::new())
}

/// One schema that the values of all files can be read in. `files` have a name each.
///
/// A column that some files lack is NULL there.
pub(in crate::tables) fn unify<'a>(files: impl IntoIterator<Item = (&'a str, SchemaRef)>) -> Result<Schema> {
    let mut whole: Vec<(Field, &str)> = vec![];
    let mut metadata = None;
    for (count, (file, schema)) in files.into_iter().enumerate() {
        check_names(file, &schema)?;
        for (field, _) in &mut whole {
            if schema.field_with_name(field.name()).is_err() {
                field.set_nullable(true);
            }
        }
        for field in schema.fields() {
            let mut field = presented_field(field);
            // One that is not UTF-8 is NULL where a model reads it.
            if matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8) {
                field.set_nullable(true);
            }
            match whole.iter_mut().find(|(known, _)| known.name() == field.name()) {
                Some((known, first)) => {
                    let Some(wider) = wider(known.data_type(), field.data_type()) else {
                        return Err(plan_datafusion_err!(
                            "column {} is {} in {first} and {} in {file}, which no type holds both of; read such files apart, \
                             with a CAST each, and put them together with UNION ALL BY NAME",
                            field.name(),
                            known.data_type(),
                            field.data_type()
                        ));
                    };
                    let is_nullable = known.is_nullable() || field.is_nullable();
                    *known = known.clone().with_data_type(wider).with_nullable(is_nullable);
                }
                None => {
                    let is_nullable = count > 0 || field.is_nullable();
                    whole.push((field.with_nullable(is_nullable), file));
                }
            }
        }
        metadata.get_or_insert_with(|| schema.metadata().clone());
    }
    let fields: Vec<Field> = whole.into_iter().map(|(field, _)| field).collect();
    Ok(Schema::new_with_metadata(fields, metadata.unwrap_or_default()))
}

/// Columns are told apart by their names.
fn check_names(file: &str, schema: &Schema) -> Result<()> {
    let mut seen = HashSet::new();
    match schema.fields().iter().find(|field| !seen.insert(field.name())) {
        Some(twice) => Err(plan_datafusion_err!(
            "{file} has more than one column called {}; give them names of their own where the file is written",
            twice.name()
        )),
        None => Ok(()),
    }
}

/// The type that holds the values of both, if there is one.
pub(in crate::tables) fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Date32, Date64, Dictionary, LargeList, LargeUtf8, List, Map, Null, Struct, Timestamp, Utf8};
    if a == b {
        return Some(a.clone());
    }
    Some(match (a, b) {
        (Null, other) | (other, Null) => other.clone(),
        (Dictionary(_, a), Dictionary(_, b)) => wider(a, b)?,
        (Dictionary(_, value), other) | (other, Dictionary(_, value)) => wider(value, other)?,
        (Utf8, LargeUtf8) | (LargeUtf8, Utf8) => LargeUtf8,
        (a, b) if is_binary(a) && is_binary(b) => DataType::LargeBinary,
        (a, b) if a.is_integer() && b.is_integer() => wider_integer(a, b)?,
        (a, b) if is_number(a) && is_number(b) => wider_number(a, b)?,
        (Date32, Date64) | (Date64, Date32) => Date64,
        (Timestamp(unit, zone), Date32 | Date64) | (Date32 | Date64, Timestamp(unit, zone)) => {
            Timestamp(*unit, zone.clone())
        }
        (Timestamp(a, zone), Timestamp(b, other)) if zone == other => Timestamp(finer(*a, *b), zone.clone()),
        (List(a), List(b)) => List(wider_field(a, b)?),
        (a, b) if is_list(a) && is_list(b) => LargeList(wider_field(item(a)?, item(b)?)?),
        (Struct(a), Struct(b)) => Struct(wider_fields(a, b)?),
        (Map(a, sorted), Map(b, _)) => Map(wider_field(a, b)?, *sorted),
        _ => return None,
    })
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::LargeBinary | DataType::Binary | DataType::FixedSizeBinary(_))
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn is_list(data_type: &DataType) -> bool {
    item(data_type).is_some()
}

fn item(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

fn wider_integer(a: &DataType, b: &DataType) -> Option<DataType> {
    let (bits_a, bits_b) = (a.primitive_width()? * 8, b.primitive_width()? * 8);
    let signed = |bits| match bits {
        ..=8 => DataType::Int8,
        9..=16 => DataType::Int16,
        17..=32 => DataType::Int32,
        33..=64 => DataType::Int64,
        _ => DataType::Decimal128(20, 0),
    };
    Some(match (a.is_signed_integer(), b.is_signed_integer()) {
        (true, true) => signed(bits_a.max(bits_b)),
        (false, false) if bits_a >= bits_b => a.clone(),
        (false, false) => b.clone(),
        (true, false) => signed(bits_a.max(bits_b + 1)),
        (false, true) => signed(bits_b.max(bits_a + 1)),
    })
}

/// Of whole numbers, floating-point numbers and decimals. Whole numbers beyond 2^53 become the nearest floating-point number.
fn wider_number(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{Float16, Float32, Float64};
    let fits = |number: &DataType, float: &DataType| match float {
        Float16 => number.is_integer() && number.primitive_width() == Some(1),
        Float32 => number == &Float16 || (number.is_integer() && number.primitive_width().is_some_and(|w| w <= 2)),
        _ => false,
    };
    match (a.is_floating(), b.is_floating()) {
        (false, false) => wider_decimal(a, b),
        _ if b.is_floating() && fits(a, b) => Some(b.clone()),
        _ if a.is_floating() && fits(b, a) => Some(a.clone()),
        _ => Some(Float64),
    }
}

fn wider_decimal(a: &DataType, b: &DataType) -> Option<DataType> {
    let (precision_a, scale_a) = digits(a)?;
    let (precision_b, scale_b) = digits(b)?;
    let scale = scale_a.max(scale_b);
    let whole = (i16::from(precision_a) - i16::from(scale_a)).max(i16::from(precision_b) - i16::from(scale_b));
    let precision = u8::try_from(whole + i16::from(scale)).ok()?;
    if precision <= MOST_DIGITS {
        return Some(DataType::Decimal128(precision, scale));
    }
    (precision <= MOST_DIGITS_LARGE).then_some(DataType::Decimal256(precision, scale))
}

fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (*precision, *scale),
        integer if integer.is_integer() => (20, 0),
        _ => return None,
    })
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let order = [Second, Millisecond, Microsecond, Nanosecond];
    order.into_iter().rev().find(|unit| *unit == a || *unit == b).unwrap_or(a)
}

fn wider_field(a: &FieldRef, b: &FieldRef) -> Option<FieldRef> {
    let data_type = wider(a.data_type(), b.data_type())?;
    let is_nullable = a.is_nullable() || b.is_nullable();
    Some(Arc::new(a.as_ref().clone().with_data_type(data_type).with_nullable(is_nullable)))
}

/// The fields of both by name; one that only one of them has is nullable.
fn wider_fields(a: &Fields, b: &Fields) -> Option<Fields> {
    let nullable = |field: &FieldRef| Arc::new(field.as_ref().clone().with_nullable(true));
    let ours = a.iter().map(|field| match b.find(field.name()) {
        Some((_, other)) => wider_field(field, other),
        None => Some(nullable(field)),
    });
    let theirs = b.iter().filter(|field| a.find(field.name()).is_none()).map(|field| Some(nullable(field)));
    ours.chain(theirs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
        let fields: Vec<_> = fields.iter().map(|(name, t)| Field::new(*name, t.clone(), false)).collect();
        Arc::new(Schema::new(fields))
    }

    fn structure(fields: &[(&str, DataType)]) -> DataType {
        DataType::Struct(schema(fields).fields().clone())
    }

    #[test]
    fn what_differs_widens() {
        use DataType::*;
        let words = Dictionary(Box::new(Int16), Box::new(Utf8));
        for (a, b, expected) in [
            (Int32, Int64, Int64),
            (Int32, UInt32, Int64),
            (Int64, UInt64, Decimal128(20, 0)),
            (Int64, Float32, Float64),
            (Int8, Float32, Float32),
            (Float32, Float64, Float64),
            (Decimal128(5, 2), Int32, Decimal128(22, 2)),
            (Utf8, LargeUtf8, LargeUtf8),
            (words.clone(), LargeUtf8, LargeUtf8),
            (words, Utf8, Utf8),
            (LargeBinary, FixedSizeBinary(3), LargeBinary),
            (Null, Boolean, Boolean),
            (
                Timestamp(TimeUnit::Second, None),
                Timestamp(TimeUnit::Nanosecond, None),
                Timestamp(TimeUnit::Nanosecond, None),
            ),
        ] {
            assert_eq!(wider(&a, &b), Some(expected.clone()), "{a} and {b}");
            assert_eq!(wider(&b, &a), Some(expected), "{b} and {a}");
        }
        for (a, b) in [(Utf8, Int64), (Boolean, Int8), (Utf8, LargeBinary), (Date32, Utf8)] {
            assert_eq!(wider(&a, &b), None, "{a} and {b}");
        }
    }

    #[test]
    fn a_struct_gains_fields() {
        let (a, b) =
            (structure(&[("x", DataType::Int32)]), structure(&[("y", DataType::Utf8), ("x", DataType::Int64)]));
        let DataType::Struct(fields) = wider(&a, &b).unwrap() else { panic!("no struct") };
        let shown: Vec<_> =
            fields.iter().map(|f| (f.name().as_str(), f.data_type().clone(), f.is_nullable())).collect();
        assert_eq!(shown, [("x", DataType::Int64, false), ("y", DataType::Utf8, true)]);
    }

    #[test]
    fn columns_that_a_file_lacks_are_nullable() {
        let (a, b) = (schema(&[("x", DataType::Int32)]), schema(&[("y", DataType::Binary)]));
        let whole = unify([("a", a), ("b", b)]).unwrap();
        assert!(whole.fields().iter().all(|field| field.is_nullable()));
        assert_eq!(whole.field(1).data_type(), &DataType::LargeBinary);
    }

    #[test]
    fn what_has_no_common_type_names_both_files() {
        let (a, b) = (schema(&[("x", DataType::Int32)]), schema(&[("x", DataType::Utf8)]));
        let error = unify([("/a.parquet", a), ("/b.parquet", b)]).unwrap_err().to_string();
        for part in ["column x", "Int32 in /a.parquet", "Utf8 in /b.parquet"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn two_columns_of_one_name_are_refused() {
        let twice = schema(&[("x", DataType::Int32), ("x", DataType::Int32)]);
        let error = unify([("/a.parquet", twice)]).unwrap_err().to_string();
        assert!(error.contains("/a.parquet has more than one column called x"), "{error}");
    }
}
