//! Random queries on a cluster, against one process.
//!
//! `TAMIS_RANDOM_QUERIES` says how many (120), `TAMIS_RANDOM_SEED` from which number on (1), `TAMIS_RANDOM_KILLS=1` that an executor is
//! killed or stopped while some of them run. Each query follows from its number alone, so that one that failed can be run again.
//! `TAMIS_RANDOM_KEEP=FOLDER` leaves the tables there, and the queries with one process' rows, for other engines to be compared with.

mod queries;

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use tamis_cluster::flight::client::{Credentials, RemoteSession};
use tamis_cluster::net::{Endpoint, Link};
use tamis_engine::session::{Session, SessionSettings};
use tamis_engine::statements;
use tokio::runtime::Runtime;

use self::queries::{Query, Tables};
use crate::cluster::support::Cluster;

const MODEL: &str = "unifilter=stand-in://0ms";
/// The same on executors whose tasks are to be caught while they run.
const SLOW: &str = "unifilter=stand-in://40ms";

/// A delay that is told at once.
const LONG: Duration = Duration::from_secs(10);

/// No loss of one executor takes so long: it is noticed after 6 to 8 seconds, and its tasks are run again.
const LONGEST: Duration = Duration::from_secs(40);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The rows as text, without an order of their own unless the query has one.
fn rows(batches: &[RecordBatch], is_ordered: bool) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = vec![];
    for batch in batches {
        let columns = batch.columns().iter();
        let columns: Vec<_> =
            columns.map(|column| ArrayFormatter::try_new(column, &options).expect("values")).collect();
        rows.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|")),
        );
    }
    if !is_ordered {
        rows.sort();
    }
    rows
}

async fn alone(session: &Session, query: &Query) -> Result<Vec<String>, String> {
    let mut parsed = statements::parse(&query.sql).map_err(|e| e.to_string())?;
    let statement = parsed.pop_front().expect("a statement");
    let plan = session.plan(statement).await.map_err(|e| e.to_string())?;
    Ok(rows(&plan.collect().await.map_err(|e| e.to_string())?, query.is_ordered))
}

async fn together(session: &RemoteSession, query: &Query) -> Result<Vec<String>, String> {
    let id = RemoteSession::query_id().expect("an id");
    let result = session.run(&query.sql, &id).await.map_err(|e| e.to_string())?;
    let batches: Vec<RecordBatch> = result.rows.try_collect().await.map_err(|e| e.to_string())?;
    Ok(rows(&batches, query.is_ordered))
}

/// The rows of a query during which an executor is killed or stopped, at a moment that follows from its number.
fn disturbed(
    cluster: &mut Cluster,
    runtime: &Runtime,
    remote: &RemoteSession,
    query: &Query,
    number: u64,
    delays: &mut Vec<Duration>,
) -> Result<Vec<String>, String> {
    let begun = Instant::now();
    runtime.block_on(together(remote, query))?;
    let undisturbed = begun.elapsed();
    let (remote, asked, begun) = (remote.clone(), query.clone(), Instant::now());
    let running = runtime.spawn(async move { together(&remote, &asked).await });
    std::thread::sleep(undisturbed.mul_f64((number * 7 % 10) as f64 / 10.0));
    let is_over = running.is_finished();
    let (victim, is_killed) = (number as usize % 3, number.is_multiple_of(2));
    match is_killed {
        true => cluster.executors[victim].kill(),
        false => cluster.executors[victim].signal("-STOP"),
    }
    let found = runtime.block_on(running).expect("a result");
    if !is_over {
        delays.push(begun.elapsed().saturating_sub(undisturbed));
    }
    match is_killed {
        true => cluster.replace_executor(victim),
        false => cluster.executors[victim].signal("-CONT"),
    }
    cluster.wait_for(3);
    found
}

#[test]
fn random_queries_give_one_process_rows() {
    let (count, seed) = (number("TAMIS_RANDOM_QUERIES", 120), number("TAMIS_RANDOM_SEED", 1));
    let with_kills = number("TAMIS_RANDOM_KILLS", 0) > 0;
    let tables = Tables::write();
    let model = if with_kills { SLOW } else { MODEL };
    let options = ["--slots", "2", "--model", model, "--set", "tamis.cache.path=off"];
    let mut cluster = Cluster::start(3, &options);
    let runtime = Runtime::new().expect("a runtime");
    let options = [("tamis.model.unifilter", "stand-in://0ms"), ("tamis.cache.path", "off")];
    let options = options.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
    let session = runtime.block_on(Session::open(&SessionSettings { options, corpus: None })).expect("a session");
    let server: Endpoint = cluster.url.parse().expect("an address");
    let remote = runtime.block_on(RemoteSession::open(server, &Link::default(), Credentials::None)).expect("a server");
    let mut kept = tables.keep().map(|folder| File::create(folder.join("queries.ndjson")).expect("a file"));
    let (mut wrong, mut answered, mut delays) = (vec![], 0, vec![]);
    for at in seed..seed + count {
        let query = tables.query(at);
        let expected = runtime.block_on(alone(&session, &query));
        if let (Some(kept), Ok(rows)) = (&mut kept, &expected) {
            writeln!(kept, "{}", serde_json::json!({ "sql": query.sql, "rows": rows })).expect("a line");
        }
        let found = match with_kills {
            true => disturbed(&mut cluster, &runtime, &remote, &query, at, &mut delays),
            false => runtime.block_on(together(&remote, &query)),
        };
        if let Some(delay) = delays.last().filter(|delay| with_kills && **delay > LONG) {
            println!("{at}: {delay:.1?} later");
        }
        match (expected, found) {
            (Ok(expected), Ok(found)) if expected == found => answered += 1,
            // What one process refuses, a cluster may.
            (Err(_), _) => {}
            (Ok(expected), Ok(found)) => {
                let differ = expected.iter().zip(&found).find(|(a, b)| a != b);
                wrong.push(format!(
                    "query {at} gives other rows ({} for {}, first {differ:?}): {}",
                    found.len(),
                    expected.len(),
                    query.sql
                ));
            }
            (Ok(_), Err(error)) => wrong.push(format!("query {at} fails: {error}: {}", query.sql)),
        }
        if at % if with_kills { 20 } else { 500 } == 0 {
            println!("{at}: {answered} equal, {} not", wrong.len());
        }
    }
    delays.sort();
    if let Some(median) = delays.get(delays.len() / 2) {
        println!(
            "{} queries were disturbed; the median delay was {median:?}, the longest {:?}",
            delays.len(),
            delays.last()
        );
    }
    assert!(delays.last().is_none_or(|longest| *longest < LONGEST), "an executor's loss took {:?}", delays.last());
    println!("{answered} of {count} queries answered equally, from seed {seed}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(answered as u64 * 10 > count * 9, "one process answered only {answered} of {count}");
}
