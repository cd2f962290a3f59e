//! The nodes between a sort and the one scan below it.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, SubqueryAlias, TableScan};

use crate::heavy::is_heavy;
use crate::{PlannerError, RowTable, ScoreNode};

/// A plan of projections, filters, aliases and score nodes over one scan of a [`RowTable`].
#[derive(Debug)]
pub(super) struct Chain {
    table: RowTable,
}

/// A rewritten plan and the columns that hold its rows' addresses.
#[derive(Debug)]
pub(super) struct Addressed {
    pub(super) plan: LogicalPlan,
    pub(super) file: Column,
    pub(super) row: Column,
}

impl Chain {
    /// The chain that `plan` is, if it is one.
    pub(super) fn below(plan: &LogicalPlan) -> Option<Self> {
        if holds_subquery(plan) {
            return None;
        }
        match plan {
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source).ok()?;
                Some(Self { table: provider.downcast_ref::<RowTable>()?.clone() })
            }
            LogicalPlan::Projection(Projection { input, .. })
            | LogicalPlan::Filter(Filter { input, .. })
            | LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => Self::below(input),
            plan => Self::below(ScoreNode::downcast(plan)?.input()),
        }
    }

    pub(super) fn table(&self) -> &RowTable {
        &self.table
    }

    /// The place in the table's schema of a column of `plan`, a chain, if it is passed through unchanged.
    pub(super) fn place_of(plan: &LogicalPlan, column: &Column) -> Option<usize> {
        let index = plan.schema().maybe_index_of_column(column)?;
        match plan {
            LogicalPlan::TableScan(scan) => match &scan.projection {
                Some(projection) => projection.get(index).copied(),
                None => Some(index),
            },
            LogicalPlan::Projection(Projection { expr, input, .. }) => {
                let mut expr = expr.get(index)?;
                while let Expr::Alias(alias) = expr {
                    expr = alias.expr.as_ref();
                }
                let Expr::Column(column) = expr else { return None };
                Self::place_of(input, column)
            }
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => {
                Self::place_of(input, &Column::from(input.schema().qualified_field(index)))
            }
            LogicalPlan::Filter(Filter { input, .. }) => Self::place_of(input, column),
            // The node's own columns are not its input's.
            plan => Self::place_of(ScoreNode::downcast(plan)?.input(), column),
        }
    }

    /// `plan` without the columns `dropped` and with its rows' addresses, in columns of the names `file` and `row`.
    pub(super) fn rewrite(
        &self,
        plan: &LogicalPlan,
        dropped: &HashSet<Column>,
        file: &str,
        row: &str,
    ) -> Result<Addressed> {
        match plan {
            LogicalPlan::TableScan(scan) => self.rewrite_scan(scan, dropped, file, row),
            LogicalPlan::Projection(projection) => {
                let outputs = projection.schema.columns().into_iter().zip(&projection.expr);
                let kept = outputs.filter(|(column, _)| !dropped.contains(column)).map(|(_, expr)| expr.clone());
                let mut kept: Vec<Expr> = kept.collect();
                let unread = unread(&projection.input, &kept);
                let Addressed { plan, file, row } = self.rewrite(&projection.input, &unread, file, row)?;
                kept.extend([Expr::Column(file.clone()), Expr::Column(row.clone())]);
                let plan = LogicalPlan::Projection(Projection::try_new(kept, Arc::new(plan))?);
                Ok(Addressed { plan, file, row })
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let outputs = alias.schema.columns().into_iter().zip(alias.input.schema().columns());
                let dropped = outputs.filter(|(output, _)| dropped.contains(output)).map(|(_, input)| input).collect();
                let Addressed { plan, file, row } = self.rewrite(&alias.input, &dropped, file, row)?;
                let plan = SubqueryAlias::try_new(Arc::new(plan), alias.alias.clone())?;
                let renamed = |column: Column| Column::new(Some(alias.alias.clone()), column.name);
                Ok(Addressed { plan: LogicalPlan::SubqueryAlias(plan), file: renamed(file), row: renamed(row) })
            }
            LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                let read: HashSet<&Column> = predicate.column_refs();
                let unread = dropped.iter().filter(|column| !read.contains(column)).cloned().collect();
                let Addressed { plan, file, row } = self.rewrite(input, &unread, file, row)?;
                let plan = LogicalPlan::Filter(Filter::try_new(predicate.clone(), Arc::new(plan))?);
                Ok(Addressed { plan: without(plan, dropped)?, file, row })
            }
            plan => match ScoreNode::downcast(plan) {
                Some(node) => self.rewrite_score(node, dropped, file, row),
                None => {
                    let reason = format!("{} does not pass columns through", plan.display());
                    Err(PlannerError::InvalidFetch { reason }.into())
                }
            },
        }
    }

    /// A projection over the node leaves out what is dropped and read by the node itself.
    fn rewrite_score(&self, node: &ScoreNode, dropped: &HashSet<Column>, file: &str, row: &str) -> Result<Addressed> {
        // A sieve is over the node's output.
        let sieved = node.sieve().map(|sieve| sieve.predicate.column_refs()).unwrap_or_default();
        let read: HashSet<&Column> = node.columns_read().chain(sieved).collect();
        let unread = dropped.iter().filter(|column| !read.contains(column)).cloned().collect();
        let Addressed { plan, file, row } = self.rewrite(node.input(), &unread, file, row)?;
        let plan = node.clone().with_input(plan)?.into_plan();
        Ok(Addressed { plan: without(plan, dropped)?, file, row })
    }

    fn rewrite_scan(&self, scan: &TableScan, dropped: &HashSet<Column>, file: &str, row: &str) -> Result<Addressed> {
        let width = scan.source.schema().fields().len();
        let places = scan.projection.clone().unwrap_or_else(|| (0..width).collect());
        let read = places.into_iter().zip(scan.projected_schema.columns());
        let read = read.filter(|(_, column)| !dropped.contains(column)).map(|(place, _)| place);
        let projection = read.chain([width, width + 1]).collect();
        let table = self.table.source().with_row_addresses(file, row)?;
        let plan = TableScanBuilder::new(scan.table_name.clone(), provider_as_source(table))
            .with_projection(Some(projection))
            .with_filters(scan.filters.clone())
            .with_fetch(scan.fetch)
            .build()?;
        let column = |name: &str| Column::new(Some(scan.table_name.clone()), name);
        Ok(Addressed { plan: LogicalPlan::TableScan(plan), file: column(file), row: column(row) })
    }
}

/// Whether an expression of the node holds a subquery, which may read columns that do not show.
pub(super) fn holds_subquery(plan: &LogicalPlan) -> bool {
    let mut holds = false;
    let visited = plan.apply_subqueries(|_| {
        holds = true;
        Ok(TreeNodeRecursion::Stop)
    });
    holds || visited.is_err()
}

/// The columns of a plan's output.
pub(super) fn columns_of(plan: &LogicalPlan) -> impl Iterator<Item = Column> + '_ {
    plan.schema().iter().map(Column::from)
}

/// The heavy columns of `input` that none of `exprs` reads.
fn unread(input: &LogicalPlan, exprs: &[Expr]) -> HashSet<Column> {
    let read: HashSet<&Column> = exprs.iter().flat_map(Expr::column_refs).collect();
    heavy_columns(input).filter(|column| !read.contains(column)).collect()
}

fn heavy_columns(plan: &LogicalPlan) -> impl Iterator<Item = Column> + '_ {
    plan.schema().iter().filter(|(_, field)| is_heavy(field.data_type())).map(Column::from)
}

/// `plan` without these columns.
fn without(plan: LogicalPlan, dropped: &HashSet<Column>) -> Result<LogicalPlan> {
    let kept: Vec<Expr> = columns_of(&plan).filter(|column| !dropped.contains(column)).map(Expr::Column).collect();
    if kept.len() == plan.schema().fields().len() {
        return Ok(plan);
    }
    Ok(LogicalPlan::Projection(Projection::try_new(kept, Arc::new(plan))?))
}
