//! Parquet files whose texts are not all UTF-8.

use std::path::Path;
use std::sync::Arc;

use datafusion::parquet::data_type::{ByteArray, ByteArrayType};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::writer::SerializedFileWriter;
use datafusion::parquet::schema::parser::parse_message_type;

use super::csv;
use crate::test_session::session;

/// Rows with an image and a text; the text of row 2 is not UTF-8.
fn write(path: &Path, image: &[u8]) {
    let schema = "message m { required binary uid (UTF8); required binary image; required binary text (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::default())).unwrap();
    let columns: [Vec<&[u8]>; 3] = [
        vec![b"a", b"b", b"c", b"d"],
        vec![image; 4],
        vec![b"a red square", b"a caf\xc3\xa9", b"a caf\xe9 by the sea", b"the last"],
    ];
    let mut group = writer.next_row_group().unwrap();
    for values in columns {
        let mut column = group.next_column().unwrap().unwrap();
        let values: Vec<ByteArray> = values.into_iter().map(ByteArray::from).collect();
        column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

async fn file() -> (tempfile::TempDir, String) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/corpus/captions.parquet");
    let context = session(&[]);
    let images = context.sql(&format!("SELECT image FROM '{}' LIMIT 1", corpus.display())).await.unwrap();
    let images = images.collect().await.unwrap();
    let images = datafusion::common::cast::as_large_binary_array(images[0].column(0)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    write(&path, images.value(0));
    let name = path.display().to_string();
    (folder, name)
}

#[tokio::test]
async fn an_error_names_file_column_and_row() {
    let (_folder, name) = file().await;
    let error = csv(&session(&[]), &format!("SELECT uid, text FROM '{name}'")).await.unwrap_err();
    for part in ["x.parquet: ", "column text, row 2 (counted from 0)", "from byte 5", "tamis.files.invalid_utf8"] {
        assert!(error.contains(part), "{error}");
    }
    let rows = csv(&session(&[]), &format!("SELECT uid FROM '{name}' WHERE uid > 'b'")).await;
    assert_eq!(rows.unwrap(), ["c", "d"]);
}

#[tokio::test]
async fn what_is_no_character_is_replaced_if_asked_for() {
    let (_folder, name) = file().await;
    let session = session(&[("tamis.files.invalid_utf8", "replace")]);
    let rows = csv(&session, &format!("SELECT text FROM '{name}' WHERE uid = 'c' OR text LIKE '%sea'")).await;
    assert_eq!(rows.unwrap(), ["a caf\u{fffd} by the sea"]);
}

/// A model's row fails, and its text is NULL; nothing of the mark is seen.
#[tokio::test]
async fn where_a_model_reads_it_the_row_has_no_score_and_a_reason() {
    let (_folder, name) = file().await;
    let session = session(&[]);
    let call = "unifilter(image, text) AS q, unifilter_error(image, text) AS e";
    for (sql, expected) in [
        (
            format!(
                "SELECT uid, text IS NULL, q IS NULL, e IS NULL FROM (SELECT uid, text, {call} FROM '{name}') ORDER BY uid"
            ),
            vec!["a,false,false,true", "b,false,false,true", "c,true,true,false", "d,false,false,true"],
        ),
        (format!("SELECT uid FROM '{name}' WHERE unifilter(image, text) IS NULL"), vec!["c"]),
        (format!("SELECT count(*) FROM '{name}' WHERE length(uid) = 1 AND unifilter(image, text) > -1000"), vec!["3"]),
        (format!("SELECT uid, text FROM '{name}' ORDER BY unifilter(image, text) IS NULL DESC LIMIT 1"), vec!["c,"]),
    ] {
        assert_eq!(
            csv(&session, &sql).await.as_deref(),
            Ok(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
            "{sql}"
        );
    }
    let reason =
        csv(&session, &format!("SELECT unifilter_error(image, text) FROM '{name}' WHERE uid = 'c'")).await.unwrap();
    for part in ["text: not UTF-8, from byte 5 on", "row 2 of ", "x.parquet"] {
        assert!(reason[0].contains(part), "{reason:?}");
    }
    // Something else is made of the text below the model: the query says so.
    let error = csv(
        &session,
        &format!(
            "SELECT upper(t) FROM (SELECT upper(text) AS t, unifilter(image, text) AS q FROM '{name}') WHERE q > 0"
        ),
    )
    .await;
    assert!(
        error.as_ref().is_err_and(|e| e.contains("column text, row 2"))
            || error.is_ok_and(|rows| !rows.iter().any(|r| r.contains('\u{fdd0}')))
    );
}

/// In CSV and JSON too, where the image is a text, in base64.
#[tokio::test]
async fn texts_of_texts_cost_a_row_its_score() {
    let (folder, name) = file().await;
    let image = csv(&session(&[]), &format!("SELECT image FROM '{name}' LIMIT 1")).await.unwrap().remove(0);
    let mut json = vec![];
    let mut comma = b"uid,text,image\n".to_vec();
    for (uid, text) in [("a", &b"a red square"[..]), ("b", b"caf\xe9"), ("c", b"the last")] {
        json.extend(format!("{{\"uid\": \"{uid}\", \"text\": \"").bytes().chain(text.iter().copied()));
        json.extend(format!("\", \"image\": \"{image}\"}}\n").bytes());
        comma.extend(format!("{uid},").bytes().chain(text.iter().copied()).chain(format!(",{image}\n").bytes()));
    }
    for (file, bytes) in [("x.jsonl", json), ("x.csv", comma)] {
        let path = folder.path().join(file);
        std::fs::write(&path, bytes).unwrap();
        let path = path.display();
        let scored = format!(
            "SELECT uid, text IS NULL, q IS NULL, e LIKE 'text: not UTF-8 (in line % of %{file} or behind)' FROM \
             (SELECT uid, text, unifilter(image, text) AS q, unifilter_error(image, text) AS e FROM '{path}') ORDER BY uid"
        );
        let rows = csv(&session(&[]), &scored).await;
        assert_eq!(rows.unwrap(), ["a,false,false,", "b,true,true,true", "c,false,false,"], "{file}");
        let error = csv(&session(&[]), &format!("SELECT uid, text FROM '{path}'")).await.unwrap_err();
        assert!(error.contains(&format!("{file}: line ")), "{error}");
    }
}
