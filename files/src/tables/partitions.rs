//! Columns whose values stand in the names of folders: `year=2024/month=01/part.parquet`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, plan_datafusion_err};
use datafusion::error::Result;
use object_store::ObjectMeta;
use object_store::path::Path;
use percent_encoding::percent_decode_str;

/// What Hive writes for NULL, and whoever came after it.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The columns that the folders of a table name.
#[derive(Debug, Clone)]
pub(super) struct Partitions {
    /// The folder below which they are looked for.
    below: Path,
    columns: Vec<FieldRef>,
}

impl Partitions {
    /// The columns that folders below `below` name, in the order in which they are met.
    ///
    /// One that the files have as well has the type of theirs and is taken out of `schema`: the folder's value counts.
    pub(super) fn found(below: Path, files: &[ObjectMeta], schema: Schema) -> (Self, Schema) {
        let mut columns: Vec<FieldRef> = vec![];
        for file in files {
            for (name, _) in pairs(&below, &file.location) {
                if !columns.iter().any(|column| *column.name() == name) {
                    columns.push(Arc::new(Field::new(name, DataType::Utf8, true)));
                }
            }
        }
        for column in &mut columns {
            let Ok(own) = schema.field_with_name(column.name()) else { continue };
            let own_type = match own.data_type() {
                DataType::Dictionary(_, value) => value.as_ref(),
                other => other,
            };
            let all_fit = files.iter().all(|file| {
                let value = value_of(&below, &file.location, column.name());
                value.is_none_or(|value| ScalarValue::try_from_string(value, own_type).is_ok())
            });
            if all_fit {
                *column = Arc::new(Field::new(column.name(), own_type.clone(), true));
            }
        }
        let found = Self { below, columns };
        let schema = found.without(schema);
        (found, schema)
    }

    /// The columns that a statement declares.
    pub(super) fn declared(below: Path, columns: Vec<FieldRef>) -> Self {
        let columns = columns.iter().map(|column| Arc::new(column.as_ref().clone().with_nullable(true)));
        Self { below, columns: columns.collect() }
    }

    /// A schema without these columns.
    pub(super) fn without(&self, schema: Schema) -> Schema {
        if self.columns.is_empty() {
            return schema;
        }
        let is_own = |field: &&FieldRef| !self.columns.iter().any(|column| column.name() == field.name());
        let fields: Vec<FieldRef> = schema.fields().iter().filter(is_own).cloned().collect();
        Schema::new_with_metadata(fields, schema.metadata().clone())
    }

    /// The columns.
    pub(super) fn columns(&self) -> &[FieldRef] {
        &self.columns
    }

    /// The values of a file's rows in these columns. A folder that is not there, and what stands for it, is NULL.
    pub(super) fn values(&self, file: &Path) -> Result<Vec<ScalarValue>> {
        let value = |column: &FieldRef| match value_of(&self.below, file, column.name()) {
            Some(text) => ScalarValue::try_from_string(text.clone(), column.data_type()).map_err(|_| {
                plan_datafusion_err!(
                    "the folders of {file} say that {} is {text}, which is no {}",
                    column.name(),
                    column.data_type()
                )
            }),
            None => ScalarValue::try_from(column.data_type()),
        };
        self.columns.iter().map(value).collect()
    }

    /// What is known of the columns of a file with so many rows.
    pub(super) fn statistics(values: &[ScalarValue], rows: Precision<usize>) -> Vec<ColumnStatistics> {
        let statistics = |value: &ScalarValue| match value.is_null() {
            true => ColumnStatistics { null_count: rows, ..ColumnStatistics::new_unknown() },
            false => ColumnStatistics {
                null_count: Precision::Exact(0),
                min_value: Precision::Exact(value.clone()),
                max_value: Precision::Exact(value.clone()),
                distinct_count: Precision::Exact(1),
                ..ColumnStatistics::new_unknown()
            },
        };
        values.iter().map(statistics).collect()
    }
}

/// Names and values of a file's folders; a value that stands for NULL is none.
fn pairs(below: &Path, file: &Path) -> Vec<(String, Option<String>)> {
    let Some(parts) = file.prefix_match(below) else { return vec![] };
    let mut parts: Vec<String> = parts.map(|part| part.as_ref().to_string()).collect();
    parts.pop();
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_string(), String::from);
    let pair = |part: &String| {
        let (name, value) = part.split_once('=').filter(|(name, _)| !name.is_empty())?;
        let value = (value != NULL).then(|| decoded(value));
        Some((decoded(name), value))
    };
    parts.iter().filter_map(pair).collect()
}

fn value_of(below: &Path, file: &Path, column: &str) -> Option<String> {
    pairs(below, file).into_iter().find(|(name, _)| name == column)?.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<ObjectMeta> {
        let file = |path: &&str| ObjectMeta {
            location: Path::parse(path).unwrap(),
            last_modified: Default::default(),
            size: 1,
            e_tag: None,
            version: None,
        };
        paths.iter().map(file).collect()
    }

    #[test]
    fn folders_name_columns() {
        let files = files(&["t/label=a%2Fb/k=1/x", "t/label=__HIVE_DEFAULT_PARTITION__/k=2/x", "t/x"]);
        let schema =
            Schema::new(vec![Field::new("k", DataType::Int32, false), Field::new("n", DataType::Int64, false)]);
        let (partitions, schema) = Partitions::found(Path::from("t"), &files, schema);
        let types: Vec<_> = partitions.columns().iter().map(|c| (c.name().as_str(), c.data_type().clone())).collect();
        assert_eq!(types, [("label", DataType::Utf8), ("k", DataType::Int32)]);
        assert_eq!(schema.fields().len(), 1);
        let values: Vec<_> = files.iter().map(|file| partitions.values(&file.location).unwrap()).collect();
        assert_eq!(values[0], [ScalarValue::from("a/b"), ScalarValue::from(1_i32)]);
        assert_eq!(values[1], [ScalarValue::Utf8(None), ScalarValue::from(2_i32)]);
        assert_eq!(values[2], [ScalarValue::Utf8(None), ScalarValue::Int32(None)]);
    }

    #[test]
    fn values_that_do_not_fit_the_files_are_text() {
        let schema = Schema::new(vec![Field::new("k", DataType::Int32, false)]);
        let (partitions, _) = Partitions::found(Path::from("t"), &files(&["t/k=1/x", "t/k=many/x"]), schema);
        assert_eq!(partitions.columns()[0].data_type(), &DataType::Utf8);
    }

    #[test]
    fn a_value_that_does_not_fit_names_the_file() {
        let column = Arc::new(Field::new("k", DataType::Int32, false));
        let partitions = Partitions::declared(Path::from("t"), vec![column]);
        let error = partitions.values(&Path::parse("t/k=many/x").unwrap()).unwrap_err().to_string();
        assert!(error.contains("t/k=many/x") && error.contains("Int32"), "{error}");
    }
}
