//! The figures of one column of scores, by name.

use serde::Serialize;
use serde::ser::Serializer;

use crate::classes::{Confusion, mean_squared_error};
use crate::counts::Counts;
use crate::ranks::{kendall, spearman};
use crate::roc::{Sides, area};

/// A number that says how well scores agree with labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// The share of rows whose rounded score is their label.
    Accuracy,
    /// Precision, the mean over labels.
    Precision,
    /// Recall, the mean over labels.
    Recall,
    /// F1, the mean over labels.
    F1,
    /// The mean squared error of the score as an estimate of the label.
    Mse,
    /// Spearman's rank correlation.
    Spearman,
    /// Kendall's tau-b.
    Kendall,
    /// The area under the ROC curve of label 3 against all others.
    Auc3VsRest,
    /// The area under the ROC curve of label 3 against label 0.
    Auc3Vs0,
}

impl Figure {
    /// All figures, in the order in which they are reported.
    pub const ALL: [Self; 9] = [
        Self::Accuracy,
        Self::Precision,
        Self::Recall,
        Self::F1,
        Self::Mse,
        Self::Spearman,
        Self::Kendall,
        Self::Auc3VsRest,
        Self::Auc3Vs0,
    ];

    /// The name in JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::F1 => "f1",
            Self::Mse => "mse",
            Self::Spearman => "spearman",
            Self::Kendall => "kendall",
            Self::Auc3VsRest => "auc_3_vs_rest",
            Self::Auc3Vs0 => "auc_3_vs_0",
        }
    }

    /// The name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Precision => "macro precision",
            Self::Recall => "macro recall",
            Self::F1 => "macro F1",
            Self::Mse => "mean squared error",
            Self::Spearman => "Spearman's rho",
            Self::Kendall => "Kendall's tau-b",
            Self::Auc3VsRest => "AUC, 3 against the rest",
            Self::Auc3Vs0 => "AUC, 3 against 0",
        }
    }
}

/// A value of each figure; none where it is not defined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures([Option<f64>; Figure::ALL.len()]);

impl Figures {
    /// The figures of rows.
    pub fn of(counts: Counts<'_>) -> Self {
        let confusion = Confusion::of(counts);
        let averages = confusion.averages();
        Self(Figure::ALL.map(|figure| match figure {
            Figure::Accuracy => confusion.accuracy(),
            Figure::Precision => averages.map(|averages| averages.precision),
            Figure::Recall => averages.map(|averages| averages.recall),
            Figure::F1 => averages.map(|averages| averages.f1),
            Figure::Mse => mean_squared_error(counts),
            Figure::Spearman => spearman(counts),
            Figure::Kendall => kendall(counts),
            Figure::Auc3VsRest => area(counts, Sides::BestAndRest),
            Figure::Auc3Vs0 => area(counts, Sides::BestAndWorst),
        }))
    }

    /// The value of one figure.
    pub fn get(&self, figure: Figure) -> Option<f64> {
        self.0[figure as usize]
    }

    /// How much more a figure is here than there, if both have it.
    pub(crate) fn more(&self, than: &Self, figure: Figure) -> Option<f64> {
        Some(self.get(figure)? - than.get(figure)?)
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Figure::ALL.map(|figure| (figure.key(), self.get(figure))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Sample;

    #[test]
    fn each_figure_has_its_place_and_name() {
        for (place, figure) in Figure::ALL.into_iter().enumerate() {
            assert_eq!(figure as usize, place);
        }
        let figures = Figures::of(Sample::new(&[(0.4, 0), (2.9, 3)]).counts());
        let json = serde_json::to_value(figures).unwrap();
        assert_eq!((json["accuracy"].as_f64(), json["auc_3_vs_0"].as_f64()), (Some(1.0), Some(1.0)));
        assert!((json["mse"].as_f64().unwrap() - 0.085).abs() < 1e-12);
    }

    #[test]
    fn figures_that_are_not_defined_are_null() {
        let json = serde_json::to_value(Figures::of(Sample::new(&[(1.0, 1)]).counts())).unwrap();
        assert_eq!(json["accuracy"], 1.0);
        for key in ["spearman", "kendall", "auc_3_vs_rest", "auc_3_vs_0"] {
            assert!(json[key].is_null(), "{key}");
        }
    }
}
