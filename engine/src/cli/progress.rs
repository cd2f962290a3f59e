//! The progress bar on stderr.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::stats::Precision;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricValue;
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

/// What a plan's nodes have counted so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    has_model: bool,
    /// Rows that got a score from the model, the cache or another row. Failures that the latter two knew are among them.
    scored: u64,
    failed: u64,
    /// Rows that have left the nodes that score.
    left_model: u64,
    /// Rows that have come to the nodes that score.
    came_to_model: u64,
    /// Rows that the scans are done with: given, or left out by predicates of their own.
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
        // Not `sum_by_name`, which passes over counts that are printed in a way of their own.
        let sum = |name: &str| metrics.as_ref().and_then(|m| m.sum(|m| m.value().name() == name));
        let sum = |name: &str| sum(name).map_or(0, |value| value.as_usize() as u64);
        if plan.name() == SCORE_NODE {
            self.has_model = true;
            self.scored += sum("rows_scored") + sum("cache_hits") + sum("rows_shared");
            self.failed += sum("rows_failed");
            self.left_model += output_rows(plan);
            self.came_to_model += plan.children().iter().map(|child| output_rows(child.as_ref())).sum::<u64>();
        }
        if plan.children().is_empty() {
            self.scanned += output_rows(plan) + sum("pushdown_rows_pruned") + rows_of_pruned_pages(plan);
        }
        for child in plan.children() {
            self.add(child.as_ref());
        }
    }

    /// How much is done and of how much, when the scan has `total` rows. Scans run ahead of models, so with a model it is
    /// the model's rows that count: as many as have come to it, and in that proportion of the rows not yet scanned.
    fn done_of(&self, total: Option<u64>) -> Option<(u64, u64)> {
        let total = total.filter(|&total| total > 0)?.max(self.scanned);
        if !self.has_model {
            return Some((self.scanned, total));
        }
        if self.scanned == 0 || self.came_to_model == 0 {
            return None;
        }
        let goal = (self.came_to_model as f64 * total as f64 / self.scanned as f64).round() as u64;
        Some(((self.scored + self.failed).max(self.left_model).min(goal), goal))
    }
}

fn output_rows(plan: &dyn ExecutionPlan) -> u64 {
    plan.metrics().and_then(|m| m.output_rows()).unwrap_or(0) as u64
}

/// Rows of Parquet pages that a scan passed over by their statistics.
fn rows_of_pruned_pages(plan: &dyn ExecutionPlan) -> u64 {
    let metrics = plan.metrics();
    let pruned = metrics.iter().flat_map(|metrics| metrics.iter()).map(|metric| match metric.value() {
        MetricValue::PruningMetrics { name, pruning_metrics } if name == "page_index_rows_pruned" => {
            pruning_metrics.pruned() as u64
        }
        _ => 0,
    });
    pruned.sum()
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

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::collect;

    use super::*;
    use crate::session::{Session, SessionSettings};

    #[tokio::test]
    async fn a_plan_s_counts_are_read_by_name() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/corpus/captions.parquet");
        let session = Session::open(&SessionSettings::default()).await.unwrap();
        let query = format!(
            "SELECT unifilter(image, text) FROM '{corpus}' WHERE note = 'unusual: the same image with several texts' \
             OR note = 'unscorable: image of zero bytes'"
        );
        let query = session.context().sql(&query).await.unwrap();
        let (plan, context) = (query.clone().create_physical_plan().await.unwrap(), session.context().task_ctx());
        let total = rows_to_scan(plan.as_ref());
        collect(Arc::clone(&plan), context).await.unwrap();
        let counts = Counts::of(plan.as_ref());
        assert_eq!((counts.scored, counts.failed, counts.left_model, counts.came_to_model), (3, 1, 4, 4));
        assert_eq!(total, Some(counts.scanned));
        assert_eq!(counts.done_of(total), Some((4, 4)));
    }

    #[test]
    fn a_scan_that_runs_ahead_is_not_progress() {
        let counts = Counts { has_model: true, scored: 10, came_to_model: 50, scanned: 100, ..Counts::default() };
        assert_eq!(counts.done_of(Some(1000)), Some((10, 500)), "half of the rows come to the model");
        assert_eq!(counts.done_of(Some(100)), Some((10, 50)));
        assert_eq!(counts.done_of(None), None);
        let scan = Counts { has_model: false, ..counts };
        assert_eq!(scan.done_of(Some(1000)), Some((100, 1000)));
        assert_eq!(Counts { has_model: true, ..Counts::default() }.done_of(Some(1000)), None);
    }
}
