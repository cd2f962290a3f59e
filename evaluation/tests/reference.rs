//! Figures against those of scikit-learn, SciPy and NumPy: `reference.py` makes `reference.json`.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use serde::Deserialize;
use serde_json::{Map, Value};
use tamis_evaluation::{Bootstrap, Column, Figure, Table, evaluate};

/// How far figures may be from the reference's.
const TOLERANCE: f64 = 1e-9;

/// How far the ends of intervals may be, as a share of the interval: the random draws are others.
const OF_INTERVAL: f64 = 0.08;

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
    bootstrap: Intervals,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    labels: Vec<u8>,
    scores: Vec<f64>,
    figures: Map<String, Value>,
    confusion: Value,
    calibration_error: f64,
    curve: Option<Vec<[f64; 4]>>,
}

#[derive(Deserialize)]
struct Intervals {
    labels: Vec<u8>,
    scores: Vec<f64>,
    other: Vec<f64>,
    resamples: u32,
    intervals: Map<String, Value>,
    differences: Map<String, Value>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("reference.json")).expect("what reference.py writes")
}

fn column(name: &str, scores: Vec<f64>) -> Column {
    Column { name: name.into(), scores }
}

#[test]
fn figures_are_those_of_scikit_learn_and_scipy() {
    let reference = reference();
    assert!(reference.cases.len() >= 9);
    for case in reference.cases {
        let name = case.name;
        let table = Table { labels: case.labels, columns: vec![column("scores", case.scores)], ..Table::default() };
        let report = evaluate(&table, Bootstrap { resamples: 0, seed: 0 }).unwrap();
        let found = &report.columns[0].1;
        assert_eq!(case.figures.len(), Figure::ALL.len(), "{name}");
        for figure in Figure::ALL {
            let (found, expected) = (found.all.figures.get(figure), case.figures[figure.key()].as_f64());
            let is_close = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() <= TOLERANCE,
                (found, expected) => found == expected,
            };
            assert!(is_close, "{name}, {}: {found:?}, expected {expected:?}", figure.key());
        }
        assert_eq!(serde_json::to_value(found.all.confusion).unwrap(), case.confusion, "{name}");
        let error = found.all.calibration_error.unwrap();
        assert!((error - case.calibration_error).abs() <= TOLERANCE, "{name}: calibration error {error}");
        if let Some(curve) = case.curve {
            let points: Vec<_> = found.curve.iter().map(|p| [p.threshold, p.kept, p.purity, p.purity_3]).collect();
            assert_eq!(points.len(), curve.len(), "{name}");
            for (found, expected) in points.as_flattened().iter().zip(curve.as_flattened()) {
                assert!((found - expected).abs() <= TOLERANCE, "{name}: {found}, expected {expected}");
            }
        }
    }
}

#[test]
fn intervals_are_about_those_of_numpy() {
    let Intervals { labels, scores, other, resamples, intervals, differences } = reference().bootstrap;
    let columns = vec![column("scores", scores), column("other", other)];
    let table = Table { labels, columns, ..Table::default() };
    let report = evaluate(&table, Bootstrap { resamples, seed: 0 }).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    for (found, expected) in [(&json["scores"]["intervals"], &intervals), (&json["other"]["difference"], &differences)]
    {
        assert_eq!(expected.len(), 4);
        for (figure, expected) in expected {
            let expected = [0, 1].map(|end| expected[end].as_f64().unwrap());
            let found = ["low", "high"].map(|end| found[figure][end].as_f64().unwrap());
            let allowed = OF_INTERVAL * (expected[1] - expected[0]);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= allowed, "{figure}: {found}, expected {expected} +- {allowed}");
            }
        }
    }
}
