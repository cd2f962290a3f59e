//! Files as people have them, asked in one process, on a cluster, and from an object store: the answers are the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::support::Server;
use crate::object_store::{Trouble, serve_with, variables};
use crate::support::{CAPTIONS, Tamis};

/// A query over files of the folder, and its rows or a part of its error.
type Case = (&'static str, Result<Value, &'static str>);

fn cases() -> Vec<Case> {
    vec![
        ("SELECT count(*) AS n, sum(n) AS s FROM 'FOLDER/members.jsonl.gz'", Ok(json!([{"n": 4, "s": 10}]))),
        ("SELECT count(*) AS n, sum(n) AS s FROM 'FOLDER/members.jsonl.zst'", Ok(json!([{"n": 4, "s": 10}]))),
        ("SELECT count(*) AS n, max(length(text)) AS m FROM 'FOLDER/breaks.csv'", Ok(json!([{"n": 3, "m": 8}]))),
        ("SELECT count(*) AS n FROM 'FOLDER/lone.tsv'", Ok(json!([{"n": 4}]))),
        ("SELECT max(x) AS m FROM 'FOLDER/late.jsonl'", Ok(json!([{"m": 1599.5}]))),
        ("SELECT count(score) AS n FROM 'FOLDER/late.jsonl'", Ok(json!([{"n": 100}]))),
        ("SELECT sum(n) AS s FROM 'FOLDER/tree/'", Ok(json!([{"s": 7}]))),
        ("SELECT sum(n) AS s FROM 'FOLDER/tree/**/*.csv'", Ok(json!([{"s": 5}]))),
        ("SELECT n, label FROM 'FOLDER/hive/' WHERE label IS NULL", Ok(json!([{"n": 2, "label": null}]))),
        ("SELECT n FROM 'FOLDER/hive/' WHERE label = 'a/b'", Ok(json!([{"n": 1}]))),
        ("SELECT count(*) AS n, sum(length(image)) AS b FROM 'FOLDER/stream.arrow'", Ok(json!([{"n": 2, "b": 2}]))),
        ("SELECT count(unifilter(image, text)) AS n FROM 'FOLDER/pairs/'", Ok(json!([{"n": 6}]))),
        // Rows without a score come last, up and down.
        ("SELECT score FROM 'FOLDER/scores.jsonl' ORDER BY score DESC LIMIT 1", Ok(json!([{"score": 2.5}]))),
        ("SELECT score FROM 'FOLDER/scores.jsonl' ORDER BY score LIMIT 1", Ok(json!([{"score": 0.5}]))),
        ("SELECT x FROM 'FOLDER/drift/' ORDER BY x", Err("Int64 in")),
        ("SELECT * FROM 'FOLDER/broken.csv'", Err("broken.csv: line 3")),
        ("SELECT n FROM 'FOLDER/torn/' ORDER BY n", Err("torn.parquet")),
        ("SELECT a FROM 'FOLDER/twice.csv'", Err("more than one column called b")),
        ("SELECT n FROM 'FOLDER/none/*.csv'", Err("no file matches")),
    ]
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
}

fn make(folder: &Path) {
    let member = |text: &str| {
        let mut gz = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
        std::io::Write::write_all(&mut gz, text.as_bytes()).expect("bytes");
        gz.finish().expect("a member")
    };
    let (first, second) = ("{\"n\": 1}\n{\"n\": 2}\n", "{\"n\": 3}\n{\"n\": 4}\n");
    write(folder, "members.jsonl.gz", [member(first), member(second)].concat());
    let zst = |text: &str| zstd::encode_all(text.as_bytes(), 0).expect("a member");
    write(folder, "members.jsonl.zst", [zst(first), zst(second)].concat());
    write(folder, "breaks.csv", "id,text\n1,plain\n2,\"two\nline\"\n3,\"a \"\"b\"\"\"\n");
    write(folder, "lone.tsv", "text\turl\n\"lone\tu\na \"b\" c\tu\nplain\tu\n5\" tall\tu\n");
    let late = |n: usize| match n {
        0..1500 => format!("{{\"x\": {n}, \"caption\": null}}\n"),
        _ => format!("{{\"x\": {n}.5, \"caption\": \"c\", \"score\": {n}}}\n"),
    };
    write(folder, "late.jsonl", (0..1600).map(late).collect::<String>());
    for (name, n) in
        [("tree/a.csv", 1), ("tree/b/c.CSV", 2), ("tree/b/d/e.csv", 4), ("tree/_x/f.csv", 8), ("tree/.g.csv", 8)]
    {
        write(folder, name, format!("n\n{n}\n"));
    }
    write(folder, "hive/label=a%2Fb/x.csv", "n\n1\n");
    write(folder, "hive/label=__HIVE_DEFAULT_PARTITION__/x.csv", "n\n2\n");
    write(folder, "scores.jsonl", "{\"score\": 0.5}\n{\"score\": null}\n{\"score\": 2.5}\n");
    write(folder, "broken.csv", "a,b\n1,x\n2,\"never closed\n3,y\n");
    write(folder, "twice.csv", "a,b,b\n1,2,3\n");
    let at = |name: &str| folder.join(name).display().to_string();
    for (query, name) in [
        (
            "SELECT 'a' AS uid, arrow_cast('x', 'Binary') AS image UNION ALL SELECT 'b', arrow_cast('y', 'Binary')"
                .to_string(),
            "stream.arrow",
        ),
        ("SELECT 1 AS x".to_string(), "drift/a.parquet"),
        ("SELECT 'one' AS x".to_string(), "drift/b.parquet"),
        ("SELECT 1 AS n".to_string(), "torn/whole.parquet"),
        (
            format!(
                "SELECT image, text FROM '{CAPTIONS}' WHERE note IS NULL AND text IS NOT NULL ORDER BY uid LIMIT 3"
            ),
            "pairs/a.parquet",
        ),
        (
            format!(
                "SELECT image, text FROM '{CAPTIONS}' WHERE note IS NULL AND text IS NOT NULL ORDER BY uid LIMIT 3"
            ),
            "pairs/b.PARQUET",
        ),
    ] {
        fs::create_dir_all(Path::new(&at(name)).parent().expect("a folder")).expect("a folder");
        let whole = at(&name.replace("PARQUET", "parquet"));
        let output = Tamis::sql(["-o", &whole], &query).run();
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        fs::rename(whole, at(name)).expect("another name");
    }
    let whole = fs::read(folder.join("torn/whole.parquet")).expect("a file");
    write(folder, "torn/torn.parquet", &whole[..whole.len() - 20]);
}

fn check(folder: &str, ask: impl Fn(&str) -> Tamis, what: &str) {
    for (query, expected) in cases() {
        let query = query.replace("FOLDER", folder);
        match expected {
            Ok(expected) => {
                let rows: Vec<BTreeMap<String, Value>> = ask(&query).rows();
                assert_eq!(json!(rows), expected, "{query} {what}");
            }
            Err(part) => {
                let error = ask(&query).error();
                assert!(error.contains(part) && error.len() < 2_000, "{query} {what}: {error}");
            }
        }
    }
}

#[test]
fn files_as_people_have_them_are_read_alike_everywhere() {
    let disk = tempfile::tempdir().expect("a folder");
    let folder = disk.path().join("corpora");
    fs::create_dir_all(&folder).expect("a bucket");
    make(&folder);
    let here = folder.display().to_string();
    check(&here, |query| Tamis::sql([], query), "in one process");

    let endpoint = format!("http://{}", serve_with(disk.path(), Arc::new(Trouble::default())));
    let mut server =
        Server::start_with(disk.path(), "serve", &["serve", "--bind", "127.0.0.1:0"], &variables(&endpoint));
    let url = server.address();
    check(&here, |query| Tamis::sql(["--remote", &url], query), "on a cluster");
    check("s3://corpora", |query| Tamis::sql(["--remote", &url], query), "on a cluster, from a store");
}

/// What a statement declares holds on executors too.
#[test]
fn declared_tables_travel() {
    let disk = tempfile::tempdir().expect("a folder");
    write(disk.path(), "data/part-0", "1;'a;b'\n2;c\n");
    let statement = format!(
        "CREATE EXTERNAL TABLE t (id SMALLINT, word VARCHAR) STORED AS CSV LOCATION '{}/data/' \
         OPTIONS ('format.has_header' 'false', 'format.delimiter' ';', 'format.quote' '''')",
        disk.path().display()
    );
    let query = format!("{statement}; SELECT id, word FROM t ORDER BY id");
    let expected = json!([{"id": 1, "word": "a;b"}, {"id": 2, "word": "c"}]);
    assert_eq!(json!(Tamis::sql([], &query).rows()), expected);
    let mut server = Server::start(disk.path(), "serve", &["serve", "--bind", "127.0.0.1:0"]);
    let url = server.address();
    assert_eq!(json!(Tamis::sql(["--remote", &url], &query).rows()), expected);
}
