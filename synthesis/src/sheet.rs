//! A contact sheet: samples as pictures with their levels and texts, in one PNG.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use tamis_models::preprocess::{Filter, Rgb, resize};

use crate::Level;

const COLUMNS: usize = 4;
const CELL: usize = 320;
const MARGIN: usize = 10;
const PICTURE: usize = 170;
const LINE: usize = 18;
const LINES: usize = 9;
const HEIGHT: usize = MARGIN * 2 + PICTURE + LINE + 4 + LINES * LINE;
const SIZE: RasterHeight = RasterHeight::Size16;

const INK: [u8; 3] = [30, 30, 30];
const PAPER: [u8; 3] = [250, 250, 248];

/// One sample on the sheet.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The image, where there is one that can be shown.
    pub image: Option<Rgb>,
    /// The level.
    pub level: Option<Level>,
    /// What stands beside the level: uid, split.
    pub head: String,
    /// The text.
    pub text: String,
}

/// Why there is no sheet.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// The picture could not be encoded.
    #[error("encoding the contact sheet: {0}")]
    Encode(#[from] png::EncodingError),
}

/// The sheet of these samples as a PNG file.
pub fn contact_sheet(cells: &[Cell]) -> Result<Vec<u8>, SheetError> {
    let rows = cells.len().div_ceil(COLUMNS).max(1);
    let mut canvas = Canvas::new(CELL * COLUMNS, HEIGHT * rows);
    for (i, cell) in cells.iter().enumerate() {
        canvas.cell(cell, i % COLUMNS * CELL, i / COLUMNS * HEIGHT);
    }
    png(&canvas.image)
}

/// A picture as a PNG file.
pub fn png(image: &Rgb) -> Result<Vec<u8>, SheetError> {
    let mut file = vec![];
    let mut encoder = png::Encoder::new(&mut file, image.width, image.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&image.pixels)?;
    Ok(file)
}

/// The colour that a level is known by: from red to green.
fn colour(level: Level) -> [u8; 3] {
    match level {
        Level::Unrelated => [190, 50, 45],
        Level::Poor => [214, 120, 40],
        Level::Flawed => [180, 150, 20],
        Level::Faithful => [40, 130, 70],
    }
}

/// A picture that is drawn on.
struct Canvas {
    image: Rgb,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        let pixels = PAPER.repeat(width * height);
        Self { image: Rgb { width: width as u32, height: height as u32, pixels } }
    }

    fn cell(&mut self, cell: &Cell, left: usize, top: usize) {
        let (x, y) = (left + MARGIN, top + MARGIN);
        match &cell.image {
            Some(image) => self.picture(image, x, y),
            None => self.text("(no picture)", x, y + PICTURE / 2, FontWeight::Regular, INK),
        }
        let width = get_raster_width(FontWeight::Bold, SIZE);
        let letters = (CELL - 2 * MARGIN) / width;
        let head = y + PICTURE + 4;
        let level = cell.level.map_or_else(|| "-".into(), |level| format!("level {level}"));
        self.text(&level, x, head, FontWeight::Bold, cell.level.map_or(INK, colour));
        let room = letters.saturating_sub(level.len() + 1);
        let of_head: String = cell.head.chars().take(room).collect();
        self.text(&of_head, x + (level.len() + 1) * width, head, FontWeight::Regular, [110, 110, 110]);
        let mut lines = wrapped(&cell.text, letters);
        if lines.len() > LINES {
            lines.truncate(LINES);
            if let Some(last) = lines.last_mut() {
                *last = last.chars().take(letters - 3).collect::<String>() + "...";
            }
        }
        for (i, line) in lines.iter().enumerate() {
            self.text(line, x, head + (i + 1) * LINE, FontWeight::Regular, INK);
        }
    }

    /// Draws an image as large as there is room, in its own proportions.
    fn picture(&mut self, image: &Rgb, left: usize, top: usize) {
        let room = ((CELL - 2 * MARGIN) as f64, PICTURE as f64);
        let scale = (room.0 / f64::from(image.width.max(1))).min(room.1 / f64::from(image.height.max(1)));
        let side = |length: u32| ((f64::from(length) * scale) as u32).max(1);
        let small = resize(image, side(image.width), side(image.height), Filter::Bicubic);
        for (y, row) in small.pixels.chunks_exact(small.width as usize * 3).enumerate() {
            for (x, pixel) in row.chunks_exact(3).enumerate() {
                self.point(left + x, top + y, [pixel[0], pixel[1], pixel[2]], 255);
            }
        }
    }

    fn text(&mut self, text: &str, left: usize, top: usize, weight: FontWeight, ink: [u8; 3]) {
        let width = get_raster_width(weight, SIZE);
        for (i, letter) in text.chars().enumerate() {
            let Some(raster) = get_raster(letter, weight, SIZE).or_else(|| get_raster('?', weight, SIZE)) else {
                continue;
            };
            for (y, row) in raster.rows().enumerate() {
                for (x, cover) in row.iter().enumerate() {
                    self.point(left + i * width + x, top + y, ink, *cover);
                }
            }
        }
    }

    /// Covers a point with a colour as far as `cover` says.
    fn point(&mut self, x: usize, y: usize, colour: [u8; 3], cover: u8) {
        let at = (y * self.image.width as usize + x) * 3;
        if x >= self.image.width as usize {
            return;
        }
        let Some(pixel) = self.image.pixels.get_mut(at..at + 3) else { return };
        for (below, above) in pixel.iter_mut().zip(colour) {
            let mixed = u16::from(*below) * u16::from(255 - cover) + u16::from(above) * u16::from(cover);
            *below = (mixed / 255) as u8;
        }
    }
}

/// A text in lines of at most so many letters, broken between words where that is possible.
fn wrapped(text: &str, letters: usize) -> Vec<String> {
    let mut lines = vec![];
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let mut word: Vec<char> = word.chars().collect();
            if !line.is_empty() && line.chars().count() + 1 + word.len() > letters {
                lines.push(std::mem::take(&mut line));
            }
            while word.len() > letters {
                lines.push(word.drain(..letters).collect());
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use tamis_models::preprocess::decode;

    #[test]
    fn a_sheet_is_a_picture_of_all_cells() {
        let image = Rgb { width: 2, height: 1, pixels: vec![255, 0, 0, 0, 0, 255] };
        let cell = |level| Cell {
            image: Some(image.clone()),
            level: Level::of(level),
            head: "a".into(),
            text: "words ".repeat(90),
        };
        let cells: Vec<Cell> = (0..5).map(|i| cell(i % 4)).collect();
        let sheet = decode(&contact_sheet(&cells).unwrap(), 10_000_000).unwrap();
        assert_eq!((sheet.width as usize, sheet.height as usize), (CELL * COLUMNS, HEIGHT * 2));
        let at = |x: usize, y: usize| &sheet.pixels[(y * CELL * COLUMNS + x) * 3..][..3];
        assert!(at(MARGIN + 5, MARGIN + 5)[0] > 200 && at(CELL - MARGIN - 5, MARGIN + 5)[2] > 200);
        assert_eq!(at(CELL * 2, HEIGHT + 20), PAPER, "no sixth cell");
        let head = (0..CELL * 40).filter(|i| at(MARGIN + i % 280, MARGIN + PICTURE + 4 + i / CELL) != PAPER).count();
        assert!(head > 200, "{head} points of text");
        assert!(contact_sheet(&[]).is_ok());
    }

    #[test]
    fn lines_are_no_longer_than_there_is_room() {
        assert_eq!(wrapped("two little words", 10), ["two little", "words"]);
        assert_eq!(wrapped("a\n\nincomprehensible", 6), ["a", "", "incomp", "rehens", "ible"]);
    }
}
