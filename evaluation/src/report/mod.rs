//! What an evaluation found.

mod markdown;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::bootstrap::{Bootstrap, ByFigure, Difference, Interval};
use crate::calibration::Bin;
use crate::classes::Confusion;
use crate::curve::Kept;
use crate::figures::Figures;
use crate::roc::Rates;

/// The evaluations of all columns of scores. As JSON: an object by column.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The columns' names and evaluations. The others are compared with the first.
    pub columns: Vec<(String, Evaluation)>,
    /// How the intervals were made.
    pub bootstrap: Bootstrap,
    /// What the groups differ in, if there are groups.
    pub by: Option<String>,
}

/// The evaluation of one column of scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Of all rows.
    #[serde(flatten)]
    pub all: Summary,
    /// How many rows were left out, as they have no label.
    pub unlabelled: u64,
    /// How the intervals were made.
    pub bootstrap: Bootstrap,
    /// Scores against labels, bin by bin.
    pub calibration: Vec<Bin>,
    /// What thresholds keep.
    pub curve: Vec<Kept>,
    /// The ROC curve of label 3 against all others.
    pub roc_3_vs_rest: Vec<Rates>,
    /// The same of the rows of each group.
    #[serde(serialize_with = "by_name", skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<Group>>,
}

/// The figures of some rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// How many rows have a label and a score; the figures are of these.
    #[serde(rename = "n")]
    pub rows: u64,
    /// How many rows have a label and no score.
    pub unscored: u64,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// The expected calibration error.
    pub calibration_error: Option<f64>,
    /// Labels (rows) and predictions (columns).
    pub confusion: Confusion,
    /// The figures' intervals, if there are resamples.
    pub intervals: Option<ByFigure<Option<Interval>>>,
    /// The figures less those of the first column; of all columns but the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Comparison>,
}

/// A column compared with the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The first column's name.
    pub to: String,
    /// How many rows have a score in both; the differences are of these.
    #[serde(rename = "n")]
    pub rows: u64,
    /// The difference of each figure.
    #[serde(flatten)]
    pub figures: ByFigure<Difference>,
}

/// The figures of the rows of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The group's name.
    pub name: String,
    /// Its figures.
    pub summary: Summary,
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.columns.iter().map(|(name, evaluation)| (name, evaluation)))
    }
}

fn by_name<S: Serializer>(groups: &Option<Vec<Group>>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for group in groups.iter().flatten() {
        map.serialize_entry(&group.name, &group.summary)?;
    }
    map.end()
}
