//! How far short numbers move the scores of the example corpus: the bounds that docs/performance.md promises.

use crate::support::{CAPTIONS, Tamis};

/// The mean and the largest difference that a dtype may make against f32.
const BOUNDS: [(&str, f64, f64); 3] = [("bf16", 0.02, 0.1), ("f16", 0.02, 0.1), ("int8", 0.05, f64::INFINITY)];
/// Where a filter would cut.
const THRESHOLD: f64 = 2.;

fn scores(dtype: &str) -> Vec<f64> {
    let query = format!("SELECT unifilter(image, text) AS q FROM '{CAPTIONS}' WHERE note IS NULL ORDER BY uid");
    let rows = Tamis::sql(["--device", "cpu", "--dtype", dtype], &query).rows();
    rows.iter().map(|row| row["q"].as_f64().expect("a score")).collect()
}

#[test]
fn short_numbers_keep_their_bounds_on_the_example_corpus() {
    let exact = scores("f32");
    assert!(exact.len() > 100, "{} rows", exact.len());
    for (dtype, most_mean, most) in BOUNDS {
        let found = scores(dtype);
        assert_eq!(found.len(), exact.len(), "{dtype}: rows");
        let apart: Vec<f64> = found.iter().zip(&exact).map(|(a, b)| (a - b).abs()).collect();
        let mean = apart.iter().sum::<f64>() / apart.len() as f64;
        let largest = apart.iter().copied().fold(0., f64::max);
        let crossed = found.iter().zip(&exact).filter(|(a, b)| (**a >= THRESHOLD) != (**b >= THRESHOLD)).count();
        let share = 100. * crossed as f64 / exact.len() as f64;
        println!(
            "{dtype}: mean {mean:.4}, largest {largest:.4}; {share:.2} % of {} rows change sides of {THRESHOLD}",
            exact.len()
        );
        assert!(mean > 0. && mean < most_mean && largest < most, "{dtype}: mean {mean}, largest {largest}");
    }
}
