//! Table scans: a model call has no place in a scan's filters.

use datafusion::error::Result;
use datafusion::logical_expr::{LogicalPlan, TableProviderFilterPushDown, TableScan};

use super::super::columns::calls_a_model;
use super::rewrite::Extraction;

impl Extraction<'_> {
    /// Drops the scan's filters that call a model, where the source takes filters as a hint only: the Filter above,
    /// from which they were copied, is what counts.
    pub(super) fn table_scan(&mut self, mut scan: TableScan) -> Result<LogicalPlan> {
        if !scan.filters.iter().any(calls_a_model) {
            return Ok(LogicalPlan::TableScan(scan));
        }
        let filters: Vec<_> = scan.filters.iter().collect();
        let exact: Vec<bool> = scan
            .source
            .supports_filters_pushdown(&filters)?
            .into_iter()
            .map(|support| support == TableProviderFilterPushDown::Exact)
            .collect();
        let before = scan.filters.len();
        let mut exact = exact.into_iter();
        scan.filters.retain(|filter| exact.next().unwrap_or(true) || !calls_a_model(filter));
        self.note_changes(before - scan.filters.len());
        Ok(LogicalPlan::TableScan(scan))
    }
}
