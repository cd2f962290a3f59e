//! CSV, TSV and JSON as people have them.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use super::csv;
use crate::test_session::session;

async fn query(path: &Path, sql: &str) -> Result<Vec<String>, String> {
    csv(&session(&[]), &sql.replace("FILE", &format!("'{}'", path.display()))).await
}

async fn compressed(compression: FileCompressionType, text: &'static str) -> Vec<u8> {
    let text = stream::iter([Ok(Bytes::from(text))]).boxed();
    let parts: Vec<Bytes> = compression.convert_to_compress_stream(text).unwrap().try_collect().await.unwrap();
    parts.concat()
}

/// From a disk and from a store that gives bytes piece by piece.
#[tokio::test]
async fn streams_of_several_members_are_read_to_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let (session, store) = (session(&[]), Arc::new(InMemory::new()));
    session.register_object_store(&Url::parse("memory://m").unwrap(), Arc::clone(&store) as Arc<dyn ObjectStore>);
    for (extension, compression) in [
        ("gz", FileCompressionType::GZIP),
        ("bz2", FileCompressionType::BZIP2),
        ("xz", FileCompressionType::XZ),
        ("zst", FileCompressionType::ZSTD),
    ] {
        let mut members = vec![];
        for text in ["{\"n\": 1}\n{\"n\"", ": 2}\n", "{\"n\": 3}"] {
            members.extend(compressed(compression, text).await);
        }
        let path = folder.path().join(format!("x.jsonl.{extension}"));
        std::fs::write(&path, &members).unwrap();
        store.put(&format!("x.jsonl.{extension}").into(), members.clone().into()).await.unwrap();
        for name in [path.display().to_string(), format!("memory://m/x.jsonl.{extension}")] {
            let rows = csv(&session, &format!("SELECT count(*), sum(n) FROM '{name}'")).await;
            assert_eq!(rows.as_deref(), Ok(&["3,6".to_string()][..]), "{name}");
        }
        std::fs::write(&path, &members[..members.len() - 6]).unwrap();
        let error = query(&path, "SELECT sum(n) FROM FILE").await.unwrap_err();
        assert!(error.contains(&format!("x.jsonl.{extension}: ")), "{error}");
    }
}

/// Larger than many blocks, the first quoted line break far behind the beginning.
#[tokio::test]
async fn a_csv_file_is_not_cut_inside_quotes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    writeln!(file, "id,caption,n").unwrap();
    let (rows, mut sum) = (60_000_u64, 0);
    for id in 0..rows {
        sum += id;
        match id % 7 {
            3 if id > 20_000 => writeln!(file, "{id},\"two\r\nlines, \"\"quoted\"\"\n\",{id}").unwrap(),
            4 => writeln!(file, "{id},5\" tall {},{id}", "x".repeat(60)).unwrap(),
            _ => writeln!(file, "{id},plain {},{id}", "y".repeat(id as usize % 100)).unwrap(),
        }
    }
    drop(file);
    let counted =
        query(&path, "SELECT count(*), sum(n), sum(CASE WHEN caption LIKE '%\n%' THEN 1 ELSE 0 END) AS k FROM FILE")
            .await;
    let several = (20_001..rows).filter(|id| id % 7 == 3).count();
    assert_eq!(counted.unwrap(), [format!("{rows},{sum},{several}")]);
    assert_eq!(query(&path, "SELECT n FROM FILE WHERE id = 20003").await.unwrap(), ["20003"]);
}

#[tokio::test]
async fn a_quote_that_is_never_closed_is_an_error_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    std::fs::write(&path, format!("a,b\n1,x\n2,\"open\n{}", "3,y\n".repeat(10))).unwrap();
    let error = query(&path, "SELECT count(*) FROM FILE").await.unwrap_err();
    assert!(error.contains("x.csv: line 3: ") && error.contains("no closing quote"), "{error}");
}

#[tokio::test]
async fn lone_quotes_of_tab_separated_values_are_ordinary() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tsv");
    let lines: String =
        (0..100).map(|n| format!("{}caption {n}\thttp://x/{n}\n", ["", "\"", "a \" "][n % 3])).collect();
    std::fs::write(&path, format!("text\turl\n{lines}")).unwrap();
    assert_eq!(query(&path, "SELECT count(*), count(url) FROM FILE").await.unwrap(), ["100,100"]);
    let quoted = folder.path().join("y.tsv");
    std::fs::write(&quoted, "text\turl\n\"a\tb\nc\"\tu\nplain\tv\n").unwrap();
    assert_eq!(query(&quoted, "SELECT url, length(text) FROM FILE ORDER BY url").await.unwrap(), ["u,5", "v,5"]);
}

#[tokio::test]
async fn csv_columns_are_found_by_name_in_each_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "id,text\n1,x\n2,y\n").unwrap();
    std::fs::write(folder.path().join("b.csv"), "text,score,id\nz,0.5,3\n").unwrap();
    let rows = query(folder.path(), "SELECT id, text, score FROM FILE ORDER BY id").await.unwrap();
    assert_eq!(rows, ["1,x,", "2,y,", "3,z,0.5"]);
}

#[tokio::test]
async fn values_that_do_not_fit_name_the_line_and_the_column() {
    let folder = tempfile::tempdir().unwrap();
    // Behind all that is looked at.
    let small = [("tamis.files.sample_bytes", "1000")];
    let csv_path = folder.path().join("x.csv");
    let lines: String = (0..60_000).map(|n| format!("{n},word\n")).collect();
    std::fs::write(&csv_path, format!("n,w\n{lines}many,word\n{lines}")).unwrap();
    let error = csv(&session(&small), &format!("SELECT sum(n) FROM '{}'", csv_path.display())).await.unwrap_err();
    for part in ["x.csv: line 60002: ", "column n: 'many' is no Int64", "tamis.files.sample_bytes"] {
        assert!(error.contains(part), "{error}");
    }

    let json = folder.path().join("x.jsonl");
    let lines = |from: usize, to: usize| -> String {
        (from..to).map(|n| format!("{{\"n\": {n}, \"w\": \"word\"}}\n")).collect()
    };
    std::fs::write(&json, format!("{}{{\"w\": \"x\", \"n\": 1599.5}}\n{}", lines(0, 1_500), lines(1_500, 60_000)))
        .unwrap();
    let error = csv(&session(&small), &format!("SELECT sum(n) FROM '{}'", json.display())).await.unwrap_err();
    for part in ["x.jsonl: line 1501: ", "column n: ", "'1599.5'", "Int64", "tamis.files.sample_bytes"] {
        assert!(error.contains(part), "{error}");
    }
    let whole = csv(&session(&[]), &format!("SELECT max(n) FROM '{}' WHERE n < 1600", json.display())).await;
    assert_eq!(whole.unwrap(), ["1599.5"]);
}

#[tokio::test]
async fn json_types_and_keys_are_those_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let line = |n: usize| match n {
        0..1500 => format!("{{\"caption\": null, \"aspect\": {n}, \"id\": {}}}\n", u64::MAX - n as u64),
        _ => format!("{{\"caption\": \"c{n}\", \"aspect\": {n}.5, \"id\": {n}, \"score\": {n}}}\n"),
    };
    std::fs::write(&path, (0..1600).map(line).collect::<String>()).unwrap();
    let sql = "SELECT count(caption), max(caption), max(aspect), count(score), max(id) FROM FILE";
    assert_eq!(query(&path, sql).await.unwrap(), ["100,c1599,1599.5,100,18446744073709551615"]);
}

#[tokio::test]
async fn marks_arrays_and_values_of_several_lines_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("bom.jsonl", "\u{feff}{\"n\":1}\n{\"n\":2}\n"),
        ("array.json", " [{\"n\":1},\n {\"n\":2}]\n"),
        ("pretty.json", "{\n  \"n\": 1\n}\n{\n  \"n\": 2\n}\n"),
        ("blank.jsonl", "\n{\"n\":1}\n\n{\"n\":2}"),
        ("bom.csv", "\u{feff}n\n1\n2\n"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        assert_eq!(
            query(&path, "SELECT count(*), sum(n) FROM FILE").await.as_deref(),
            Ok(&["2,3".to_string()][..]),
            "{name}"
        );
    }
    let path = folder.path().join("cut.json");
    std::fs::write(&path, "[{\"n\":1},{\"n\":").unwrap();
    let error = query(&path, "SELECT n FROM FILE").await.unwrap_err();
    assert!(error.contains("cut.json: "), "{error}");
}

/// Each value of a megabyte: a batch of the usual number of rows would hold gigabytes.
#[tokio::test]
async fn json_batches_are_bounded_by_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    for n in 0..20 {
        writeln!(file, "{{\"n\": {n}, \"image\": \"{}\"}}", "A".repeat(1 << 20)).unwrap();
    }
    let session = session(&[]);
    let frame = session.sql(&format!("SELECT * FROM '{}'", path.display())).await.unwrap();
    let batches = frame.collect().await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 20);
    assert!(batches.iter().all(|batch| batch.num_rows() <= 3), "{}", batches.len());
}

#[tokio::test]
async fn what_is_not_utf8_is_named_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("x.csv", &b"n,w\n1,ok\n2,caf\xe9\n"[..]),
        ("x.jsonl", b"{\"n\":1,\"w\":\"ok\"}\n{\"n\":2,\"w\":\"caf\xe9\"}\n"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let sql = format!("SELECT w FROM '{}' ORDER BY n", path.display());
        let error = csv(&session(&[]), &sql).await.unwrap_err();
        assert!(error.contains(&format!("{name}: line ")) && error.contains("tamis.files.invalid_utf8"), "{error}");
        let rows = csv(&session(&[("tamis.files.invalid_utf8", "replace")]), &sql).await;
        assert_eq!(rows.unwrap(), ["ok", "caf\u{fffd}"], "{name}");
    }
}
