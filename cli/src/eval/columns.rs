//! Which columns of the data hold what, and what makes scores of them.

use datafusion::common::Column;
use datafusion::dataframe::DataFrame;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::SessionContext;

use super::args::EvalArgs;
use super::error::EvalError;
use crate::error::CommandError;

/// The name of the default model, and of the function that runs models.
const UNIFILTER: &str = "unifilter";

/// The column that is evaluated where none is named.
const SCORE: &str = "score";

/// The columns that hold labels where none is named.
const LABELS: [&str; 2] = ["level", "label"];

/// The columns that a model scores: of pairs, and of documents.
const SAMPLES: [[&str; 2]; 2] = [["image", "text"], ["images", "texts"]];

/// What is read of each row.
#[derive(Debug)]
pub(super) struct Columns {
    /// The column of labels.
    pub(super) label: String,
    /// The column of groups.
    pub(super) by: Option<String>,
    /// What is evaluated, by name.
    pub(super) scores: Vec<(String, Expr)>,
    /// Whether scores are models' work.
    pub(super) has_model: bool,
}

impl Columns {
    /// Finds the columns that the arguments name, and those that they leave to be found.
    pub(super) fn find(args: &EvalArgs, data: &DataFrame, context: &SessionContext) -> Result<Self, CommandError> {
        let fields = data.schema().fields();
        let known: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        let has = |column: &str| known.contains(&column);
        let missing =
            |column: &str, wanted| EvalError::NoColumn { column: column.to_string(), wanted, known: known.join(", ") };
        let label = match &args.label {
            Some(label) => label.as_str(),
            None => LABELS
                .into_iter()
                .find(|label| has(label))
                .ok_or_else(|| missing(LABELS[0], " and none named label: --label names the column of labels"))?,
        };
        for column in args.score.iter().map(String::as_str).chain([label]).chain(args.by.as_deref()) {
            if !has(column) {
                return Err(missing(column, "").into());
            }
        }
        let mut scores: Vec<_> = args.score.iter().map(|column| (column.clone(), named(column))).collect();
        let mut models: Vec<&str> = args.session.models().collect();
        if scores.is_empty() && models.is_empty() {
            match has(SCORE) {
                true => scores.push((SCORE.to_string(), named(SCORE))),
                false => models.push(UNIFILTER),
            }
        }
        let has_model = !models.is_empty();
        if has_model {
            let sample = SAMPLES.into_iter().find(|columns| columns.iter().all(|column| has(column)));
            let sample = sample.ok_or_else(|| {
                missing(
                    "image, or no text",
                    ": models score image and text, or images and texts; name columns so in a query, or name a column of \
                     scores with --score",
                )
            })?;
            for model in models {
                scores.push((model.to_string(), call(context, sample, model)?));
            }
        }
        for (place, (name, _)) in scores.iter().enumerate() {
            if scores[..place].iter().any(|(other, _)| other == name) {
                return Err(EvalError::SameName { name: name.clone() }.into());
            }
        }
        Ok(Self { label: label.to_string(), by: args.by.clone(), scores, has_model })
    }

    /// The same, without anything to evaluate.
    pub(super) fn without_scores(&self) -> Self {
        Self { label: self.label.clone(), by: self.by.clone(), scores: vec![], has_model: false }
    }
}

/// A column, its name as it is written.
pub(super) fn named(column: &str) -> Expr {
    Expr::Column(Column::new_unqualified(column))
}

/// The call of a model.
fn call(context: &SessionContext, sample: [&str; 2], model: &str) -> Result<Expr, CommandError> {
    let function = context.udf(UNIFILTER)?;
    let mut arguments: Vec<Expr> = sample.map(named).to_vec();
    // The default model's place is an option of its own, and no name.
    if model != UNIFILTER {
        arguments.push(lit(model));
    }
    Ok(function.call(arguments))
}
