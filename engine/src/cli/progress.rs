//! The progress bar on stderr.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::stats::Precision;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};

/// How often the bar is drawn.
const TICK: Duration = Duration::from_millis(200);

/// The name of the plan node that scores rows.
const SCORE_NODE: &str = "ScoreExec";

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
    let template = match total.filter(|&total| total > 0) {
        Some(total) => {
            bar.set_length(total);
            bar.set_position(counts.scanned.min(total));
            if counts.scanned > 0 && counts.scanned < total {
                let left = seconds * (total - counts.scanned) as f64 / counts.scanned as f64;
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

/// What a plan's nodes have counted so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    has_model: bool,
    scored: u64,
    failed: u64,
    scanned: u64,
}

impl Counts {
    fn of(plan: &dyn ExecutionPlan) -> Self {
        let mut counts = Self::default();
        counts.add(plan);
        counts
    }

    fn add(&mut self, plan: &dyn ExecutionPlan) {
        let metrics = plan.metrics();
        let sum = |name: &str| metrics.as_ref().and_then(|m| m.sum_by_name(name)).map_or(0, |v| v.as_usize() as u64);
        if plan.name() == SCORE_NODE {
            self.has_model = true;
            self.scored += sum("rows_scored") + sum("cache_hits");
            self.failed += sum("rows_failed");
        }
        if plan.children().is_empty() {
            self.scanned += metrics.as_ref().and_then(|m| m.output_rows()).unwrap_or(0) as u64;
        }
        for child in plan.children() {
            self.add(child.as_ref());
        }
    }
}

/// How many rows the plan's leaves will give, if their statistics tell.
fn rows_to_scan(plan: &dyn ExecutionPlan) -> Option<u64> {
    if plan.children().is_empty() {
        let statistics = StatisticsContext::new().compute(plan, &StatisticsArgs::new()).ok()?;
        return match statistics.num_rows {
            Precision::Exact(rows) | Precision::Inexact(rows) => Some(rows as u64),
            Precision::Absent => None,
        };
    }
    plan.children().iter().map(|child| rows_to_scan(child.as_ref())).sum()
}
