//! The logical node that reads columns of rows by address.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::{Column, DFSchema, DFSchemaRef, TableReference};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::{PlannerError, RowTable};

/// A column that a [`FetchNode`] reads, and the name that it gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FetchedColumn {
    /// Its place in the table's schema.
    pub place: usize,
    /// The qualifier that it gets.
    pub qualifier: Option<TableReference>,
    /// The name that it gets, and its type.
    pub field: FieldRef,
}

/// Appends columns of a table to rows that carry their addresses in it.
///
/// Input columns pass through unchanged and in order, the addresses among them; the fetched ones stand last.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FetchNode {
    input: LogicalPlan,
    table: RowTable,
    file: Column,
    row: Column,
    columns: Vec<FetchedColumn>,
    schema: DFSchemaRef,
}

impl FetchNode {
    /// A node that reads `columns` of `table` for the rows whose addresses are in the columns `file` and `row` of `input`.
    pub fn try_new(
        input: LogicalPlan,
        table: RowTable,
        file: Column,
        row: Column,
        columns: Vec<FetchedColumn>,
    ) -> Result<Self> {
        for column in [&file, &row] {
            if !input.schema().has_column(column) {
                return Err(PlannerError::InvalidFetch { reason: format!("its input has no column {column}") }.into());
            }
        }
        let from = input.schema();
        let fields = from.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
        let fetched = columns.iter().map(|column| (column.qualifier.clone(), Arc::clone(&column.field)));
        let schema = DFSchema::new_with_metadata(fields.chain(fetched).collect(), from.metadata().clone())?
            .with_functional_dependencies(from.functional_dependencies().clone())?;
        Ok(Self { input, table, file, row, columns, schema: Arc::new(schema) })
    }

    /// The plan whose rows are completed.
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// The table that is read.
    pub fn table(&self) -> &RowTable {
        &self.table
    }

    /// The column that holds the file of a row.
    pub fn file(&self) -> &Column {
        &self.file
    }

    /// The column that holds the number of a row in its file.
    pub fn row(&self) -> &Column {
        &self.row
    }

    /// The columns that are read.
    pub fn columns(&self) -> &[FetchedColumn] {
        &self.columns
    }

    /// This node as a logical plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The fetch node that `plan` is, if it is one.
    pub fn downcast(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }

    fn column_names(&self) -> String {
        let name = |column: &FetchedColumn| Column::new(column.qualifier.clone(), column.field.name()).to_string();
        self.columns.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

impl PartialOrd for FetchNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = |node: &Self| (node.file.clone(), node.row.clone(), node.column_names());
        let ordering = key(self).cmp(&key(other));
        if ordering.is_ne() {
            return Some(ordering);
        }
        // Tables and types take part in equality alone: nodes that differ in these only are not comparable.
        self.input.partial_cmp(&other.input).filter(|ordering| ordering.is_ne() || self == other)
    }
}

impl UserDefinedLogicalNodeCore for FetchNode {
    fn name(&self) -> &str {
        "FetchNode"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.file.clone()), Expr::Column(self.row.clone())]
    }

    /// Predicates over input columns may move below the node, so that fewer rows are fetched.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.columns.iter().map(|column| column.field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "FetchNode: columns=[{}], file={}, row={}", self.column_names(), self.file, self.row)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let invalid = |reason: &str| PlannerError::InvalidFetch { reason: reason.into() };
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return Err(invalid("it takes exactly one input").into());
        };
        let Ok([Expr::Column(file), Expr::Column(row)]) = <[Expr; 2]>::try_from(exprs) else {
            return Err(invalid("an address is two columns").into());
        };
        Self::try_new(input, self.table.clone(), file, row, self.columns.clone())
    }

    /// What is read above passes through, and the addresses are read here.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let passed = output_columns.iter().copied().filter(|index| *index < schema.fields().len());
        let addresses = [&self.file, &self.row].into_iter().filter_map(|column| schema.maybe_index_of_column(column));
        let mut necessary: Vec<usize> = passed.chain(addresses).collect();
        necessary.sort_unstable();
        necessary.dedup();
        Some(vec![necessary])
    }

    /// One row out for one row in, in order.
    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}
