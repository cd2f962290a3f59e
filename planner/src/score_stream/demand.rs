//! How many rows a query still wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{BooleanArray, RecordBatch};
use datafusion::common::cast::as_boolean_array;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExprRef;
use parking_lot::Mutex;

use crate::sieve::Sieve;

/// Rows in flight at least, of each partition: fewer would leave the device idle between two rows.
const LEAST_IN_FLIGHT: usize = 4;

/// The demand of a query that wants a number of rows that pass a predicate: a `LIMIT` above a filter.
///
/// Until some rows have passed, as many are scored at once as are wanted; then as many as it should take by the share
/// that has passed so far. The partitions of one run share the count. Where further filters follow, the rows that these
/// want are not known: the more were given, the further the node works ahead.
#[derive(Debug)]
pub(crate) struct Demand {
    sieve: Sieve<PhysicalExprRef>,
    run: Mutex<Arc<Run>>,
}

/// One execution of a plan, over all its partitions.
#[derive(Debug)]
pub(super) struct Run {
    sieve: Sieve<PhysicalExprRef>,
    started: Mutex<Vec<bool>>,
    given: AtomicUsize,
    passed: AtomicUsize,
}

impl Demand {
    pub(crate) fn new(sieve: Sieve<PhysicalExprRef>, partitions: usize) -> Self {
        let run = Mutex::new(Arc::new(Run::new(sieve.clone(), partitions)));
        Self { sieve, run }
    }

    /// The predicate and how many rows are enough.
    pub(crate) fn sieve(&self) -> &Sieve<PhysicalExprRef> {
        &self.sieve
    }

    /// The run that an execution of `partition` belongs to: a partition that is executed again begins the next one.
    pub(super) fn start(&self, partition: usize) -> Arc<Run> {
        let mut run = self.run.lock();
        if !run.start(partition) {
            *run = Arc::new(Run::new(self.sieve.clone(), run.partitions()));
            run.start(partition);
        }
        Arc::clone(&run)
    }
}

impl Run {
    fn new(sieve: Sieve<PhysicalExprRef>, partitions: usize) -> Self {
        let started = Mutex::new(vec![false; partitions]);
        Self { sieve, started, given: AtomicUsize::new(0), passed: AtomicUsize::new(0) }
    }

    fn partitions(&self) -> usize {
        self.started.lock().len()
    }

    fn start(&self, partition: usize) -> bool {
        self.started.lock().get_mut(partition).is_some_and(|started| !std::mem::replace(started, true))
    }

    /// Whether enough rows have passed.
    pub(super) fn is_met(&self) -> bool {
        self.sieve.ends && self.passed.load(Ordering::Relaxed) >= self.sieve.enough
    }

    /// How many rows a partition may have in flight: its share of what it should take to meet the demand.
    pub(super) fn rows_in_flight(&self) -> usize {
        let (given, passed) = (self.given.load(Ordering::Relaxed), self.passed.load(Ordering::Relaxed));
        let wanted = match self.sieve.ends {
            true => self.sieve.enough.saturating_sub(passed),
            false => self.sieve.enough.max(passed),
        };
        let expected = wanted.saturating_mul(given + 1).div_ceil(passed + 1);
        expected.div_ceil(self.partitions().max(1)).max(LEAST_IN_FLIGHT)
    }

    /// Counts rows that are given out.
    pub(super) fn count(&self, rows: &RecordBatch) -> Result<()> {
        let passes = self.sieve.predicate.evaluate(rows)?.into_array(rows.num_rows())?;
        let passes: &BooleanArray = as_boolean_array(&passes)?;
        self.passed.fetch_add(passes.true_count(), Ordering::Relaxed);
        self.given.fetch_add(rows.num_rows(), Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array};
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{binary, col, lit};

    use super::*;

    fn rows(values: Vec<i32>) -> RecordBatch {
        RecordBatch::try_from_iter([("x", Arc::new(Int32Array::from(values)) as ArrayRef)]).unwrap()
    }

    /// `x > 0`, ten rows of which are enough.
    fn demand(partitions: usize) -> Demand {
        let schema = rows(vec![]).schema();
        let predicate = binary(col("x", &schema).unwrap(), Operator::Gt, lit(0), &schema).unwrap();
        Demand::new(Sieve { predicate, enough: 10, ends: true }, partitions)
    }

    #[test]
    fn the_window_follows_the_share_that_passes() {
        let run = demand(1).start(0);
        assert_eq!(run.rows_in_flight(), 10);
        run.count(&rows(vec![0; 10])).unwrap();
        assert_eq!(run.rows_in_flight(), 110);
        run.count(&rows(vec![1, 1, 1, 1, 0])).unwrap();
        assert_eq!(run.rows_in_flight(), 6 * 16 / 5 + 1);
        assert!(!run.is_met());
        run.count(&rows(vec![1; 6])).unwrap();
        assert!(run.is_met());
    }

    #[test]
    fn where_more_filters_follow_the_window_grows_with_what_was_given() {
        let schema = rows(vec![]).schema();
        let predicate = binary(col("x", &schema).unwrap(), Operator::Gt, lit(0), &schema).unwrap();
        let run = Demand::new(Sieve { predicate, enough: 10, ends: false }, 1).start(0);
        run.count(&rows(vec![1; 10])).unwrap();
        assert!(!run.is_met());
        assert_eq!(run.rows_in_flight(), 10);
        run.count(&rows(vec![1; 90])).unwrap();
        assert_eq!(run.rows_in_flight(), 100);
    }

    #[test]
    fn partitions_share_the_demand_and_a_second_run_begins_anew() {
        let demand = demand(2);
        let (first, second) = (demand.start(0), demand.start(1));
        first.count(&rows(vec![1; 10])).unwrap();
        assert!(second.is_met());
        let again = demand.start(0);
        assert!(!again.is_met());
        assert!(!demand.start(1).is_met());
        assert_eq!(again.rows_in_flight(), 5);
    }
}
