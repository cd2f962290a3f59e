//! The progress bar on stderr.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::physical_plan::ExecutionPlan;
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use tamis_cluster::flight::client::RemoteSession;
use tamis_engine::counts::{Counts, rows_to_scan};

/// How often the bar is drawn.
const TICK: Duration = Duration::from_millis(200);

/// A progress bar that follows a plan's metrics until it is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    ticker: Option<tokio::task::JoinHandle<()>>,
}

impl Progress {
    /// Starts to follow `plan`. There is no bar when stderr is not a terminal or the user wants quiet.
    pub(super) fn start(plan: &Arc<dyn ExecutionPlan>, is_quiet: bool) -> Self {
        if is_quiet || !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden(), ticker: None };
        }
        let bar = ProgressBar::new(0);
        let plan = Arc::clone(plan);
        let ticker = tokio::spawn({
            let bar = bar.clone();
            async move {
                let started = Instant::now();
                let total = rows_to_scan(plan.as_ref());
                loop {
                    tokio::time::sleep(TICK).await;
                    if bar.is_finished() {
                        return;
                    }
                    draw(&bar, &Counts::of(plan.as_ref()), total, started.elapsed());
                }
            }
        });
        Self { bar, ticker: Some(ticker) }
    }

    /// Starts to follow a query that runs on a server.
    pub(super) fn follow(session: &RemoteSession, query: &str, is_quiet: bool) -> Self {
        if is_quiet || !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden(), ticker: None };
        }
        let bar = ProgressBar::new(0);
        let (session, query) = (session.clone(), query.to_string());
        let ticker = tokio::spawn({
            let bar = bar.clone();
            async move {
                let (started, mut told) = (Instant::now(), None);
                loop {
                    tokio::time::sleep(TICK).await;
                    if bar.is_finished() {
                        return;
                    }
                    let Some(progress) = session.progress(&query).await.filter(|progress| progress.is_running) else {
                        continue;
                    };
                    if progress.again != told {
                        told.clone_from(&progress.again);
                        let why = progress.again.as_deref().unwrap_or_default();
                        bar.suspend(|| eprintln!("warning: {why}; its tasks begin again"));
                    }
                    draw(&bar, &progress.counts, progress.rows, started.elapsed());
                }
            }
        });
        Self { bar, ticker: Some(ticker) }
    }

    /// Does something that writes to the terminal while the bar is out of the way.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(ticker) = self.ticker.take() {
            ticker.abort();
        }
        self.bar.finish_and_clear();
    }
}

fn draw(bar: &ProgressBar, counts: &Counts, total: Option<u64>, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let (what, rows) = if counts.has_model { ("scored", counts.scored) } else { ("read", counts.scanned) };
    let mut message = format!(
        "{} rows {what}, {} rows/s, {}",
        HumanCount(rows),
        HumanCount((rows as f64 / seconds) as u64),
        HumanDuration(elapsed)
    );
    if counts.failed > 0 {
        message += &format!(", {} failed", HumanCount(counts.failed));
    }
    let template = match counts.done_of(total) {
        Some((done, goal)) => {
            bar.set_length(goal);
            bar.set_position(done);
            if done > 0 && done < goal {
                let left = seconds * (goal - done) as f64 / done as f64;
                message += &format!(", {} left", HumanDuration(Duration::from_secs_f64(left)));
            }
            "{bar:30} {percent:>3}% {msg}"
        }
        None => "{spinner} {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(message);
    bar.tick();
}
