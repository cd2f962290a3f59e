use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStreamBuilder};
use futures::TryStreamExt;
use object_store::{Error, GetRange, ObjectStoreExt};
use parking_lot::Mutex;

use super::*;

/// How a server of the tests is not as it should be.
#[derive(Debug, Clone, Copy, Default)]
struct Server {
    no_ranges: bool,
    no_head: bool,
    no_lengths: bool,
    gzip: bool,
    no_e_tag: bool,
    /// So many answers end in the middle of their body.
    breaks: usize,
    /// So many requests are refused at first.
    busy: usize,
    /// Each answer has another tag.
    changes: bool,
}

/// A server that runs, of one file.
struct Running {
    origin: Url,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(self, body: Vec<u8>) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&requests);
        let body = Arc::new(body);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (noted, body) = (Arc::clone(&noted), Arc::clone(&body));
                std::thread::spawn(move || self.serve(stream, &noted, &body));
            }
        });
        Running { origin, requests }
    }

    fn serve(self, mut stream: TcpStream, noted: &Mutex<Vec<String>>, file: &[u8]) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let lines = reader.by_ref().lines().map_while(Result::ok);
        let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let Some(first) = lines.first().cloned() else { return };
        let number = {
            let mut noted = noted.lock();
            noted.push(first.trim_end_matches(" HTTP/1.1").to_string());
            noted.len()
        };
        let header = |name: &str| {
            lines.iter().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_string())
            })
        };
        if let Some(length) = header("content-length") {
            reader.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
        }
        let is_head = first.starts_with("HEAD ");
        let tag = format!("\"{}\"", if self.changes { number } else { 0 });
        let mut head = Vec::new();
        let mut body = file.to_vec();
        if self.gzip {
            body = gzip(&body);
            head.push("Content-Encoding: gzip".to_string());
        }
        let mut status = "200 OK".to_string();
        if let Some(range) = header("range").filter(|_| !self.no_ranges) {
            let range = range_of(&range, body.len());
            if range.is_empty() {
                status = "416 Range Not Satisfiable".to_string();
                head.push(format!("Content-Range: bytes */{}", body.len()));
                body = Vec::new();
            } else {
                status = "206 Partial Content".to_string();
                head.push(format!("Content-Range: bytes {}-{}/{}", range.start, range.end - 1, body.len()));
                body = body[range].to_vec();
            }
        }
        let target = first.split(' ').nth(1).unwrap();
        if target.starts_with("/absent") {
            (status, body) = ("404 Not Found".to_string(), Vec::new());
        } else if target.starts_with("/secret") {
            (status, body) = ("403 Forbidden".to_string(), Vec::new());
        } else if number <= self.busy {
            (status, body) = ("503 Service Unavailable".to_string(), Vec::new());
        } else if is_head && self.no_head {
            (status, body) = ("405 Method Not Allowed".to_string(), Vec::new());
        } else if header("if-match").is_some_and(|wanted| wanted != tag) {
            (status, body) = ("412 Precondition Failed".to_string(), Vec::new());
        }
        if !self.no_lengths {
            head.push(format!("Content-Length: {}", body.len()));
        }
        if !self.no_e_tag {
            head.push(format!("ETag: {tag}"));
        }
        if number <= self.breaks {
            body.truncate(body.len() / 2);
        }
        if is_head {
            body.clear();
        }
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{}\r\n\r\n", head.join("\r\n"));
        // The client may have what it wants and be gone.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    }
}

impl Running {
    fn store(&self) -> WebStore {
        WebStore::new(&self.origin, Addresses::Any).unwrap()
    }

    fn location(&self, target: &str) -> Path {
        location_of(&Url::parse(&format!("{}{target}", self.origin.as_str().trim_end_matches('/'))).unwrap())
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
}

fn range_of(header: &str, length: usize) -> std::ops::Range<usize> {
    let (first, last) = header.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    match (first, last) {
        ("", count) => length - count.parse::<usize>().unwrap().min(length)..length,
        (first, "") => first.parse().unwrap()..length,
        (first, last) => first.parse().unwrap()..(last.parse::<usize>().unwrap() + 1).min(length),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that do not repeat soon.
fn bytes() -> Vec<u8> {
    (0..50_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// Each way in which servers differ, and all of them are to give the same.
fn servers() -> Vec<Server> {
    let plain = Server::default();
    vec![
        plain,
        Server { no_ranges: true, ..plain },
        Server { no_head: true, ..plain },
        Server { no_head: true, no_ranges: true, ..plain },
        Server { no_lengths: true, ..plain },
        Server { no_lengths: true, no_ranges: true, no_head: true, no_e_tag: true, ..plain },
        Server { gzip: true, ..plain },
        Server { gzip: true, no_ranges: true, no_lengths: true, ..plain },
        Server { busy: 2, ..plain },
    ]
}

#[tokio::test]
async fn all_servers_give_size_whole_and_parts() {
    let file = bytes();
    let length = file.len() as u64;
    for server in servers() {
        let running = server.start(file.clone());
        let (store, location) = (running.store(), running.location("/x"));
        let meta = store.head(&location).await.unwrap();
        assert_eq!((meta.size, &meta.location), (length, &location), "{server:?}");
        assert_eq!(store.get(&location).await.unwrap().bytes().await.unwrap(), file, "{server:?}");
        assert_eq!(store.get_range(&location, 0..9).await.unwrap(), file[..9], "{server:?}");
        assert_eq!(store.get_range(&location, 777..150_001).await.unwrap(), file[777..150_001], "{server:?}");
        assert_eq!(store.get_range(&location, 199_999..900_000).await.unwrap(), file[199_999..], "{server:?}");
        for (range, expected) in [
            (GetRange::Suffix(8), &file[file.len() - 8..]),
            (GetRange::Suffix(900_000), &file[..]),
            (GetRange::Offset(199_990), &file[199_990..]),
        ] {
            let options = GetOptions::new().with_range(Some(range.clone()));
            let result = store.get_opts(&location, options).await.unwrap();
            assert_eq!((result.meta.size, result.range.end), (length, length), "{server:?} {range}");
            assert_eq!(result.bytes().await.unwrap(), expected, "{server:?} {range}");
        }
        let ranges = [10..20, 5..5_000, 190_000..200_000];
        for (part, range) in store.get_ranges(&location, &ranges).await.unwrap().iter().zip(&ranges) {
            assert_eq!(part, &file[range.start as usize..range.end as usize], "{server:?}");
        }
        assert!(store.get_range(&location, 900_000..900_001).await.is_err(), "{server:?}");
    }
}

#[tokio::test]
async fn files_are_asked_for_as_their_urls_are_written() {
    let running = Server::default().start(bytes());
    let target = "/dir//x%2Fy.parquet?sig=a%2Fb";
    running.store().get_range(&running.location(target), 0..4).await.unwrap();
    // As DataFusion and output files have it.
    running.store().get_range(&Path::from("dir/a b.csv"), 0..4).await.unwrap();
    assert_eq!(running.requests(), [format!("GET {target}"), "GET /dir/a%20b.csv".to_string()]);
}

#[tokio::test]
async fn a_parquet_file_is_read_from_all_servers() {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100_000));
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let file = writer.into_inner().unwrap();
    for server in servers() {
        let running = server.start(file.clone());
        let reader = ParquetObjectReader::new(Arc::new(running.store()), running.location("/x.parquet?sig=%2F"));
        let stream = ParquetRecordBatchStreamBuilder::new(reader).await.unwrap().build().unwrap();
        let batches: Vec<_> = stream.try_collect().await.unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 100_000, "{server:?}");
        assert!(running.requests().iter().all(|request| request.ends_with("/x.parquet?sig=%2F")), "{server:?}");
    }
}

#[tokio::test]
async fn a_table_of_a_web_server() {
    let running = Server::default().start(b"n\n1\n2\n".to_vec());
    let session = crate::test_session::session(&[]);
    let query = format!("SELECT sum(n) AS s FROM '{}x.csv'", running.origin);
    let rows = session.sql(&query).await.unwrap().collect().await.unwrap();
    let sum = rows[0].column(0).as_any().downcast_ref::<Int64Array>().unwrap();
    assert_eq!(sum.value(0), 3);
}

#[tokio::test]
async fn files_are_written_where_they_may_be_read() {
    let running = Server::default().start(Vec::new());
    running.store().put(&Path::from("dir/out.csv"), "n\n1\n".into()).await.unwrap();
    assert_eq!(running.requests(), ["PUT /dir/out.csv"]);
    let named = Url::parse(&format!("http://localhost:{}", running.origin.port().unwrap())).unwrap();
    let store = WebStore::new(&named, Addresses::Public(Vec::new())).unwrap();
    assert!(store.put(&Path::from("out.csv"), "n\n".into()).await.is_err());
    assert_eq!(running.requests().len(), 1);
}

#[tokio::test]
async fn empty_files() {
    for server in [Server::default(), Server { no_lengths: true, no_head: true, no_ranges: true, ..Server::default() }]
    {
        let running = server.start(Vec::new());
        let (store, location) = (running.store(), running.location("/x"));
        assert!(store.get(&location).await.unwrap().bytes().await.unwrap().is_empty(), "{server:?}");
    }
    let no_ranges = Server { no_ranges: true, ..Server::default() }.start(Vec::new());
    assert_eq!(no_ranges.store().head(&no_ranges.location("/x")).await.unwrap().size, 0);
}

#[tokio::test]
async fn refusals_are_those_of_object_stores() {
    let running = Server::default().start(bytes());
    let store = running.store();
    let url = |target: &str| format!("{}{target}", running.origin.as_str().trim_end_matches('/'));
    for result in [
        store.head(&running.location("/absent")).await.map(drop),
        store.get(&running.location("/absent")).await.map(drop),
        store.get_range(&running.location("/absent"), 0..8).await.map(drop),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        assert!(error.to_string().contains(&url("/absent")), "{error}");
        assert!(error.to_string().contains("the server answered 404 Not Found"), "{error}");
    }
    let error = store.get(&running.location("/secret")).await.unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
    let error = store.list(None).try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, Error::NotSupported { .. }), "{error}");
    assert!(error.to_string().contains("a web server cannot list files"), "{error}");
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_an_error() {
    let running = Server { changes: true, ..Server::default() }.start(bytes());
    let location = running.location("/x");
    let tag = running.store().head(&location).await.unwrap().e_tag;
    let options = GetOptions::new().with_if_match(tag);
    let error = running.store().get_opts(&location, options).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    // Read twice, once to count its bytes.
    let counted = Server { changes: true, no_lengths: true, no_ranges: true, ..Server::default() }.start(bytes());
    let error = counted.store().get(&counted.location("/x")).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
}

#[tokio::test]
async fn a_body_that_breaks_is_resumed_if_it_is_the_same_file() {
    let file = bytes();
    let same = Server { breaks: 2, ..Server::default() }.start(file.clone());
    let (store, location) = (same.store(), same.location("/x"));
    assert_eq!(store.get(&location).await.unwrap().bytes().await.unwrap(), file);
    assert_eq!(same.requests().len(), 3);
    for server in [
        Server { breaks: 1, no_e_tag: true, ..Server::default() },
        Server { breaks: 1, changes: true, ..Server::default() },
        Server { breaks: 1, no_ranges: true, ..Server::default() },
    ] {
        let other = server.start(file.clone());
        let result = other.store().get(&other.location("/x")).await.unwrap().bytes().await;
        assert!(result.is_err(), "{server:?}");
    }
}

#[tokio::test]
async fn a_policy_of_addresses_is_kept_to() {
    let running = Server::default().start(bytes());
    let public = || Addresses::Public(Vec::new());
    let error = WebStore::new(&running.origin, public()).unwrap_err();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
    assert!(error.to_string().contains("an operator can allow it under [access] addresses"), "{error}");
    let port = running.origin.port().unwrap();
    let named = Url::parse(&format!("http://localhost:{port}")).unwrap();
    let store = WebStore::new(&named, public()).unwrap();
    for result in [store.head(&Path::from("x")).await.map(drop), store.get(&Path::from("x")).await.map(drop)] {
        let error = result.unwrap_err();
        assert!(error.to_string().contains("an operator can allow it under [access] addresses"), "{error}");
    }
    assert!(running.requests().is_empty());
}
