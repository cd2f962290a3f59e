//! What happens to a cluster happens here: processes are killed, stopped, drained, restarted. The answer is that of one
//! process, or an error that names the cause; never wrong rows, never a wait without end.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::cluster::support::{Cluster, wait_until};
use crate::support::{Output, Tamis, small};

/// A stand-in that sleeps: a query takes seconds, whatever else the machine does.
const MODEL: &str = "unifilter=stand-in://500ms";
const EXECUTOR: [&str; 6] = ["--slots", "2", "--model", MODEL, "--set", "tamis.cache.path=off"];
/// Captions over each image of the small corpus.
const CAPTIONS: usize = 16;

/// A table with some hundred rows.
static ROWS: LazyLock<(tempfile::TempDir, String)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rows.parquet").display().to_string();
    let query = format!(
        "SELECT concat(uid, '-', s.value) AS uid, image, concat(text, ' ', s.value) AS text, width FROM '{}' AS c CROSS \
         JOIN generate_series(1, {CAPTIONS}) AS s",
        small().parquet()
    );
    let output = Tamis::sql(["-o", &file], &query).run();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    (folder, file)
});

/// Scores where the rows are scanned.
fn scan() -> String {
    format!("SELECT uid, unifilter(image, text) AS q FROM '{}' ORDER BY uid", ROWS.1)
}

/// Scores in a stage that reads what another one wrote.
fn shuffle() -> String {
    format!(
        "SELECT uid, unifilter(image, text) AS q FROM (SELECT uid, max(image) AS image, max(text) AS text FROM '{}' \
         GROUP BY uid) ORDER BY uid",
        ROWS.1
    )
}

fn alone(query: &str) -> String {
    let output = Tamis::sql(["--model", "unifilter=stand-in://1ms", "--set", "tamis.cache.path=off"], query).run();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stdout.lines().count(), 24 * CAPTIONS);
    output.stdout
}

/// Runs a query, does something when it has begun to score, and gives the result and the time since then.
fn disturbed(cluster: &mut Cluster, query: &str, disturb: impl FnOnce(&mut Cluster)) -> (Output, Duration) {
    let before = cluster.rows();
    let run = cluster.sql(query);
    let running = std::thread::spawn(move || run.run());
    wait_until("the query scores", || cluster.rows() > before || running.is_finished());
    assert!(!running.is_finished(), "the query was over before anything could happen: {:?}", running.join());
    disturb(cluster);
    let since = Instant::now();
    (running.join().expect("the query ends"), since.elapsed())
}

fn assert_right(output: &Output, query: &str) {
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stdout, alone(query), "{query}");
}

#[test]
fn an_executor_killed_while_it_scans() {
    let mut cluster = Cluster::start(3, &EXECUTOR);
    let (output, took) = disturbed(&mut cluster, &scan(), |cluster| cluster.executors[0].kill());
    assert_right(&output, &scan());
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn an_executor_killed_while_it_reads_a_shuffle() {
    let mut cluster = Cluster::start(3, &EXECUTOR);
    let (output, took) = disturbed(&mut cluster, &shuffle(), |cluster| cluster.executors[0].kill());
    assert_right(&output, &shuffle());
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn two_of_three_killed() {
    let mut cluster = Cluster::start(3, &EXECUTOR);
    let (output, _) = disturbed(&mut cluster, &scan(), |cluster| {
        cluster.executors[0].kill();
        cluster.executors[2].kill();
    });
    assert_right(&output, &scan());
}

#[test]
fn all_killed_is_an_error_that_says_so() {
    let mut cluster = Cluster::start(2, &EXECUTOR);
    let (output, took) =
        disturbed(&mut cluster, &scan(), |cluster| cluster.executors.iter_mut().for_each(|e| e.kill()));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("no executor"), "{}", output.stderr);
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn an_executor_stopped_for_longer_than_its_timeout_and_continued() {
    let mut cluster = Cluster::start(2, &EXECUTOR);
    cluster.executors[0].signal("-STOP");
    cluster.executors[0].signal("-CONT");
    let (output, _) = disturbed(&mut cluster, &scan(), |cluster| {
        cluster.executors[0].signal("-STOP");
        cluster.wait_for(1);
        cluster.executors[0].signal("-CONT");
    });
    assert_right(&output, &scan());
    // It comes back, and nothing of the old query runs on.
    cluster.wait_for(2);
    wait_until("all tasks end", || cluster.tasks().iter().all(|tasks| *tasks == 0));
}

#[test]
fn an_executor_that_joins_takes_its_share() {
    let mut cluster = Cluster::start(1, &EXECUTOR);
    let (output, _) = disturbed(&mut cluster, &scan(), Cluster::add_executor);
    assert_right(&output, &scan());
    // They tell once a second.
    wait_until("both have scored", || {
        let progress = cluster.progress();
        let executors = progress["executors"].as_array().expect("executors");
        executors.len() == 2 && executors.iter().all(|e| e["rows"].as_u64() > Some(0))
    });
}

#[test]
fn an_executor_drained_while_it_reads_a_shuffle() {
    let mut cluster = Cluster::start(2, &EXECUTOR);
    let mut code = None;
    let (output, _) = disturbed(&mut cluster, &shuffle(), |cluster| code = cluster.executors[0].terminate());
    assert_right(&output, &shuffle());
    assert_eq!(code, Some(0), "{}", cluster.executors[0].log());
}

#[test]
fn a_scheduler_restarted_has_its_executors_back_and_has_lost_its_queries() {
    let mut cluster = Cluster::start(2, &EXECUTOR);
    let (output, took) = disturbed(&mut cluster, &scan(), |cluster| cluster.scheduler.kill());
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    cluster.restart_scheduler();
    cluster.wait_for(2);
    // What the executors did for the old scheduler ends.
    wait_until("all tasks end", || cluster.tasks().iter().all(|tasks| *tasks == 0));
    assert_right(&cluster.sql(&scan()).run(), &scan());
}

#[test]
fn a_query_whose_client_is_gone_ends_on_the_executors() {
    let cluster = Cluster::start(2, &EXECUTOR);
    let run = cluster.sql(&scan());
    let (_, took) = run.kill_when(|| cluster.rows() > 0);
    let gone = Instant::now();
    wait_until("all tasks end", || cluster.tasks().iter().all(|tasks| *tasks == 0));
    assert!(gone.elapsed() + took < Duration::from_secs(10), "{:?}", gone.elapsed());
    let rows = cluster.rows();
    assert!(rows < (24 * CAPTIONS) as u64, "the query was over: {rows}");
}
