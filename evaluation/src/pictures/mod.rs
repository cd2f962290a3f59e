//! A report as pictures: SVG files.

mod confusion;
mod lines;

use crate::error::EvaluationError;
use crate::report::Report;
use lines::{Chart, Corner, Line};

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// What it shows.
    pub title: &'static str,
    /// The name of its file.
    pub file: &'static str,
    /// The file: an SVG document.
    pub svg: String,
}

/// All pictures of a report.
pub fn draw(report: &Report) -> Result<Vec<Picture>, EvaluationError> {
    Ok(vec![
        Picture { title: "Calibration", file: "calibration.svg", svg: calibration(report).draw("calibration.svg")? },
        Picture { title: "Kept share and purity", file: "kept.svg", svg: kept(report).draw("kept.svg")? },
        Picture { title: "ROC, label 3 against the rest", file: "roc.svg", svg: roc(report).draw("roc.svg")? },
        Picture { title: "Confusion", file: "confusion.svg", svg: confusion::draw(report, "confusion.svg")? },
    ])
}

fn calibration(report: &Report) -> Chart {
    let lines = report.columns.iter().enumerate().map(|(colour, (name, evaluation))| {
        let points = evaluation.calibration.iter().filter_map(|bin| Some((bin.mean_score?, bin.mean_label?)));
        Line { name: name.clone(), colour, is_faint: false, has_points: true, points: points.collect() }
    });
    let lines: Vec<Line> = lines.collect();
    let scores = || lines.iter().flat_map(|line| &line.points).map(|point| point.0);
    Chart {
        title: "Mean label by score",
        x: ("mean score", scores().fold(0.0, f64::min)..scores().fold(3.0, f64::max)),
        y: ("mean label", 0.0..3.0),
        diagonal: Some(3.0),
        legend: Corner::UpperLeft,
        lines,
    }
}

fn kept(report: &Report) -> Chart {
    let lines = report.columns.iter().enumerate().flat_map(|(colour, (name, evaluation))| {
        let line = |labels: &str, is_faint, purity: fn(&crate::Kept) -> f64| Line {
            name: format!("{name}: {labels}"),
            colour,
            is_faint,
            has_points: false,
            points: evaluation.curve.iter().map(|point| (point.kept, purity(point))).collect(),
        };
        [line("label 2 or 3", false, |point| point.purity), line("label 3", true, |point| point.purity_3)]
    });
    Chart {
        title: "Purity by kept share",
        x: ("share of rows that is kept", 0.0..1.0),
        y: ("purity of the kept rows", 0.0..1.0),
        diagonal: None,
        legend: Corner::LowerLeft,
        lines: lines.collect(),
    }
}

fn roc(report: &Report) -> Chart {
    let lines = report.columns.iter().enumerate().map(|(colour, (name, evaluation))| {
        let points = evaluation.roc_3_vs_rest.iter().map(|point| (point.false_positives, point.true_positives));
        let begin = (!evaluation.roc_3_vs_rest.is_empty()).then_some((0.0, 0.0));
        let points = begin.into_iter().chain(points).collect();
        Line { name: name.clone(), colour, is_faint: false, has_points: false, points }
    });
    Chart {
        title: "ROC, label 3 against the rest",
        x: ("share of other rows that is kept", 0.0..1.0),
        y: ("share of label 3 that is kept", 0.0..1.0),
        diagonal: Some(1.0),
        legend: Corner::LowerRight,
        lines: lines.collect(),
    }
}

/// A name as it may stand in a picture: short, and without what XML cannot hold.
fn shown(name: &str) -> String {
    const MOST: usize = 40;
    let mut shown: String = name.chars().map(|c| if is_text(c) { c } else { ' ' }).take(MOST).collect();
    if name.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

fn is_text(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::*;
    use crate::bootstrap::Bootstrap;
    use crate::evaluate::evaluate;
    use crate::table::{Column, Table};

    /// The names of the elements of an XML document, which has to be well-formed.
    fn elements(xml: &str) -> Vec<String> {
        let mut reader = Reader::from_str(xml);
        let mut names = vec![];
        loop {
            match reader.read_event().unwrap() {
                Event::Start(element) | Event::Empty(element) => {
                    for attribute in element.attributes() {
                        attribute.unwrap();
                    }
                    names.push(String::from_utf8(element.name().as_ref().to_vec()).unwrap());
                }
                Event::Eof => return names,
                _ => {}
            }
        }
    }

    fn pictures(columns: &[(&str, Vec<f64>)]) -> Vec<Picture> {
        let column = |(name, scores): &(&str, Vec<f64>)| Column { name: (*name).into(), scores: scores.clone() };
        let columns: Vec<_> = columns.iter().map(column).collect();
        let labels = (0..columns[0].scores.len()).map(|row| (row % 4) as u8).collect();
        let table = Table { labels, columns, ..Table::default() };
        draw(&evaluate(&table, Bootstrap { resamples: 0, seed: 0 }).unwrap()).unwrap()
    }

    #[test]
    fn every_picture_is_a_document_with_a_line_for_each_column() {
        let scores: Vec<f64> = (0..40).map(|row| f64::from(row % 4) + f64::from(row) / 30.0).collect();
        let reversed = scores.iter().map(|score| 3.0 - score).collect();
        let all = pictures(&[("<a> & \"b\"\u{7}", scores), ("c", reversed)]);
        assert_eq!(all.len(), 4);
        for picture in &all {
            let names = elements(&picture.svg);
            assert_eq!(names[0], "svg", "{}", picture.file);
            let lines = names.iter().filter(|name| *name == "polyline").count();
            assert!(lines >= 2 || picture.file == "confusion.svg", "{}: {lines} lines", picture.file);
            assert!(picture.svg.contains("&lt;a&gt; &amp; &quot;b&quot; "), "{}", picture.file);
        }
    }

    #[test]
    fn what_is_not_defined_is_not_drawn() {
        for picture in pictures(&[("one row", vec![2.0])]) {
            assert_eq!(elements(&picture.svg)[0], "svg", "{}", picture.file);
        }
        for picture in pictures(&[("far away", vec![1e300, -1e300, 0.0, 1e-300])]) {
            assert_eq!(elements(&picture.svg)[0], "svg", "{}", picture.file);
        }
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(shown(&"x".repeat(50)).chars().count(), 41);
        assert_eq!(shown("a\nb"), "a b");
    }
}
