//! A cluster whose corpus lies in an object store that has its bad days.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cluster::support::Server;
use crate::object_store::{SECRET, Trouble, serve_with, variables};
use crate::support::{SMALL_ROWS, Tamis, small};

#[test]
fn a_store_that_refuses_fails_and_cuts_connections_for_a_while() {
    let (disk, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    std::fs::create_dir_all(disk.path().join("corpora")).expect("a bucket");
    for name in ["a.parquet", "b.parquet", "c.parquet"] {
        std::fs::copy(small().parquet(), disk.path().join("corpora").join(name)).expect("a copy");
    }
    let trouble = Arc::new(Trouble::default());
    let endpoint = format!("http://{}", serve_with(disk.path(), Arc::clone(&trouble)));
    let args = ["serve", "--bind", "127.0.0.1:0", "--table", "corpus=s3://corpora/*.parquet"];
    let mut server = Server::start_with(folder.path(), "serve", &args, &variables(&endpoint));
    let url = server.address();
    let query = "SELECT count(*) AS n, count(unifilter(image, text)) AS scored";
    let expected = serde_json::json!(3 * SMALL_ROWS);
    for (count, what) in [(&trouble.refused, "503"), (&trouble.failed, "500"), (&trouble.cut, "cut")] {
        count.store(6, Ordering::SeqCst);
        let rows = Tamis::sql(["--remote", &url], query).rows();
        assert_eq!((&rows[0]["n"], &rows[0]["scored"]), (&expected, &expected), "{what}");
        assert!(trouble.is_over(), "{what} did not happen: {trouble:?}");
    }
    // One that stays away is named, and what opens the store is not.
    std::fs::remove_dir_all(disk.path().join("corpora")).expect("the bucket is removed");
    let error = Tamis::sql(["--remote", &url], query).error();
    assert!(error.contains("corpora") && !error.contains(SECRET), "{error}");
    assert!(!server.log().contains(SECRET), "{}", server.log());
}
