//! Columns that differ from file to file, and what their statistics do not know.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::{DataType, Field, Int8Type};
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::parquet::arrow::ArrowWriter;

use super::csv;
use crate::test_session::session;

fn write(folder: &Path, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = folder.join(name);
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn structs(fields: Vec<(&str, ArrayRef)>) -> ArrayRef {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, array)| (Arc::new(Field::new(name, array.data_type().clone(), true)), array))
        .collect();
    Arc::new(StructArray::from(fields))
}

#[tokio::test]
async fn columns_widen_from_file_to_file() {
    let folder = tempfile::tempdir().unwrap();
    let words: DictionaryArray<Int8Type> = ["x", "y"].into_iter().collect();
    write(
        folder.path(),
        "a.parquet",
        vec![
            ("n", Arc::new(Int32Array::from(vec![1, 2]))),
            ("f", Arc::new(Int64Array::from(vec![1, 2]))),
            ("s", Arc::new(words)),
            ("image", Arc::new(BinaryArray::from_vec(vec![b"a", b"b"]))),
            ("r", structs(vec![("p", Arc::new(Int32Array::from(vec![1, 2])))])),
        ],
    );
    write(
        folder.path(),
        "b.parquet",
        vec![
            (
                "r",
                structs(vec![
                    ("q", Arc::new(StringArray::from(vec!["w"]))),
                    ("p", Arc::new(Int64Array::from(vec![3]))),
                ]),
            ),
            ("image", Arc::new(LargeBinaryArray::from_vec(vec![b"c"]))),
            ("s", Arc::new(LargeStringArray::from(vec!["z"]))),
            ("n", Arc::new(Int64Array::from(vec![1_i64 << 40]))),
            ("f", Arc::new(Float32Array::from(vec![2.5]))),
            ("more", Arc::new(BooleanArray::from(vec![true]))),
        ],
    );
    let session = session(&[]);
    let at = folder.path().display();
    for (sql, expected) in [
        (
            format!("SELECT n, f, s, image, r['p'], r['q'], more FROM '{at}' ORDER BY n"),
            vec!["1,1.0,x,YQ==,1,,", "2,2.0,y,Yg==,2,,", "1099511627776,2.5,z,Yw==,3,w,true"],
        ),
        (format!("SELECT n FROM '{at}' WHERE f > 2 OR s = 'x' ORDER BY n"), vec!["1", "1099511627776"]),
        (format!("SELECT max(n), min(n), count(more), count(*) FROM '{at}'"), vec!["1099511627776,1,1,3"]),
    ] {
        assert_eq!(csv(&session, &sql).await.unwrap(), expected, "{sql}");
    }
}

#[tokio::test]
async fn what_cannot_widen_names_both_files_and_types() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.parquet", vec![("x", Arc::new(Int32Array::from(vec![1])))]);
    write(folder.path(), "b.parquet", vec![("x", Arc::new(StringArray::from(vec!["1"])))]);
    let error = csv(&session(&[]), &format!("SELECT * FROM '{}'", folder.path().display())).await.unwrap_err();
    for part in ["column x is Int32 in /", "/a.parquet", "Utf8 in /", "/b.parquet"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_broken_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.parquet", vec![("x", Arc::new(Int32Array::from(vec![1])))]);
    let whole = std::fs::read(folder.path().join("a.parquet")).unwrap();
    std::fs::write(folder.path().join("b.parquet"), &whole[..whole.len() / 2]).unwrap();
    let error = csv(&session(&[]), &format!("SELECT * FROM '{}'", folder.path().display())).await.unwrap_err();
    assert!(error.contains("reading /") && error.contains("b.parquet: damaged Parquet file"), "{error}");

    // The footer is whole, the pages are not.
    let mut torn = whole;
    let end = torn.len() - 300;
    torn[4..end.min(60)].fill(0xff);
    std::fs::write(folder.path().join("b.parquet"), &torn).unwrap();
    let error = csv(&session(&[]), &format!("SELECT * FROM '{}'", folder.path().display())).await.unwrap_err();
    assert!(error.contains("b.parquet: "), "{error}");
}

/// Row groups of two rows. Parquet's statistics leave NaN out: the least and the greatest value of the first are 1.0.
#[tokio::test]
async fn statistics_of_floats_never_invent_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nan.parquet");
    let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0, 3.0, -f64::NAN, 5.0]));
    let half: ArrayRef = Arc::new(Float32Array::from(vec![1.0, f32::NAN, 2.0, 3.0, 1.0, 1.0]));
    let batch = RecordBatch::try_from_iter([("x", column), ("y", half)]).unwrap();
    let properties = datafusion::parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(2))
        .set_data_page_row_count_limit(1)
        .set_write_batch_size(1)
        .build();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let at = path.display();
    // The same with filters in the reader and without, from a cache of metadata and without.
    for options in
        [[("datafusion.execution.parquet.pushdown_filters", "true")], [("datafusion.execution.batch_size", "3")]]
    {
        let session = session(&options);
        for (sql, expected) in [
            (format!("SELECT y FROM '{at}'"), vec!["1.0", "NaN", "2.0", "3.0", "1.0", "1.0"]),
            (format!("SELECT count(*) FROM '{at}' WHERE x > 1.5"), vec!["4"]),
            (format!("SELECT count(*) FROM '{at}' WHERE x < 1.5"), vec!["2"]),
            (format!("SELECT max(x), max(y), min(y) FROM '{at}'"), vec!["NaN,NaN,1.0"]),
            (format!("SELECT y FROM '{at}' ORDER BY y DESC LIMIT 1"), vec!["NaN"]),
            (format!("SELECT count(x), count(*) FROM '{at}' WHERE x IS NOT NULL"), vec!["6,6"]),
        ] {
            assert_eq!(csv(&session, &sql).await.unwrap(), expected, "{sql} with {options:?}");
        }
    }
}

#[tokio::test]
async fn two_columns_of_one_name_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twice.csv");
    std::fs::write(&path, "id,value,value\n1,2,3\n").unwrap();
    let error = csv(&session(&[]), &format!("SELECT * FROM '{}'", path.display())).await.unwrap_err();
    assert!(error.contains("twice.csv has more than one column called value"), "{error}");
}

#[tokio::test]
async fn arrow_files_and_streams_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let batch = RecordBatch::try_from_iter([
        ("n", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef),
        ("image", Arc::new(BinaryArray::from_vec(vec![b"a", b"b"])) as ArrayRef),
    ])
    .unwrap();
    let mut stream = StreamWriter::try_new(vec![], &batch.schema()).unwrap();
    stream.write(&batch).unwrap();
    std::fs::write(folder.path().join("a.arrow"), stream.into_inner().unwrap()).unwrap();
    let wider = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1_i64 << 40])) as ArrayRef)]).unwrap();
    let mut file = datafusion::arrow::ipc::writer::FileWriter::try_new(vec![], &wider.schema()).unwrap();
    file.write(&wider).unwrap();
    std::fs::write(folder.path().join("b.arrow"), file.into_inner().unwrap()).unwrap();
    let sql = format!("SELECT n, image, arrow_typeof(image) FROM '{}' ORDER BY n", folder.path().display());
    let rows = csv(&session(&[]), &sql).await.unwrap();
    assert_eq!(rows, ["1,YQ==,LargeBinary", "2,Yg==,LargeBinary", "1099511627776,,LargeBinary"]);
    assert_eq!(DataType::LargeBinary, crate::tables::schema::presented(&DataType::BinaryView));
}
