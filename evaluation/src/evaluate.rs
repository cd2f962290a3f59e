//! From a table to a report.

use std::cmp::Ordering;

use crate::bootstrap::Bootstrap;
use crate::calibration::Calibration;
use crate::counts::Sample;
use crate::curve;
use crate::error::EvaluationError;
use crate::report::{Evaluation, Group, Report, Summary};
use crate::roc::{self, Sides};
use crate::summaries::{sample, summaries};
use crate::table::Table;

/// Evaluates each column of scores, over all rows and over those of each group.
pub fn evaluate(table: &Table, bootstrap: Bootstrap) -> Result<Report, EvaluationError> {
    let rows = table.labels.len();
    if rows == 0 {
        return Err(EvaluationError::NoRows { unlabelled: table.unlabelled });
    }
    if rows > Sample::MOST_ROWS {
        return Err(EvaluationError::TooManyRows { rows });
    }
    if let Some(column) = table.columns.iter().find(|column| column.scores.iter().all(|score| !score.is_finite())) {
        return Err(EvaluationError::NoScores { column: column.name.clone(), rows });
    }
    let by = table.groups.as_ref().map(|groups| groups.by.clone());
    let columns = table.columns.iter().map(|column| column.name.clone()).zip(evaluations(table, bootstrap));
    Ok(Report { columns: columns.collect(), bootstrap, by })
}

/// The evaluation of each column.
fn evaluations(table: &Table, bootstrap: Bootstrap) -> Vec<Evaluation> {
    let all = ordered(table);
    let groups = members(table, &all).map(|groups| {
        let groups = groups.iter().map(|(name, rows)| (*name, summaries(table, rows, bootstrap)));
        groups.collect::<Vec<_>>()
    });
    let summaries = summaries(table, &all, bootstrap).into_iter().enumerate();
    let evaluation = |(place, summary): (usize, Summary)| {
        let sample = sample(table, &all, &[&table.columns[place]]);
        let counts = sample.counts();
        let group = |(name, summaries): &(&str, Vec<Summary>)| Group {
            name: (*name).to_string(),
            summary: summaries[place].clone(),
        };
        Evaluation {
            all: summary,
            unlabelled: table.unlabelled,
            bootstrap,
            calibration: Calibration::of(counts).bins,
            curve: curve::curve(counts),
            roc_3_vs_rest: roc::curve(counts, Sides::BestAndRest),
            groups: groups.as_ref().map(|groups| groups.iter().map(group).collect()),
        }
    };
    summaries.map(evaluation).collect()
}

/// All rows, in an order that follows from their labels and scores: resamples draw rows by their place, and are to be the same
/// in whatever order the rows were read.
fn ordered(table: &Table) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..table.labels.len()).collect();
    rows.sort_unstable_by(|&a, &b| {
        let scores = table.columns.iter().map(|column| column.scores[a].total_cmp(&column.scores[b]));
        scores.fold(table.labels[a].cmp(&table.labels[b]), Ordering::then)
    });
    rows
}

/// Those of the rows that are in each group, by the groups' names: numbers by their size, then texts.
fn members<'a>(table: &'a Table, rows: &[usize]) -> Option<Vec<(&'a str, Vec<usize>)>> {
    let groups = table.groups.as_ref()?;
    let mut members: Vec<_> = groups.names.iter().map(|name| (name.as_str(), vec![])).collect();
    for &row in rows {
        members[groups.of[row] as usize].1.push(row);
    }
    members.sort_by(|(a, _), (b, _)| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(x), Ok(y)) => x.total_cmp(&y).then_with(|| a.cmp(b)),
        (x, y) => x.is_err().cmp(&y.is_err()).then_with(|| a.cmp(b)),
    });
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figure;
    use crate::table::{Column, Groups};

    const NONE: f64 = f64::NAN;

    fn column(name: &str, scores: &[f64]) -> Column {
        Column { name: name.into(), scores: scores.to_vec() }
    }

    fn table() -> Table {
        Table {
            labels: vec![0, 1, 2, 3, 3, 0],
            columns: vec![
                column("a", &[0.1, 1.2, NONE, 2.9, 3.0, 0.0]),
                column("b", &[0.1, 2.2, 2.0, f64::INFINITY, 2.0, 0.2]),
            ],
            groups: Some(Groups { by: "kind".into(), names: vec!["x".into(), "y".into()], of: vec![0, 0, 0, 1, 1, 1] }),
            unlabelled: 4,
        }
    }

    #[test]
    fn rows_without_a_score_are_counted_and_left_out() {
        let report = evaluate(&table(), Bootstrap::default()).unwrap();
        let [(_, a), (_, b)] = report.columns.as_slice() else { panic!("two columns") };
        assert_eq!((a.all.rows, a.all.unscored, a.unlabelled), (5, 1, 4));
        assert_eq!(a.all.figures.get(Figure::Accuracy), Some(1.0));
        assert_eq!((b.all.rows, b.all.unscored), (5, 1));
        assert_eq!(b.all.figures.get(Figure::Accuracy), Some(0.6));
        assert_eq!(a.all.difference, None);
    }

    #[test]
    fn columns_are_compared_over_the_rows_that_both_have() {
        let report = evaluate(&table(), Bootstrap::default()).unwrap();
        let difference = report.columns[1].1.all.difference.clone().unwrap();
        assert_eq!((difference.to.as_str(), difference.rows), ("a", 4));
        let accuracy = difference.figures.get(Figure::Accuracy);
        assert_eq!(accuracy.value, Some(-0.5));
        assert!(accuracy.interval.is_some_and(|i| i.low <= -0.5 && i.high >= -0.5), "{accuracy:?}");
    }

    #[test]
    fn groups_have_figures_of_their_own() {
        let report = evaluate(&table(), Bootstrap { resamples: 0, seed: 0 }).unwrap();
        assert_eq!(report.by.as_deref(), Some("kind"));
        let groups = report.columns[0].1.groups.clone().unwrap();
        assert_eq!(groups.iter().map(|g| (g.name.as_str(), g.summary.rows)).collect::<Vec<_>>(), [("x", 2), ("y", 3)]);
        assert_eq!(groups[0].summary.figures.get(Figure::Auc3VsRest), None, "no label 3 in it");
        assert_eq!(groups[1].summary.figures.get(Figure::Auc3VsRest), Some(1.0));
        assert_eq!((groups[0].summary.unscored, &groups[0].summary.intervals), (1, &None));
    }

    #[test]
    fn the_order_of_rows_decides_nothing() {
        let table = table();
        let reversed = Table {
            labels: table.labels.iter().rev().copied().collect(),
            columns: table
                .columns
                .iter()
                .map(|c| column(&c.name, &c.scores.iter().rev().copied().collect::<Vec<_>>()))
                .collect(),
            groups: Some(Groups { by: "kind".into(), names: vec!["y".into(), "x".into()], of: vec![0, 0, 0, 1, 1, 1] }),
            unlabelled: 4,
        };
        let report = |table| evaluate(table, Bootstrap::default()).unwrap();
        assert_eq!(report(&table), report(&reversed));
    }

    #[test]
    fn groups_stand_in_order() {
        let names = ["b", "10", "NULL", "9.5", "a", "-1"].map(String::from).to_vec();
        let groups = Groups { by: "kind".into(), names, of: (0..6).collect() };
        let table = Table { labels: vec![0; 6], groups: Some(groups), ..Table::default() };
        let members = members(&table, &ordered(&table)).unwrap();
        assert_eq!(members.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["-1", "9.5", "10", "NULL", "a", "b"]);
    }

    #[test]
    fn nothing_to_evaluate_is_an_error_that_says_why() {
        let error = |table: &Table| evaluate(table, Bootstrap::default()).unwrap_err().to_string();
        assert_eq!(error(&Table::default()), "no rows to evaluate: the data has no rows");
        let unlabelled = Table { unlabelled: 9, ..Table::default() };
        assert_eq!(error(&unlabelled), "no rows to evaluate: none of the 9 rows has a label");
        let unscored = Table { labels: vec![1, 2], columns: vec![column("a", &[NONE; 2])], ..Table::default() };
        assert_eq!(error(&unscored), "a: none of the 2 labelled rows has a score");
    }

    #[test]
    fn the_json_is_keyed_by_column_with_flat_figures() {
        let json = serde_json::to_value(evaluate(&table(), Bootstrap::default()).unwrap()).unwrap();
        let keys = "n unscored unlabelled accuracy precision recall f1 mse spearman kendall auc_3_vs_rest auc_3_vs_0 \
                    calibration_error confusion intervals calibration curve roc_3_vs_rest bootstrap groups";
        for column in ["a", "b"] {
            for key in keys.split_whitespace() {
                assert!(json[column].get(key).is_some(), "{column}: {key}");
            }
        }
        assert_eq!(json["a"]["confusion"][0][0], 2);
        assert_eq!(json["a"]["groups"]["y"]["n"], 3);
        assert!(json["a"]["groups"]["x"]["auc_3_vs_0"].is_null());
        assert_eq!(json["a"]["bootstrap"]["resamples"], 1000);
        assert_eq!(json["a"]["intervals"]["accuracy"]["high"], 1.0);
        assert!(json["a"].get("difference").is_none());
        assert_eq!(json["b"]["difference"]["to"], "a");
        assert_eq!(json["b"]["difference"]["accuracy"]["value"], -0.5);
    }
}
