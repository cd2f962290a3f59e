//! What a key's values have in common, learnt value by value.

use std::fmt;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::error::{TextError, shortened};

/// Digits of the whole numbers from -2^63 to 2^64.
const DIGITS: u8 = 20;

/// What is known of a key's values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Inferred {
    /// Nothing, or that they are null.
    #[default]
    Unknown,
    Bool,
    Number(Number),
    /// They are text, or of kinds that only text can hold.
    Text,
    List(Box<Inferred>),
    /// By key, in the order in which keys were met.
    Object(Vec<(String, Inferred)>),
}

/// What numbers have been met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Number {
    is_negative: bool,
    /// Beyond 2^63.
    is_large: bool,
    has_fraction: bool,
}

impl Number {
    fn and(self, other: Self) -> Self {
        Self {
            is_negative: self.is_negative || other.is_negative,
            is_large: self.is_large || other.is_large,
            has_fraction: self.has_fraction || other.has_fraction,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self { has_fraction: true, .. } => DataType::Float64,
            Self { is_large: true, is_negative: true, .. } => DataType::Decimal128(DIGITS, 0),
            Self { is_large: true, .. } => DataType::UInt64,
            _ => DataType::Int64,
        }
    }
}

impl Inferred {
    /// Learns what others are known to be.
    pub(super) fn meet(&mut self, other: Self) {
        let known = std::mem::take(self);
        *self = match (known, other) {
            (Self::Unknown, other) => other,
            (known, Self::Unknown) => known,
            (Self::Bool, Self::Bool) => Self::Bool,
            (Self::Number(a), Self::Number(b)) => Self::Number(a.and(b)),
            (Self::List(mut items), Self::List(more)) => {
                items.meet(*more);
                Self::List(items)
            }
            (Self::Object(mut fields), Self::Object(more)) => {
                for (key, value) in more {
                    field(&mut fields, &key, 0).1.meet(value);
                }
                Self::Object(fields)
            }
            _ => Self::Text,
        };
    }

    /// Learns from the objects of a text.
    pub(super) fn look_at(&mut self, text: &[u8]) -> Result<(), TextError> {
        let mut values = serde_json::Deserializer::from_slice(text);
        loop {
            if let Err(error) = values.end() {
                let read = Learn { of: self, is_record: true }.deserialize(&mut values);
                if read.is_err() && std::str::from_utf8(text).is_ok() {
                    let error = read.err().unwrap_or(error);
                    let message = error.to_string();
                    let reason = message.split(" at line ").next().unwrap_or(&message);
                    return Err(TextError::Record { line: error.line() as u64, reason: shortened(reason) });
                } else if read.is_err() {
                    // Reading says which.
                    return Ok(());
                }
            } else {
                return Ok(());
            }
        }
    }

    /// Learns from lines, of which the first and the last may be cut. What is wrong with others is said when they are read.
    pub(super) fn look_at_lines(&mut self, text: &[u8]) {
        let mut lines = text.split(|byte| *byte == b'\n').skip(1).peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_some() {
                let _ = self.look_at(line);
            }
        }
    }

    /// The columns of objects that are known to be so.
    pub(super) fn schema(&self) -> Schema {
        match self {
            Self::Object(fields) => Schema::new(
                fields.iter().map(|(key, value)| Field::new(key, value.data_type(), true)).collect::<Vec<_>>(),
            ),
            _ => Schema::empty(),
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Unknown | Self::Text => DataType::Utf8,
            Self::Bool => DataType::Boolean,
            Self::Number(number) => number.data_type(),
            Self::List(item) => DataType::new_list(item.data_type(), true),
            Self::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| Field::new(key, value.data_type(), true));
                DataType::Struct(fields.collect())
            }
        }
    }
}

/// The field of a key, and its place. Keys come in the same order from object to object.
fn field<'a>(fields: &'a mut Vec<(String, Inferred)>, key: &str, expected: usize) -> (usize, &'a mut Inferred) {
    let is_there = fields.get(expected).is_some_and(|(known, _)| known == key);
    let place = if is_there { Some(expected) } else { fields.iter().position(|(known, _)| known == key) };
    let place = place.unwrap_or_else(|| {
        fields.push((key.to_string(), Inferred::Unknown));
        fields.len() - 1
    });
    (place, &mut fields[place].1)
}

/// Learns from one value.
struct Learn<'a> {
    of: &'a mut Inferred,
    /// Whether it is a row of a table, not a value in one.
    is_record: bool,
}

impl Learn<'_> {
    fn scalar<E: serde::de::Error>(self, kind: Inferred, what: &str) -> Result<(), E> {
        if self.is_record {
            return Err(E::custom(format!("{what} where an object is expected: one for each row")));
        }
        self.of.meet(kind);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Learn<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, values: D) -> Result<(), D::Error> {
        values.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Learn<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar(Inferred::Unknown, "null")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar(Inferred::Bool, "a truth value")
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Inferred::Number(Number { is_negative: value < 0, ..Number::default() }), "a number")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        let is_large = i64::try_from(value).is_err();
        self.scalar(Inferred::Number(Number { is_large, ..Number::default() }), "a number")
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar(Inferred::Number(Number { has_fraction: true, ..Number::default() }), "a number")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar(Inferred::Text, "a text")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if self.is_record {
            return Err(serde::de::Error::custom("an array where an object is expected: one for each row"));
        }
        self.of.meet(Inferred::List(Box::default()));
        let mut nowhere = Inferred::Unknown;
        let item = match self.of {
            Inferred::List(item) => item.as_mut(),
            _ => &mut nowhere,
        };
        while items.next_element_seed(Learn { of: item, is_record: false })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.of.meet(Inferred::Object(vec![]));
        let mut nowhere = vec![];
        let fields = match self.of {
            Inferred::Object(fields) => fields,
            _ => &mut nowhere,
        };
        let mut expected = 0;
        while let Some(key) = entries.next_key::<std::borrow::Cow<'_, str>>()? {
            let (place, value) = field(fields, &key, expected);
            expected = place + 1;
            entries.next_value_seed(Learn { of: value, is_record: false })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Schema {
        let mut inferred = Inferred::Unknown;
        inferred.look_at(text.as_bytes()).unwrap();
        inferred.schema()
    }

    fn types(text: &str) -> Vec<(String, DataType)> {
        schema(text).fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
    }

    #[test]
    fn types_hold_all_values() {
        use DataType::*;
        for (values, expected) in [
            ("1 2", Int64),
            ("1 2.5", Float64),
            ("1 null -3", Int64),
            ("18446744073709551615 1", UInt64),
            ("18446744073709551615 -1", Decimal128(20, 0)),
            ("true false", Boolean),
            ("true 1", Utf8),
            ("1 \"x\"", Utf8),
            ("null null", Utf8),
            ("[1] [] [2.5]", DataType::new_list(Float64, true)),
            ("[1] 1", Utf8),
        ] {
            let text: String = values.split(' ').map(|value| format!("{{\"k\": {value}}}\n")).collect();
            assert_eq!(types(&text), [("k".to_string(), expected)], "{values}");
        }
    }

    #[test]
    fn keys_stand_in_the_order_in_which_they_are_met() {
        let names: Vec<_> =
            types("{\"b\":1,\"a\":{\"x\":1}}\n{\"c\":2,\"a\":{\"y\":\"z\"},\"b\":3}").into_iter().collect();
        assert_eq!(names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
        let inner = [Field::new("x", DataType::Int64, true), Field::new("y", DataType::Utf8, true)];
        assert_eq!(names[1].1, DataType::Struct(inner.into_iter().collect()));
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_line() {
        for (text, reason) in [("{\"a\":1}\n5", "line 2: a number where"), ("{\"a\":1}\n{\"a\":", "line 2: EOF")] {
            let error = Inferred::Unknown.clone().look_at(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{error}");
        }
    }

    #[test]
    fn lines_that_are_cut_are_passed_over() {
        let mut inferred = Inferred::Unknown;
        inferred.look_at_lines(b"1}\n{\"a\":2}\n{\"a\":\"x");
        assert_eq!(inferred.schema().field(0).data_type(), &DataType::Int64);
    }
}
