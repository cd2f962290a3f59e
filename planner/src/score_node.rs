//! The logical node that scores rows with a model.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::PlannerError;

/// Appends a model's score, and on demand the reason why there is none, to every row of its input.
///
/// Input columns pass through unchanged and in order; the new columns stand last and have no qualifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScoreNode {
    input: LogicalPlan,
    family: String,
    model: Option<String>,
    args: Vec<Expr>,
    score: String,
    error: Option<String>,
    schema: DFSchemaRef,
}

impl ScoreNode {
    /// A node that scores the rows of `input` with a model of `family` (`model`: its name, else the session's default)
    /// over `args`, into a Float32 column `score` and, if wanted, a Utf8 column `error`.
    pub fn try_new(
        input: LogicalPlan,
        family: impl Into<String>,
        model: Option<String>,
        args: Vec<Expr>,
        score: impl Into<String>,
        error: Option<String>,
    ) -> Result<Self> {
        let (family, score) = (family.into(), score.into());
        let invalid = |reason: String| PlannerError::InvalidNode { family: family.clone(), reason };
        if args.is_empty() {
            return Err(invalid("it has no arguments".into()).into());
        }
        for column in args.iter().flat_map(Expr::column_refs) {
            if !input.schema().has_column(column) {
                return Err(invalid(format!("its input has no column {column}")).into());
            }
        }
        for name in [Some(&score), error.as_ref()].into_iter().flatten() {
            if input.schema().has_column_with_unqualified_name(name) {
                return Err(invalid(format!("its input already has a column {name}")).into());
            }
        }
        let schema = extended_schema(input.schema(), &score, error.as_deref())?;
        Ok(Self { input, family, model, args, score, error, schema })
    }

    /// The plan whose rows are scored.
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// The model family, such as `unifilter`.
    pub fn family(&self) -> &str {
        &self.family
    }

    /// The model's name; `None` for the session's default.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The image and text arguments.
    pub fn args(&self) -> &[Expr] {
        &self.args
    }

    /// The name of the score column.
    pub fn score(&self) -> &str {
        &self.score
    }

    /// The name of the error column, if there is one.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The same node without its error column.
    pub fn without_error(self) -> Result<Self> {
        Self::try_new(self.input, self.family, self.model, self.args, self.score, None)
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
}

/// The fields that a score node adds to its input's.
pub(crate) fn score_fields(score: &str, error: Option<&str>) -> impl Iterator<Item = FieldRef> {
    let score = Arc::new(Field::new(score, DataType::Float32, true));
    let error = error.map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
    std::iter::once(score).chain(error)
}

fn extended_schema(input: &DFSchema, score: &str, error: Option<&str>) -> Result<DFSchemaRef> {
    let fields = input
        .iter()
        .map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)))
        .chain(score_fields(score, error).map(|field| (None, field)))
        .collect();
    let schema = DFSchema::new_with_metadata(fields, input.metadata().clone())?
        .with_functional_dependencies(input.functional_dependencies().clone())?;
    Ok(Arc::new(schema))
}

impl PartialOrd for ScoreNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = |node: &Self| (node.family.clone(), node.model.clone(), node.score.clone(), node.error.clone());
        key(self)
            .partial_cmp(&key(other))
            .filter(|ordering| ordering.is_ne())
            .or_else(|| self.args.partial_cmp(&other.args).filter(|ordering| ordering.is_ne()))
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

    fn expressions(&self) -> Vec<Expr> {
        self.args.clone()
    }

    /// Predicates over input columns may move below the node, so that fewer rows are scored.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        [Some(&self.score), self.error.as_ref()].into_iter().flatten().cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let args = self.args.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "ScoreNode: {}({args}) AS {}", self.family, self.score)?;
        if let Some(error) = &self.error {
            write!(f, ", error={error}")?;
        }
        if let Some(model) = &self.model {
            write!(f, ", model={model}")?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            let (family, reason) = (self.family.clone(), "it takes exactly one input".into());
            return Err(PlannerError::InvalidNode { family, reason }.into());
        };
        Self::try_new(input, &self.family, self.model.clone(), exprs, &self.score, self.error.clone())
    }

    /// What is read above passes through, and the arguments are read here: the scan reads no other column.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let arguments = self.args.iter().flat_map(Expr::column_refs);
        let mut necessary: Vec<usize> = output_columns
            .iter()
            .copied()
            .filter(|index| *index < schema.fields().len())
            .chain(arguments.filter_map(|column| schema.maybe_index_of_column(column)))
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
    use arrow::datatypes::Schema;
    use datafusion::logical_expr::{col, lit, table_scan};

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

    fn node() -> ScoreNode {
        let args = vec![col("t.image"), col("t.text")];
        ScoreNode::try_new(scan(), "unifilter", Some("m".into()), args, "__q", Some("__e".into())).unwrap()
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
    fn children_are_asked_for_what_is_read_above_and_the_arguments() {
        assert_eq!(node().necessary_children_exprs(&[1, 4, 5]), Some(vec![vec![1, 2, 3]]));
        assert_eq!(node().necessary_children_exprs(&[]), Some(vec![vec![2, 3]]));
    }

    #[test]
    fn only_predicates_over_the_new_columns_stay_above() {
        assert_eq!(node().prevent_predicate_push_down_columns(), HashSet::from(["__q".into(), "__e".into()]));
    }

    #[test]
    fn a_rebuilt_node_is_equal_and_a_changed_one_is_not() {
        let same = node().with_exprs_and_inputs(node().expressions(), vec![scan()]).unwrap();
        assert_eq!(same, node());
        assert_eq!(same.partial_cmp(&node()), Some(Ordering::Equal));
        let other = node().with_exprs_and_inputs(vec![col("t.image"), lit("x")], vec![scan()]).unwrap();
        assert_ne!(other, node());
        assert_ne!(other.partial_cmp(&node()), Some(Ordering::Equal));
        assert_eq!(node().without_error().unwrap().error(), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |args: Vec<Expr>, score: &str| {
            ScoreNode::try_new(scan(), "unifilter", None, args, score, None).unwrap_err().to_string()
        };
        assert!(refused(vec![], "__q").contains("no arguments"));
        assert!(refused(vec![col("t.picture")], "__q").contains("no column t.picture"));
        assert!(refused(vec![col("t.image")], "width").contains("already has a column width"));
        let two = node().with_exprs_and_inputs(node().expressions(), vec![scan(), scan()]).unwrap_err().to_string();
        assert!(two.contains("exactly one input"), "{two}");
    }

    #[test]
    fn explain_shows_every_field() {
        let text = node().into_plan().display_indent().to_string();
        assert!(text.starts_with("ScoreNode: unifilter(t.image, t.text) AS __q, error=__e, model=m"), "{text}");
    }
}
