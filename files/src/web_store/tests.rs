mod server;

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::physical_plan::collect;
use futures::TryStreamExt;
use object_store::{Error, GetRange, ObjectStoreExt};

use super::*;
use server::Server;

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
        Server { no_totals: true, ..plain },
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
        let meta = running.store().head(&running.location("/x.parquet?sig=%2F")).await.unwrap();
        let origin = ObjectStoreUrl::parse(running.origin.as_str()).unwrap();
        let source = Arc::new(ParquetSource::new(batch.schema()));
        let scan = FileScanConfigBuilder::new(origin, source).with_file(PartitionedFile::from(meta)).build();
        let context = crate::test_session::session(&[]).task_ctx();
        let batches = collect(DataSourceExec::from_data_source(scan), context).await.unwrap();
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
    let counted = Server { no_lengths: true, no_ranges: true, no_e_tag: true, ..Server::default() };
    let tagged = Server { changes: true, no_e_tag: false, ..counted }.start(bytes());
    let error = tagged.store().get(&tagged.location("/x")).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    let grown = Server { grows: true, ..counted }.start(bytes());
    let error = grown.store().get(&grown.location("/x")).await.unwrap().bytes().await.unwrap_err();
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
