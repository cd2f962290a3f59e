//! Which files a name means, and what their folders say.

use std::path::Path;

use super::csv;
use crate::test_session::session;

/// A folder with CSV files of these names, each with the one value `n` that stands behind it.
fn folder(files: &[(&str, i64)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, n) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("n\n{n}\n")).unwrap();
    }
    folder
}

async fn sum(folder: &Path, name: &str) -> Result<i64, String> {
    let sql = format!("SELECT sum(n) FROM '{}'", folder.join(name).display());
    Ok(csv(&session(&[]), &sql).await?[0].parse().unwrap())
}

#[tokio::test]
async fn folders_in_folders_are_read_and_hidden_files_are_not() {
    let folder = folder(&[
        ("top.csv", 1),
        ("a/1.csv", 10),
        ("b/c/2.csv", 100),
        (".dot.csv", 1000),
        ("_under.csv", 1000),
        ("_temporary/0/3.csv", 1000),
        (".hidden/4.csv", 1000),
        ("a/._1.csv", 1000),
    ]);
    for (name, expected) in [
        ("", 111),
        ("**/*.csv", 111),
        ("*.csv", 1),
        ("*/*.csv", 10),
        ("b/", 100),
        ("b", 100),
        ("{a,b/c}/*.csv", 110),
        ("_under.csv", 1000),
        ("_*.csv", 1000),
        (".hidden/", 1000),
    ] {
        assert_eq!(sum(folder.path(), name).await, Ok(expected), "{name}");
    }
    for (name, reason) in
        [("*/*/*/*.csv", "no file matches"), ("none/", "no such file or folder"), ("x.csv", "no such")]
    {
        let error = sum(folder.path(), name).await.unwrap_err();
        assert!(error.contains(reason), "{name}: {error}");
    }
}

#[tokio::test]
async fn brackets_in_names_can_be_escaped() {
    let folder = folder(&[("a[1].csv", 1), ("a[1]b.csv", 2), ("a1.csv", 4)]);
    for (name, expected) in [("a[1].csv", 1), (r"a\[1\]*.csv", 3), ("a[1]*.csv", 4), ("a[[]*.csv", 3)] {
        assert_eq!(sum(folder.path(), name).await, Ok(expected), "{name}");
    }
}

#[tokio::test]
async fn extensions_are_one_format_in_capitals_or_compressed() {
    let folder = folder(&[("a.csv", 1), ("b.CSV", 2)]);
    let compressed = zstd::encode_all(&b"n\n4\n"[..], 0).unwrap();
    std::fs::write(folder.path().join("c.Csv.ZST"), compressed).unwrap();
    std::fs::write(folder.path().join("README.md"), "# not a table").unwrap();
    assert_eq!(sum(folder.path(), "").await, Ok(7));
    let error = sum(folder.path(), "*").await.unwrap_err();
    assert!(error.contains("README.md, which is not a table"), "{error}");
}

#[tokio::test]
async fn folders_are_columns() {
    let files = [
        ("k=1/label=a%2Fb/x.csv", 1),
        ("k=2/label=__HIVE_DEFAULT_PARTITION__/x.csv", 2),
        ("k=3/x.csv", 4),
        ("y.csv", 8),
    ];
    let (folder, session) = (folder(&files), session(&[]));
    let at = folder.path().display();
    for (sql, expected) in [
        (format!("SELECT k, label, n FROM '{at}' ORDER BY n"), vec!["1,a/b,1", "2,,2", "3,,4", ",,8"]),
        (format!("SELECT n FROM '{at}' WHERE label IS NULL ORDER BY n"), vec!["2", "4", "8"]),
        (format!("SELECT n FROM '{at}' WHERE label = 'a/b' OR k > '2' ORDER BY n"), vec!["1", "4"]),
        (format!("SELECT count(label), count(k), count(*) FROM '{at}'"), vec!["1,3,4"]),
        (format!("SELECT k, n FROM '{at}/k=2/*/*.csv'"), vec!["2,2"]),
        (format!("SELECT max(k) FROM '{at}' WHERE n < 4"), vec!["2"]),
    ] {
        assert_eq!(csv(&session, &sql).await.unwrap(), expected, "{sql}");
    }
}

#[tokio::test]
async fn a_column_that_files_and_folders_have_is_the_folders() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("year=2023/x.csv", "year,n\n2023,1\n"), ("year=2024/x.csv", "year,n\n2024,2\n")] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let sql = format!("SELECT n, year + 1 FROM '{}' WHERE year > 2023", folder.path().display());
    assert_eq!(csv(&session(&[]), &sql).await.unwrap(), ["2,2025"]);
}

#[tokio::test]
async fn statements_say_what_files_are() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    for (name, text) in [("lang=de/part-0", "1;'a;b'\n2;c\n"), ("lang=en/part-0", "3;d\n")] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let session = session(&[]);
    let options = "OPTIONS ('format.has_header' 'false', 'format.delimiter' ';', 'format.quote' '''')";
    let create = format!(
        "CREATE EXTERNAL TABLE t (id SMALLINT, word VARCHAR, lang VARCHAR) STORED AS CSV PARTITIONED BY (lang) \
         LOCATION '{at}/' {options}"
    );
    csv(&session, &create).await.unwrap();
    let rows = csv(&session, "SELECT id, word, lang, arrow_typeof(id) FROM t ORDER BY id").await.unwrap();
    assert_eq!(rows, ["1,a;b,de,Int16", "2,c,de,Int16", "3,d,en,Int16"]);
    csv(&session, "INSERT INTO t VALUES (4, 'e', 'en')").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(csv(&session, "SELECT word FROM t WHERE lang = 'en' ORDER BY id").await.unwrap(), ["d", "e"]);

    for (sql, reason) in [
        (format!("CREATE EXTERNAL TABLE u STORED AS XLSX LOCATION '{at}/'"), "XLSX"),
        (format!("CREATE EXTERNAL TABLE u STORED AS CSV PARTITIONED BY (year) LOCATION '{at}/' {options}"), "year"),
    ] {
        let error = csv(&session, &sql).await.unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

/// Not so one whose files cannot be listed: a store that is not there is no empty table.
#[tokio::test]
async fn a_declared_table_may_be_empty() {
    let folder = tempfile::tempdir().unwrap();
    let (session, at) = (session(&[]), folder.path().display());
    let declare =
        |name: &str, place: &str| format!("CREATE EXTERNAL TABLE {name} (n INT) STORED AS CSV LOCATION '{place}'");
    csv(&session, &declare("empty", &format!("{at}/none/"))).await.unwrap();
    assert_eq!(csv(&session, "SELECT count(*) FROM empty").await.unwrap(), ["0"]);
    csv(&session, &declare("gone", "http://127.0.0.1:9/x.csv")).await.unwrap();
    let error = csv(&session, "SELECT count(*) FROM gone").await.unwrap_err();
    assert!(error.contains("127.0.0.1:9"), "{error}");
}
