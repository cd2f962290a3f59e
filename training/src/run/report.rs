//! Learning curves as a picture, and a page that shows it.

use std::path::Path;

use plotters::prelude::*;

use super::metrics::Metrics;
use crate::TrainingError;

const SIZE: (u32, u32) = (900, 640);
const LOSS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const VALIDATION: RGBColor = RGBColor(0xd6, 0x27, 0x28);

type Drawing<T> = Result<T, Box<dyn std::error::Error>>;

/// Writes `curves.svg` and `report.md` to a folder.
pub fn write_report(
    metrics: &Metrics,
    title: &str,
    facts: &[(String, String)],
    folder: &Path,
) -> Result<(), TrainingError> {
    std::fs::create_dir_all(folder).map_err(TrainingError::io("making", folder))?;
    let picture =
        curves(metrics).map_err(|error| TrainingError::Data(format!("drawing the learning curves: {error}")))?;
    let path = folder.join("curves.svg");
    std::fs::write(&path, picture).map_err(TrainingError::io("writing", &path))?;
    let path = folder.join("report.md");
    std::fs::write(&path, page(metrics, title, facts)).map_err(TrainingError::io("writing", &path))
}

/// The mean of the values around each: the noise of single steps hides the curve.
fn smooth(values: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let reach = values.len() / 100;
    let mean = |place: usize| {
        let around = &values[place.saturating_sub(reach)..(place + reach + 1).min(values.len())];
        around.iter().map(|(_, value)| value).sum::<f64>() / around.len() as f64
    };
    let thinned = (values.len() / 1000).max(1);
    (0..values.len()).step_by(thinned).map(|place| (values[place].0, mean(place))).collect()
}

fn curves(metrics: &Metrics) -> Drawing<String> {
    let losses: Vec<(f64, f64)> = metrics.steps.iter().map(|step| (step.step as f64, f64::from(step.loss))).collect();
    let losses = smooth(&losses);
    let validation: Vec<(f64, f64)> = metrics.evaluations.iter().map(|e| (e.step as f64, e.loss)).collect();
    let accuracy: Vec<(f64, f64)> =
        metrics.evaluations.iter().filter_map(|e| Some((e.step as f64, e.accuracy?))).collect();
    let last = losses.last().map_or(1., |(step, _)| step.max(1.));
    let most = losses.iter().chain(&validation).map(|(_, loss)| *loss).fold(1e-6, f64::max);
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (above, below) = root.split_vertically(if accuracy.is_empty() { SIZE.1 } else { SIZE.1 * 3 / 5 });
        let mut chart = ChartBuilder::on(&above)
            .margin(16)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .caption("Loss", ("sans-serif", 18))
            .build_cartesian_2d(0f64..last, 0f64..most * 1.05)?;
        chart.configure_mesh().light_line_style(WHITE).x_desc("step").y_desc("loss").draw()?;
        chart.draw_series(LineSeries::new(losses, LOSS.stroke_width(2)))?.label("training").legend(key(LOSS));
        if !validation.is_empty() {
            let series = LineSeries::new(validation, VALIDATION.stroke_width(2));
            chart.draw_series(series)?.label("validation").legend(key(VALIDATION));
        }
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK.mix(0.3)).draw()?;
        if !accuracy.is_empty() {
            let mut chart = ChartBuilder::on(&below)
                .margin(16)
                .x_label_area_size(36)
                .y_label_area_size(56)
                .caption("Accuracy on the validation set", ("sans-serif", 18))
                .build_cartesian_2d(0f64..last, 0f64..1f64)?;
            chart.configure_mesh().light_line_style(WHITE).x_desc("step").y_desc("accuracy").draw()?;
            chart.draw_series(LineSeries::new(accuracy, VALIDATION.stroke_width(2)))?;
        }
        root.present()?;
    }
    Ok(text)
}

fn key(colour: RGBColor) -> impl Fn((i32, i32)) -> PathElement<(i32, i32)> {
    move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
}

fn page(metrics: &Metrics, title: &str, facts: &[(String, String)]) -> String {
    let mut page = format!("# {title}\n\n![Learning curves](curves.svg)\n\n| | |\n|---|---|\n");
    for (name, value) in facts {
        page.push_str(&format!("| {name} | {value} |\n"));
    }
    if !metrics.evaluations.is_empty() {
        page.push_str("\n| step | validation loss | accuracy | F1 |\n|---|---|---|---|\n");
        let figure = |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.3}"));
        for e in &metrics.evaluations {
            page.push_str(&format!("| {} | {:.4} | {} | {} |\n", e.step, e.loss, figure(e.accuracy), figure(e.f1)));
        }
    }
    page
}
