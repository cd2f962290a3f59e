//! Pictures of lines over axes.

use std::error::Error;
use std::ops::Range;

use plotters::prelude::*;

use super::shown;
use crate::error::EvaluationError;

/// The size of a picture, in pixels.
const SIZE: (u32, u32) = (720, 540);

/// The colours of columns, which come again where there are more columns. They can be told apart by most people who see few
/// colours (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// Lines over axes.
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// What the horizontal axis shows, and from where to where.
    pub(super) x: (&'static str, Range<f64>),
    /// The same of the vertical axis.
    pub(super) y: (&'static str, Range<f64>),
    /// Where a thin line from the origin ends, in both directions.
    pub(super) diagonal: Option<f64>,
    pub(super) legend: Corner,
    pub(super) lines: Vec<Line>,
}

/// A line with its name in the legend.
pub(super) struct Line {
    pub(super) name: String,
    /// The place of its column.
    pub(super) colour: usize,
    pub(super) is_faint: bool,
    /// Whether its points are marked.
    pub(super) has_points: bool,
    pub(super) points: Vec<(f64, f64)>,
}

/// Where the legend stands.
pub(super) enum Corner {
    UpperLeft,
    LowerLeft,
    LowerRight,
}

impl Chart {
    /// The picture as an SVG document.
    pub(super) fn draw(&self, picture: &'static str) -> Result<String, EvaluationError> {
        let mut svg = String::new();
        self.draw_to(&mut svg).map_err(|e| EvaluationError::Picture { picture, reason: e.to_string() })?;
        Ok(svg)
    }

    fn draw_to(&self, svg: &mut String) -> Result<(), Box<dyn Error>> {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 22))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(56)
            .build_cartesian_2d(self.x.1.clone(), self.y.1.clone())?;
        chart
            .configure_mesh()
            .x_desc(self.x.0)
            .y_desc(self.y.0)
            .label_style(("sans-serif", 14))
            .light_line_style(TRANSPARENT)
            .draw()?;
        if let Some(end) = self.diagonal {
            chart.draw_series(LineSeries::new([(0.0, 0.0), (end, end)], BLACK.mix(0.3)))?;
        }
        for line in &self.lines {
            let style = line.style();
            let points = LineSeries::new(line.points.iter().copied(), style);
            let points = points.point_size(if line.has_points { 3 } else { 0 });
            let drawn = chart.draw_series(points)?;
            drawn.label(shown(&line.name)).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        }
        chart
            .configure_series_labels()
            .position(self.legend.position())
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .label_font(("sans-serif", 14))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

impl Line {
    fn style(&self) -> ShapeStyle {
        let colour = COLOURS[self.colour % COLOURS.len()];
        colour.mix(if self.is_faint { 0.45 } else { 1.0 }).stroke_width(2)
    }
}

impl Corner {
    fn position(&self) -> SeriesLabelPosition {
        match self {
            Self::UpperLeft => SeriesLabelPosition::UpperLeft,
            Self::LowerLeft => SeriesLabelPosition::LowerLeft,
            Self::LowerRight => SeriesLabelPosition::LowerRight,
        }
    }
}
