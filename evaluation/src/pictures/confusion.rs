//! Confusion matrices, side by side.

use std::error::Error;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::shown;
use crate::classes::ratio;
use crate::counts::LEVELS;
use crate::error::EvaluationError;
use crate::report::Report;

/// The side of one cell, in pixels.
const CELL: i32 = 72;
/// What stands left of the cells: the labels.
const LEFT: i32 = 64;
/// What stands above them: the name and the predictions.
const TOP: i32 = 84;
/// What is free at the other sides.
const MARGIN: i32 = 24;
/// The size of one matrix with all around it.
const SIZE: (i32, i32) = (LEFT + CELL * LEVELS as i32 + MARGIN, TOP + CELL * LEVELS as i32 + MARGIN);

/// The colour of a cell that holds all rows of its label.
const FULL: RGBColor = RGBColor(0, 114, 178);

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws the matrix of each column: the rows of each label and prediction, and the darker the more of the label's rows.
pub(super) fn draw(report: &Report, picture: &'static str) -> Result<String, EvaluationError> {
    let mut svg = String::new();
    draw_to(report, &mut svg).map_err(|e| EvaluationError::Picture { picture, reason: e.to_string() })?;
    Ok(svg)
}

fn draw_to(report: &Report, svg: &mut String) -> Result<(), Box<dyn Error>> {
    let columns = report.columns.len().max(1);
    let size = (SIZE.0 as u32 * columns as u32, SIZE.1 as u32);
    let area: Area<'_> = SVGBackend::with_string(svg, size).into_drawing_area();
    area.fill(&WHITE)?;
    for ((name, evaluation), part) in report.columns.iter().zip(area.split_evenly((1, columns))) {
        matrix(&part, &shown(name), &evaluation.all.confusion.0)?;
    }
    area.present()?;
    Ok(())
}

fn matrix(area: &Area<'_>, name: &str, rows: &[[u64; LEVELS]; LEVELS]) -> Result<(), Box<dyn Error>> {
    let middle = LEFT + CELL * LEVELS as i32 / 2;
    text(area, name, (middle, 20), 18, &BLACK)?;
    text(area, "prediction", (middle, 46), 14, &BLACK)?;
    text(area, "label", (LEFT / 2 - 8, TOP - 14), 14, &BLACK)?;
    for (label, predictions) in rows.iter().enumerate() {
        let top = TOP + CELL * label as i32;
        text(area, &label.to_string(), (LEFT - 16, top + CELL / 2), 14, &BLACK)?;
        text(area, &label.to_string(), (LEFT + CELL * label as i32 + CELL / 2, TOP - 14), 14, &BLACK)?;
        let all = predictions.iter().sum();
        for (prediction, &count) in predictions.iter().enumerate() {
            let left = LEFT + CELL * prediction as i32;
            let share = ratio(count, all).unwrap_or(0.0);
            let cell = [(left, top), (left + CELL, top + CELL)];
            area.draw(&Rectangle::new(cell, FULL.mix(share).filled()))?;
            area.draw(&Rectangle::new(cell, BLACK.mix(0.3).stroke_width(1)))?;
            let ink = if share > 0.5 { WHITE } else { BLACK };
            text(area, &count.to_string(), (left + CELL / 2, top + CELL / 2), 16, &ink)?;
        }
    }
    Ok(())
}

fn text(area: &Area<'_>, text: &str, place: (i32, i32), size: i32, ink: &RGBColor) -> Result<(), Box<dyn Error>> {
    let style = ("sans-serif", size).into_text_style(area).color(ink).pos(Pos::new(HPos::Center, VPos::Center));
    area.draw_text(text, &style, place)?;
    Ok(())
}
