//! What a score plan reports of its work.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datafusion::physical_plan::metrics::{
    CustomMetricValue, ExecutionPlanMetricsSet, MetricBuilder, MetricCategory, MetricValue, Time,
};
use tamis_udfs::runtime::ScoringMetrics;

/// A count that is printed as a plain integer; DataFusion's own count prints 1479 as "1.48 K".
#[derive(Debug, Default)]
pub struct IntegerCount(AtomicU64);

impl IntegerCount {
    /// The names of the counts that score nodes report so.
    pub const NAMES: [&str; 9] = [
        "model_calls",
        "rows_scored",
        "rows_failed",
        "cache_hits",
        "cache_misses",
        "rows_shared",
        "images_encoded",
        "tokens",
        "batches",
    ];

    /// A count that stands at `value`.
    pub fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl fmt::Display for IntegerCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value())
    }
}

impl CustomMetricValue for IntegerCount {
    fn new_empty(&self) -> Arc<dyn CustomMetricValue> {
        Arc::new(Self::default())
    }

    fn aggregate(&self, other: Arc<dyn CustomMetricValue + 'static>) {
        self.add(other.as_usize() as u64);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_usize(&self) -> usize {
        usize::try_from(self.value()).unwrap_or(usize::MAX)
    }

    fn is_eq(&self, other: &Arc<dyn CustomMetricValue>) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| other.value() == self.value())
    }
}

/// The metrics of one partition: what the runtime counts, shown as the plan's metrics.
#[derive(Debug)]
pub(crate) struct PartitionMetrics {
    runtime: Arc<ScoringMetrics>,
    model_calls: Shown<Arc<IntegerCount>>,
    rows_scored: Shown<Arc<IntegerCount>>,
    rows_failed: Shown<Arc<IntegerCount>>,
    cache_hits: Shown<Arc<IntegerCount>>,
    cache_misses: Shown<Arc<IntegerCount>>,
    rows_shared: Shown<Arc<IntegerCount>>,
    images_encoded: Shown<Arc<IntegerCount>>,
    tokens: Shown<Arc<IntegerCount>>,
    batches: Shown<Arc<IntegerCount>>,
    prepare_time: Shown<Time>,
    forward_time: Shown<Time>,
    device_idle_time: Shown<Time>,
}

/// A metric of the plan and how much of the runtime's it already shows.
#[derive(Debug)]
struct Shown<M> {
    metric: M,
    shown: u64,
}

impl<M> Shown<M> {
    fn catch_up(&mut self, counted: &AtomicU64, add: impl FnOnce(&M, u64)) {
        let counted = counted.load(Ordering::Relaxed);
        add(&self.metric, counted.saturating_sub(self.shown));
        self.shown = counted;
    }
}

impl PartitionMetrics {
    pub(crate) fn new(set: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let count = |name: &'static str| {
            let metric = Arc::new(IntegerCount::default());
            MetricBuilder::new(set)
                .with_category(MetricCategory::Rows)
                .with_partition(partition)
                .build(MetricValue::Custom { name: Cow::Borrowed(name), value: Arc::clone(&metric) as _ });
            Shown { metric, shown: 0 }
        };
        let time =
            |name: &'static str| Shown { metric: MetricBuilder::new(set).subset_time(name, partition), shown: 0 };
        Self {
            runtime: Arc::default(),
            model_calls: count("model_calls"),
            rows_scored: count("rows_scored"),
            rows_failed: count("rows_failed"),
            cache_hits: count("cache_hits"),
            cache_misses: count("cache_misses"),
            rows_shared: count("rows_shared"),
            images_encoded: count("images_encoded"),
            tokens: count("tokens"),
            batches: count("batches"),
            prepare_time: time("prepare_time"),
            forward_time: time("forward_time"),
            device_idle_time: time("device_idle_time"),
        }
    }

    /// What the runtime counts into.
    pub(crate) fn runtime(&self) -> Arc<ScoringMetrics> {
        Arc::clone(&self.runtime)
    }

    /// Shows what the runtime has counted since.
    pub(crate) fn catch_up(&mut self) {
        let add_count = |metric: &Arc<IntegerCount>, n| metric.add(n);
        let add_time = |metric: &Time, nanos| metric.add_duration(Duration::from_nanos(nanos));
        self.model_calls.catch_up(&self.runtime.model_calls, add_count);
        self.rows_scored.catch_up(&self.runtime.rows_scored, add_count);
        self.rows_failed.catch_up(&self.runtime.rows_failed, add_count);
        self.cache_hits.catch_up(&self.runtime.cache_hits, add_count);
        self.cache_misses.catch_up(&self.runtime.cache_misses, add_count);
        self.rows_shared.catch_up(&self.runtime.rows_shared, add_count);
        self.images_encoded.catch_up(&self.runtime.images_encoded, add_count);
        self.tokens.catch_up(&self.runtime.tokens, add_count);
        self.batches.catch_up(&self.runtime.batches, add_count);
        self.prepare_time.catch_up(&self.runtime.prepare_nanos, add_time);
        self.forward_time.catch_up(&self.runtime.forward_nanos, add_time);
        self.device_idle_time.catch_up(&self.runtime.device_idle_nanos, add_time);
    }
}

impl Drop for PartitionMetrics {
    fn drop(&mut self) {
        self.catch_up();
    }
}
