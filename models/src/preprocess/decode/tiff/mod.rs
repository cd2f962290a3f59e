//! TIFF and BigTIFF: the first picture of the file, as Pillow reads it.
//!
//! Read here rather than by a crate, because what counts is which combinations of tags Pillow takes for what, and how it
//! converts them. Unlike for the other formats, Pillow turns a TIFF as its orientation tag says.

mod chunks;
mod directory;
mod layout;

use super::super::error::Fault;
use super::super::{ImageError, ImageFormat, Rgb};
use chunks::{Chunks, Compression, Grid};
use directory::{Directory, tag};
use layout::{Colour, Layout};

const FAULT: Fault = Fault(ImageFormat::Tiff);

pub(in super::super) fn size(bytes: &[u8]) -> Result<(u32, u32), ImageError> {
    let directory = Directory::read(bytes)?;
    let (width, height) = stored_size(&directory)?;
    Ok(if orientation(&directory) >= 5 { (height, width) } else { (width, height) })
}

pub(in super::super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<Rgb, ImageError> {
    let directory = Directory::read(bytes)?;
    let (width, height) = stored_size(&directory)?;
    FAULT.check_size(width, height, max_pixels)?;
    let compression = Compression::read(&directory)?;
    // Pillow reads what is compressed by libtiff, which wants the whole directory, and the rest by itself.
    if compression != Compression::None && !directory.complete {
        return Err(FAULT.truncated("header"));
    }
    let layout = Layout::read(&directory, compression == Compression::Jpeg)?;
    let planes = planes(&directory, &layout, compression)?;
    let (columns, rows) = (width as usize, height as usize);
    let grid = Grid::read(&directory, (columns, rows), planes, compression)?;
    let mut chunks = Chunks {
        file: bytes,
        grid: &grid,
        compression,
        reversed: directory.number(tag::FILL_ORDER) == Some(2),
        big_endian: directory.big_endian,
        predicted: predicted(&directory, &layout, compression)?,
        jpeg_tables: directory.bytes(tag::JPEG_TABLES),
        ycbcr: directory.number(tag::PHOTOMETRIC) == Some(6),
        budget: bytes.len().saturating_mul(4).saturating_add(1 << 20),
    };
    let mut pixels = vec![0; columns * rows * 3];
    let samples = if planes == 1 { layout.samples } else { 1 };
    let mut line = vec![0; grid.width * 3];
    for index in 0..grid.per_plane * planes.min(3) {
        let (plane, place) = (index / grid.per_plane, index % grid.per_plane);
        let (top, left) = (place / grid.across * grid.height, place % grid.across * grid.width);
        let used_columns = grid.width.min(columns - left);
        let used_rows = grid.height.min(rows - top);
        let data = chunks.read(index, used_rows, samples, &layout)?;
        for (row, data) in data.chunks_exact(layout.row_bytes(grid.width, samples)).take(used_rows).enumerate() {
            let start = ((top + row) * columns + left) * 3;
            let out = &mut pixels[start..start + used_columns * 3];
            if planes == 1 {
                layout.to_rgb(data, &mut line);
                out.copy_from_slice(&line[..used_columns * 3]);
            } else {
                for (out, level) in out.iter_mut().skip(plane).step_by(3).zip(data) {
                    *out = *level;
                }
            }
        }
    }
    Ok(turn(Rgb { width, height, pixels }, orientation(&directory)))
}

fn stored_size(directory: &Directory<'_>) -> Result<(u32, u32), ImageError> {
    Ok((directory.require(tag::WIDTH, "width")?, directory.require(tag::HEIGHT, "height")?))
}

/// 1 to 8; 1 is upright.
fn orientation(directory: &Directory<'_>) -> u64 {
    directory.number(tag::ORIENTATION).filter(|n| (1..=8).contains(n)).unwrap_or(1)
}

/// Planes that lie one behind the other in the file; 1 if a pixel's samples lie together.
fn planes(directory: &Directory<'_>, layout: &Layout, compression: Compression) -> Result<usize, ImageError> {
    if directory.number(tag::PLANAR).unwrap_or(1) != 2 || layout.samples == 1 {
        return Ok(1);
    }
    match layout.colour {
        Colour::Rgb { premultiplied: false } if layout.bits == 8 && compression != Compression::Jpeg => {
            Ok(layout.samples)
        }
        _ => Err(FAULT.unsupported("planes of other than 8-bit rgb samples")),
    }
}

/// Whether samples are stored as differences. The tag counts for these compressions only.
fn predicted(directory: &Directory<'_>, layout: &Layout, compression: Compression) -> Result<bool, ImageError> {
    if !matches!(compression, Compression::Lzw | Compression::Deflate) {
        return Ok(false);
    }
    match directory.number(tag::PREDICTOR).unwrap_or(1) {
        1 => Ok(false),
        2 if layout.bits >= 8 => Ok(true),
        n => Err(FAULT.unsupported(format!("predictor {n} on {} bits", layout.bits))),
    }
}

/// Turns and mirrors a stored picture so that it stands upright.
fn turn(image: Rgb, orientation: u64) -> Rgb {
    if orientation == 1 {
        return image;
    }
    let (width, height) = (image.width as usize, image.height as usize);
    let (out_width, out_height) = if orientation >= 5 { (height, width) } else { (width, height) };
    let stored = image.pixels.as_chunks::<3>().0;
    let mut pixels = vec![0; image.pixels.len()];
    for (index, out) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let (x, y) = (index % out_width, index / out_width);
        let (from_x, from_y) = match orientation {
            2 => (width - 1 - x, y),
            3 => (width - 1 - x, height - 1 - y),
            4 => (x, height - 1 - y),
            5 => (y, x),
            6 => (y, height - 1 - x),
            7 => (width - 1 - y, height - 1 - x),
            _ => (width - 1 - y, x),
        };
        *out = stored[from_y * width + from_x];
    }
    Rgb { width: out_width as u32, height: out_height as u32, pixels }
}
