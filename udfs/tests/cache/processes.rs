//! Many processes, one folder.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::{LONG, Process};

fn segments(folder: &Path) -> usize {
    let models = std::fs::read_dir(folder.join("v1")).into_iter().flatten().flatten();
    let files = models.flat_map(|model| std::fs::read_dir(model.path()).into_iter().flatten().flatten());
    files.filter(|file| file.path().extension().is_some_and(|extension| extension == "arrow")).count()
}

#[test]
fn processes_that_write_and_merge_at_once_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    let mut writers: Vec<_> = (0..4).map(|_| Process::start(path)).collect();
    // Half of each writer's rows are the next one's too.
    for (n, writer) in writers.iter_mut().enumerate() {
        writer.tell(&format!("pieces {} {}", n * 1_000, n * 1_000 + 2_000));
    }
    let mut reader = Process::start(path);
    reader.ask_until("found 0 5000", 1_000);
    for writer in &mut writers {
        assert_eq!(writer.answer(), 2_000 + 40);
    }
    for process in writers.iter_mut().chain([&mut Process::start(path)]) {
        process.ask_until("found 0 5000", 5_000);
    }
    // Who uses the cache merges what the others have left at the same time.
    let started = Instant::now();
    while segments(folder.path()) > 20 {
        assert!(started.elapsed() < LONG, "{} segments are left of 160", segments(folder.path()));
        reader.ask("found 0 5000");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One thread writes a segment a second, one after the other: what is put before one has appeared is in the next at the
/// latest.
#[test]
fn a_process_that_is_killed_loses_what_was_put_since_its_last_write_at_most() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    let mut writer = Process::start(path);
    let started = Instant::now();
    let mut rows = 0;
    // The rows that had been put when the first, the second, the third segment was not there yet.
    let mut put = [0; 3];
    loop {
        let there = segments(folder.path());
        if there >= put.len() {
            break;
        }
        put[there..].fill(rows);
        assert!(started.elapsed() < LONG, "{there} segments, and nobody asks for a flush");
        assert_eq!(writer.ask(&format!("put {rows} {}", rows + 20)), 20);
        rows += 20;
        std::thread::sleep(Duration::from_millis(20));
    }
    writer.kill();
    let [_, due, _] = put;
    assert!(due > 0);
    Process::start(path).ask_until(&format!("found 0 {due}"), due);
}

#[test]
fn a_writer_that_is_killed_in_the_middle_of_its_work_leaves_a_folder_that_others_can_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    let mut seen = Vec::new();
    for round in 0..4 {
        let from = round * 100_000;
        let mut writer = Process::start(path);
        // Whatever it is doing then: writing, merging, removing.
        writer.tell(&format!("pieces {from} {}", from + 100_000));
        let question = format!("found {from} {}", from + 5_000);
        let rows = Process::start(path).ask_until(&question, 200 * round + 100);
        writer.kill();
        seen.push((question, rows));
    }
    let mut process = Process::start(path);
    for (question, rows) in &seen {
        process.ask_until(question, *rows);
    }
    assert_eq!(process.ask("pieces 0 1000"), 1_020);
    Process::start(path).ask_until("found 0 1000", 1_000);
}
