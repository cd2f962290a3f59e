//! A report for people.

use std::fmt::Display;

use crate::bootstrap::{Difference, Interval};
use crate::calibration::Bin;
use crate::counts::LEVELS;
use crate::curve::Kept;
use crate::figures::Figure;
use crate::report::{Evaluation, Report, Summary};

/// The shares of rows at which the purity is told.
const SHARES: [f64; 12] = [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// The figures that are told of each group.
const OF_GROUPS: [Figure; 5] = [Figure::Accuracy, Figure::F1, Figure::Mse, Figure::Spearman, Figure::Auc3VsRest];

impl Report {
    /// The report as Markdown, with links to pictures that lie beside it: their titles and files.
    pub fn markdown(&self, pictures: &[(&str, &str)]) -> String {
        let mut sections = vec!["# Evaluation".to_string(), self.figures(), self.explanation()];
        sections.extend(self.differences());
        sections.extend(pictures.iter().map(|(title, file)| format!("![{title}]({file})")));
        sections.push("## Confusion\n\nRows are labels, columns predictions: the score rounded, from 0 to 3.".into());
        sections.extend(self.each(|evaluation| confusion(&evaluation.all)));
        sections.push(
            "## Kept share and purity\n\nRows whose score is at least the threshold, and the share of them that has label 2 \
             or 3, and label 3."
                .into(),
        );
        sections.extend(self.each(|evaluation| kept(&evaluation.curve)));
        sections.push("## Calibration\n\nThe mean label of rows by their score.".into());
        sections.extend(self.each(|evaluation| calibration(&evaluation.calibration)));
        sections.extend(self.groups());
        sections.join("\n\n") + "\n"
    }

    fn figures(&self) -> String {
        let names = self.columns.iter().map(|(name, _)| cell(name));
        let mut table = Table::new(["".to_string()].into_iter().chain(names));
        let mut row = |title: &str, of: &dyn Fn(&Evaluation) -> String| {
            let values = self.columns.iter().map(|(_, evaluation)| of(evaluation));
            table.row([title.to_string()].into_iter().chain(values));
        };
        row("rows", &|evaluation| evaluation.all.rows.to_string());
        row("rows without a score", &|evaluation| evaluation.all.unscored.to_string());
        row("rows without a label", &|evaluation| evaluation.unlabelled.to_string());
        for figure in Figure::ALL {
            row(figure.title(), &|evaluation| with_interval(&evaluation.all, figure));
        }
        row("expected calibration error", &|evaluation| number(evaluation.all.calibration_error));
        table.text
    }

    fn explanation(&self) -> String {
        let resamples = self.bootstrap.resamples;
        let intervals = match resamples {
            0 => String::new(),
            _ => format!(
                " In brackets: the middle 95 % of {resamples} resamples of the rows (seed {}).",
                self.bootstrap.seed
            ),
        };
        format!("Rows without a score or a label are left out. –: not defined for these rows.{intervals}")
    }

    fn differences(&self) -> Option<String> {
        let (first, _) = self.columns.first()?;
        let others: Vec<_> =
            self.columns.iter().filter_map(|(name, e)| Some((name, e.all.difference.as_ref()?))).collect();
        if others.is_empty() {
            return None;
        }
        let names = others.iter().map(|(name, _)| cell(name));
        let mut table = Table::new(["".to_string()].into_iter().chain(names));
        table.row(
            ["rows with a score in both".to_string()].into_iter().chain(others.iter().map(|(_, d)| d.rows.to_string())),
        );
        for figure in Figure::ALL {
            let values = others.iter().map(|(_, comparison)| difference(comparison.figures.get(figure)));
            table.row([figure.title().to_string()].into_iter().chain(values));
        }
        Some(format!(
            "## Difference to {}\n\n{}\n\nOver the same rows and resamples. Where the interval holds 0, the rows do not tell \
             which of the two is better.",
            cell(first),
            table.text
        ))
    }

    /// A section of each column, under its name if there are several.
    fn each(&self, of: impl Fn(&Evaluation) -> String) -> impl Iterator<Item = String> {
        self.columns.iter().map(move |(name, evaluation)| match self.columns.len() {
            1 => of(evaluation),
            _ => format!("### {}\n\n{}", cell(name), of(evaluation)),
        })
    }

    fn groups(&self) -> Option<String> {
        let by = self.by.as_ref()?;
        let heads = [cell(by), "scores".into(), "rows".into(), "without a score".into()];
        let mut table = Table::new(heads.into_iter().chain(OF_GROUPS.map(|figure| figure.title().to_string())));
        let (_, first) = self.columns.first()?;
        for (place, group) in first.groups.iter().flatten().enumerate() {
            for (name, evaluation) in &self.columns {
                let Some(summary) = evaluation.groups.as_ref().map(|groups| &groups[place].summary) else { continue };
                let counts = [summary.rows.to_string(), summary.unscored.to_string()];
                let figures = OF_GROUPS.map(|figure| with_interval(summary, figure));
                table.row([cell(&group.name), cell(name)].into_iter().chain(counts).chain(figures));
            }
        }
        Some(format!("## By {}\n\n{}", cell(by), table.text))
    }
}

/// A table that grows row by row.
struct Table {
    text: String,
}

impl Table {
    fn new(heads: impl IntoIterator<Item = String>) -> Self {
        let heads: Vec<String> = heads.into_iter().collect();
        Self { text: format!("| {} |\n|{}", heads.join(" | "), "---|".repeat(heads.len())) }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        self.text += &format!("\n| {} |", cells.join(" | "));
    }
}

fn confusion(summary: &Summary) -> String {
    let heads = (0..LEVELS).map(|level| level.to_string());
    let mut table = Table::new(["label".to_string()].into_iter().chain(heads));
    for (label, predictions) in summary.confusion.0.iter().enumerate() {
        table.row([label.to_string()].into_iter().chain(predictions.iter().map(ToString::to_string)));
    }
    table.text
}

fn kept(curve: &[Kept]) -> String {
    let mut table = Table::new(["threshold", "kept", "label 2 or 3", "label 3"].map(String::from));
    let mut points: Vec<&Kept> = SHARES.iter().filter_map(|&share| curve.iter().find(|p| p.kept >= share)).collect();
    points.dedup();
    for point in points {
        let shares = [point.kept, point.purity, point.purity_3].map(percent);
        table.row([format!("{:.4}", point.threshold)].into_iter().chain(shares));
    }
    table.text
}

fn calibration(bins: &[Bin]) -> String {
    let mut table = Table::new(["score", "rows", "mean score", "mean label"].map(String::from));
    for bin in bins {
        let range = format!("{:.2} to {:.2}", bin.from, bin.to);
        table.row([range, bin.count.to_string(), number(bin.mean_score), number(bin.mean_label)]);
    }
    table.text
}

fn with_interval(summary: &Summary, figure: Figure) -> String {
    let value = number(summary.figures.get(figure));
    match summary.intervals.as_ref().and_then(|intervals| intervals.get(figure).as_ref()) {
        Some(Interval { low, high, .. }) => format!("{value} [{low:.3}, {high:.3}]"),
        None => value,
    }
}

fn difference(difference: &Difference) -> String {
    let value = difference.value.map_or_else(|| "–".into(), |value| format!("{value:+.3}"));
    match difference.interval {
        Some(Interval { low, high, .. }) => format!("{value} [{low:+.3}, {high:+.3}]"),
        None => value,
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.3}"))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A name as it may stand in a cell or a heading.
fn cell(name: impl Display) -> String {
    name.to_string().replace('|', "\\|").replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::Bootstrap;
    use crate::evaluate::evaluate;
    use crate::table::{Column, Groups, Table as Data};

    fn report(columns: &[(&str, [f64; 4])]) -> Report {
        let column = |(name, scores): &(&str, [f64; 4])| Column { name: (*name).into(), scores: scores.to_vec() };
        let table = Data {
            labels: vec![0, 1, 2, 3],
            columns: columns.iter().map(column).collect(),
            groups: Some(Groups { by: "kind".into(), names: vec!["x\ny".into()], of: vec![0; 4] }),
            unlabelled: 0,
        };
        evaluate(&table, Bootstrap { resamples: 0, seed: 0 }).unwrap()
    }

    #[test]
    fn figures_stand_side_by_side() {
        let text = report(&[("a|b", [0.0, 1.0, 2.0, 3.0]), ("c", [2.0; 4])]).markdown(&[("ROC", "roc.svg")]);
        for line in [
            "|  | a\\|b | c |",
            "| accuracy | 1.000 | 0.250 |",
            "| Spearman's rho | 1.000 | – |",
            "## Difference to a\\|b",
            "| accuracy | -0.750 |",
            "| Spearman's rho | – |",
            "![ROC](roc.svg)",
            "### c",
            "| 2.0000 | 100.0 % | 50.0 % | 25.0 % |",
            "| x y | c | 4 | 0 | 0.250 | 0.100 | 1.500 | – | 0.500 |",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn one_column_has_no_comparison_and_no_headings_of_its_own() {
        let text = report(&[("a", [0.0, 1.0, 2.0, 3.0])]).markdown(&[]);
        assert!(!text.contains("Difference") && !text.contains("### a") && !text.contains("!["), "{text}");
        let tables = text.lines().filter(|line| line.starts_with('|'));
        assert!(tables.clone().count() > 20 && tables.clone().all(|line| line.ends_with('|')), "{text}");
    }
}
