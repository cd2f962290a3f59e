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
