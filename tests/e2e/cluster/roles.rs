//! The roles of a cluster: what they refuse, and how they end.

use crate::cluster::support::{Server, get};
use crate::support::{CAPTIONS, Tamis};

#[test]
fn serve_is_a_cluster_in_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = format!("corpus={CAPTIONS}");
    let args = ["serve", "--bind", "127.0.0.1:0", "--table", &table];
    let mut server = Server::start(folder.path(), "serve", &args);
    let url = server.address();
    let rows = Tamis::sql(["--remote", &url], "SELECT count(*) AS n WHERE width > 0").rows();
    assert_eq!(rows[0]["n"], 233, "rows of the corpus with a width");
    let address = url.trim_start_matches("http://");
    assert_eq!(get(address, "/healthz").as_deref(), Some("ok\n"));
    assert_eq!(get(address, "/readyz").as_deref(), Some("1 executors\n"));
    let metrics = get(address, "/metrics").expect("metrics");
    assert!(metrics.contains("tamis_rows_scored") && metrics.contains("job_"), "{metrics}");
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}

#[test]
fn an_open_server_is_for_this_machine_only() {
    for args in [["serve", "--bind", "0.0.0.0:0"], ["scheduler", "--bind", "0.0.0.0:0"]] {
        let output = Tamis::new(args).run();
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains("nobody is asked for credentials"), "{}", output.stderr);
    }
    let output = Tamis::new(["executor", "--bind", "0.0.0.0"]).run();
    assert_eq!(output.code, Some(2), "{output:?}");
}

#[test]
fn the_configuration_is_printed_without_secrets() {
    let output = Tamis::new(["serve", "--print-config", "--model", "strict=/models/strict", "--table", "t=/a{1,2}"])
        .env("TAMIS_CLUSTER_SECRET", "sesame-sesame-sesame")
        .env("TAMIS_SLOTS", "3")
        .run();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for expected in ["slots = 3", "strict = \"/models/strict\"", "t = \"/a{1,2}\""] {
        assert!(output.stdout.contains(expected), "{}", output.stdout);
    }
    assert!(!output.stdout.contains("sesame"), "{}", output.stdout);
}
