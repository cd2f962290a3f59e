//! Which scores a rewritten plan offers to the nodes above it.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, LogicalPlan};
use tamis_udfs::calls::CallOutput;

use super::super::columns::map_columns;
use super::call::{ModelCall, qualified};
use super::reach::Reach;
use crate::ScoreColumns;

/// A call and the output columns that carry what it returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Score {
    /// The call in terms of the plan's output columns.
    pub(super) call: ModelCall,
    /// The rows that have the score; the others have NULL.
    pub(super) reach: Reach,
    pub(super) score: Column,
    pub(super) error: Option<Column>,
}

impl Score {
    /// The score of a node that adds `columns`.
    pub(super) fn new(call: ModelCall, reach: Reach, columns: &ScoreColumns) -> Self {
        let error = columns.error.as_ref().map(Column::new_unqualified);
        Self { call, reach, score: Column::new_unqualified(&columns.score), error }
    }

    /// The column that carries `output`.
    pub(super) fn column(&self, output: CallOutput) -> Option<&Column> {
        match output {
            CallOutput::Score => Some(&self.score),
            CallOutput::Error => self.error.as_ref(),
        }
    }

    /// Renames every column; `None` if a column of the call or the score has no new name. An error column without one
    /// is dropped.
    pub(super) fn map_columns(&self, f: impl Fn(&Column) -> Option<Column>) -> Option<Self> {
        let call = self.call.map_args(|arg| map_columns(arg, &f))?;
        let reach = self.reach.clone();
        Some(Self { call, reach, score: f(&self.score)?, error: self.error.as_ref().and_then(&f) })
    }

    /// Whether a row that an outer join fills with NULLs has a NULL score by the call too.
    ///
    /// It has if an argument is a plain column, which is then NULL: a NULL argument gives a NULL score and no error.
    pub(super) fn is_null_when_columns_are(&self) -> bool {
        self.call.args.iter().any(|arg| matches!(arg, Expr::Column(_)))
    }
}

/// A rewritten plan: the original columns, hidden score columns, and what these carry.
#[derive(Debug)]
pub(super) struct Scored {
    pub(super) plan: LogicalPlan,
    pub(super) available: Vec<Score>,
}

impl Scored {
    /// A plan that offers no score.
    pub(super) fn bare(plan: LogicalPlan) -> Self {
        Self { plan, available: vec![] }
    }

    pub(super) fn schema(&self) -> &DFSchema {
        self.plan.schema()
    }

    /// The column that carries `output` of `call` for all rows of `reach`, if there is one.
    pub(super) fn column(&self, call: &ModelCall, output: CallOutput, reach: &Reach) -> Option<&Column> {
        let serves = |score: &&Score| &score.call == call && (score.reach == Reach::All || &score.reach == reach);
        self.available.iter().filter(serves).find_map(|score| score.column(output))
    }

    /// Forgets the scores that only some rows have: they served the expressions of one node.
    pub(super) fn settle(&mut self) {
        self.available.retain(|score| score.reach == Reach::All);
    }

    /// The scores whose columns all exist in `schema`.
    pub(super) fn available_in(&self, schema: &DFSchema) -> Vec<Score> {
        let same = |column: &Column| schema.has_column(column).then(|| column.clone());
        self.available.iter().filter_map(|score| score.map_columns(same)).collect()
    }
}

/// What a node that computes `exprs` does to calls over its input: an argument survives if it is computed from what
/// the node lets through.
#[derive(Debug)]
pub(super) struct PassThrough {
    /// An expression over the input and the output column that holds its value.
    columns: Vec<(Expr, Column)>,
}

impl PassThrough {
    /// `exprs` over `input` become the first columns of `output`, in order.
    pub(super) fn new<'a>(exprs: impl IntoIterator<Item = &'a Expr>, input: &DFSchema, output: &DFSchema) -> Self {
        let columns = exprs
            .into_iter()
            .zip(output.columns())
            .filter(|(expr, _)| !expr.is_volatile())
            .filter_map(|(expr, column)| Some((qualified(&expr.clone().unalias_nested().data, input)?, column)))
            .collect();
        Self { columns }
    }

    /// The output column that holds `expr`, an expression over the input.
    pub(super) fn column(&self, expr: &Expr) -> Option<Column> {
        self.columns.iter().find(|(computed, _)| computed == expr).map(|(_, column)| column.clone())
    }

    /// `call` over the input in terms of the output.
    pub(super) fn call(&self, call: &ModelCall) -> Option<ModelCall> {
        call.map_args(|arg| self.expr(arg))
    }

    fn expr(&self, expr: &Expr) -> Option<Expr> {
        let mut complete = true;
        let mapped = expr.clone().transform_down(|e| {
            if let Some(column) = self.column(&e) {
                return Ok(Transformed::new(Expr::Column(column), true, TreeNodeRecursion::Jump));
            }
            complete &= !matches!(e, Expr::Column(_));
            Ok(Transformed::no(e))
        });
        mapped.ok().filter(|_| complete).map(|mapped| mapped.data)
    }
}
