//! The logical node that scores rows with a model.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::PlannerError;
use crate::model_call::ModelCall;
use crate::score_columns::ScoreColumns;
use crate::sieve::Sieve;

/// Appends a model's score, and on demand the reason why there is none, to every row of its input.
///
/// Input columns pass through in order and, but for those that are unread, unchanged; the new columns stand last and have no
/// qualifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScoreNode {
    input: LogicalPlan,
    call: ModelCall<Expr>,
    when: Option<Expr>,
    columns: ScoreColumns,
    unread: Vec<Column>,
    sieve: Option<Sieve<Expr>>,
    schema: DFSchemaRef,
}

impl ScoreNode {
    /// A node that scores the rows of `input` by `call` into `columns`.
    pub fn try_new(input: LogicalPlan, call: ModelCall<Expr>, columns: ScoreColumns) -> Result<Self> {
        Self { input, call, when: None, columns, unread: vec![], sieve: None, schema: Arc::new(DFSchema::empty()) }
            .checked()
    }

    /// The same node, which scores only rows for which `when` is true; the others get NULL for score and error.
    pub fn with_when(mut self, when: Option<Expr>) -> Result<Self> {
        self.when = when;
        self.checked()
    }

    /// The same node with a hint of which of its input's columns nobody above it reads: their values may be left out.
    pub fn with_unread(mut self, unread: Vec<Column>) -> Self {
        self.unread = unread;
        self
    }

    /// The same node with a hint of how many rows are wanted.
    pub fn with_sieve(mut self, sieve: Option<Sieve<Expr>>) -> Self {
        self.sieve = sieve;
        self
    }

    /// The same node without its error column.
    pub fn without_error(mut self) -> Result<Self> {
        self.columns.error = None;
        self.checked()
    }

    /// The same node over another input, whose columns include what the node reads.
    pub fn with_input(mut self, input: LogicalPlan) -> Result<Self> {
        self.input = input;
        self.checked()
    }

    /// The plan whose rows are scored.
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// The model call.
    pub fn call(&self) -> &ModelCall<Expr> {
        &self.call
    }

    /// Which rows are scored; `None`: all.
    pub fn when(&self) -> Option<&Expr> {
        self.when.as_ref()
    }

    /// The columns that the node adds.
    pub fn columns(&self) -> &ScoreColumns {
        &self.columns
    }

    /// The columns of the input whose values nobody above reads.
    pub fn unread(&self) -> &[Column] {
        &self.unread
    }

    /// How many rows are wanted.
    pub fn sieve(&self) -> Option<&Sieve<Expr>> {
        self.sieve.as_ref()
    }

    /// Where the unread columns stand in the input.
    pub(crate) fn unread_indices(&self) -> Vec<usize> {
        let schema = self.input.schema();
        self.unread.iter().filter_map(|column| schema.maybe_index_of_column(column)).collect()
    }

    /// Every column that the node reads of its input, apart from what passes through.
    pub(crate) fn columns_read(&self) -> impl Iterator<Item = &Column> {
        self.call.args.iter().chain(&self.when).flat_map(Expr::column_refs)
    }

    /// This node as a logical plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The score node that `plan` is, if it is one.
    pub fn downcast(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// Checks that the parts fit together and computes the schema.
    fn checked(mut self) -> Result<Self> {
        let invalid = |reason: String| PlannerError::InvalidNode { family: self.call.family.clone(), reason };
        if self.call.args.is_empty() {
            return Err(invalid("it has no arguments".into()).into());
        }
        let input = self.input.schema();
        for column in self.columns_read() {
            if !input.has_column(column) {
                return Err(invalid(format!("its input has no column {column}")).into());
            }
        }
        for name in self.columns.names() {
            if input.has_column_with_unqualified_name(name) {
                return Err(invalid(format!("its input already has a column {name}")).into());
            }
        }
        self.unread.retain(|column| input.has_column(column));
        self.schema = self.extended_schema()?;
        Ok(self)
    }

    fn extended_schema(&self) -> Result<DFSchemaRef> {
        let input = self.input.schema();
        let passing = input.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
        let fields = passing.chain(self.columns.fields().map(|field| (None, field))).collect();
        let schema = DFSchema::new_with_metadata(fields, input.metadata().clone())?;
        Ok(Arc::new(schema.with_functional_dependencies(input.functional_dependencies().clone())?))
    }
}

impl PartialOrd for ScoreNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = |node: &Self| (node.call.clone(), node.when.clone(), node.columns.clone(), node.unread.clone());
        key(self)
            .partial_cmp(&key(other))
            .filter(|ordering| ordering.is_ne())
            .or_else(|| self.sieve.partial_cmp(&other.sieve).filter(|ordering| ordering.is_ne()))
            .or_else(|| self.input.partial_cmp(&other.input))
            // The schema takes part in equality alone: nodes that differ in it only are not comparable.
            .filter(|ordering| ordering.is_ne() || self == other)
    }
}

impl UserDefinedLogicalNodeCore for ScoreNode {
    fn name(&self) -> &str {
        "ScoreNode"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// The arguments, then the condition. The sieve is none of them: it is over the node's output.
    fn expressions(&self) -> Vec<Expr> {
        self.call.args.iter().chain(&self.when).cloned().collect()
    }

    /// Predicates over input columns may move below the node, so that fewer rows are scored.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.columns.names().cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ScoreNode: {} AS {}", self.call, self.columns.score)?;
        if let Some(error) = &self.columns.error {
            write!(f, ", error={error}")?;
        }
        if let Some(model) = &self.call.model {
            write!(f, ", model={model}")?;
        }
        if let Some(when) = &self.when {
            write!(f, ", when={when}")?;
        }
        if let Some(sieve) = &self.sieve {
            write!(f, ", {sieve}")?;
        }
        if !self.unread.is_empty() {
            write!(f, ", unread=[{}]", self.unread.iter().map(Column::flat_name).collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let invalid =
            |reason: &str| PlannerError::InvalidNode { family: self.call.family.clone(), reason: reason.into() };
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return Err(invalid("it takes exactly one input").into());
        };
        if exprs.len() != self.call.args.len() + usize::from(self.when.is_some()) {
            return Err(invalid("it was given another number of expressions than it has").into());
        }
        // Rules that rewrite expressions keep their names by aliases, which say nothing here.
        let mut exprs: Vec<Expr> = exprs.into_iter().map(Expr::unalias).collect();
        let when = if self.when.is_some() { exprs.pop() } else { None };
        Self { input, call: self.call.with_args(exprs), when, ..self.clone() }.checked()
    }

    /// What is read above passes through, and what the call reads is read here: the scan reads no other column.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let passing = schema.fields().len();
        let mut necessary: Vec<usize> = output_columns
            .iter()
            .copied()
            .filter(|&index| index < passing)
            .chain(self.columns_read().filter_map(|column| schema.maybe_index_of_column(column)))
            .collect();
        necessary.sort_unstable();
        necessary.dedup();
        Some(vec![necessary])
    }

    /// One row out for one row in, in order.
    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::{LogicalPlanBuilder, col, lit, table_scan};

    use super::*;

    fn scan() -> LogicalPlan {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("width", DataType::Int32, false),
            Field::new("image", DataType::Binary, true),
            Field::new("text", DataType::Utf8, true),
        ]);
        table_scan(Some("t"), &schema, None).unwrap().build().unwrap()
    }

    fn call(args: Vec<Expr>) -> ModelCall<Expr> {
        ModelCall { family: "unifilter".into(), model: Some("m".into()), args }
    }

    fn columns(score: &str) -> ScoreColumns {
        ScoreColumns { score: score.into(), error: Some("__e".into()) }
    }

    fn node() -> ScoreNode {
        ScoreNode::try_new(scan(), call(vec![col("t.image"), col("t.text")]), columns("__q")).unwrap()
    }

    fn names(node: &ScoreNode) -> Vec<String> {
        UserDefinedLogicalNodeCore::schema(node).columns().iter().map(Column::flat_name).collect()
    }

    #[test]
    fn the_new_columns_stand_last_and_are_nullable() {
        let schema = Arc::clone(UserDefinedLogicalNodeCore::schema(&node()));
        let last: Vec<_> =
            schema.fields().iter().skip(4).map(|f| (f.name().as_str(), f.data_type(), f.is_nullable())).collect();
        assert_eq!(last, [("__q", &DataType::Float32, true), ("__e", &DataType::Utf8, true)]);
        assert_eq!(schema.qualified_field(4).0, None);
    }

    #[test]
    fn children_are_asked_for_what_is_read_above_and_what_the_call_reads() {
        assert_eq!(node().necessary_children_exprs(&[1, 4, 5]), Some(vec![vec![1, 2, 3]]));
        assert_eq!(node().necessary_children_exprs(&[]), Some(vec![vec![2, 3]]));
        let guarded = node().with_when(Some(col("t.width").gt(lit(5)))).unwrap();
        assert_eq!(guarded.necessary_children_exprs(&[]), Some(vec![vec![1, 2, 3]]));
    }

    #[test]
    fn unread_columns_keep_their_places() {
        let node = node().with_unread(vec![Column::from("t.image")]);
        assert_eq!(names(&node), ["t.id", "t.width", "t.image", "t.text", "__q", "__e"]);
        assert_eq!(node.unread_indices(), [2]);
    }

    #[test]
    fn a_column_that_the_input_has_lost_is_not_unread() {
        let node = node().with_unread(vec![Column::from("t.width"), Column::from("t.image")]);
        let narrow =
            LogicalPlanBuilder::from(scan()).project([col("t.image"), col("t.text")]).unwrap().build().unwrap();
        assert_eq!(node.with_input(narrow).unwrap().unread(), [Column::from("t.image")]);
    }

    #[test]
    fn only_predicates_over_the_new_columns_stay_above() {
        assert_eq!(node().prevent_predicate_push_down_columns(), HashSet::from(["__q".into(), "__e".into()]));
    }

    #[test]
    fn a_rebuilt_node_is_equal_and_a_changed_one_is_not() {
        let node = node().with_when(Some(col("t.width").gt(lit(5)))).unwrap();
        let same = node.with_exprs_and_inputs(node.expressions(), vec![scan()]).unwrap();
        assert_eq!(same, node);
        assert_eq!(same.partial_cmp(&node), Some(Ordering::Equal));
        let exprs = vec![col("t.image"), lit("x"), col("t.width").gt(lit(5))];
        let other = node.with_exprs_and_inputs(exprs, vec![scan()]).unwrap();
        assert_ne!(other, node);
        assert_ne!(other.partial_cmp(&node), Some(Ordering::Equal));
        assert_eq!(node.without_error().unwrap().columns().error, None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |args: Vec<Expr>, score: &str| {
            ScoreNode::try_new(scan(), call(args), columns(score)).unwrap_err().to_string()
        };
        assert!(refused(vec![], "__q").contains("no arguments"));
        assert!(refused(vec![col("t.picture")], "__q").contains("no column t.picture"));
        assert!(refused(vec![col("t.image")], "width").contains("already has a column width"));
        let two = node().with_exprs_and_inputs(node().expressions(), vec![scan(), scan()]).unwrap_err().to_string();
        assert!(two.contains("exactly one input"), "{two}");
        let three = node().with_exprs_and_inputs(vec![col("t.image")], vec![scan()]).unwrap_err().to_string();
        assert!(three.contains("another number of expressions"), "{three}");
    }

    #[test]
    fn explain_shows_every_field() {
        let node = node()
            .with_when(Some(col("t.width").gt(lit(5))))
            .unwrap()
            .with_unread(vec![Column::from("t.image")])
            .with_sieve(Some(Sieve { predicate: col("__q").gt(lit(2)), enough: 10, ends: true }));
        let text = node.into_plan().display_indent().to_string();
        let expected = "ScoreNode: unifilter(t.image, t.text) AS __q, error=__e, model=m, when=t.width > Int32(5), \
                        enough=10 where __q > Int32(2), unread=[t.image]";
        assert!(text.starts_with(expected), "{text}");
    }
}
