//! JPEG, by mozjpeg: libjpeg-turbo's arithmetic, which is Pillow's, to the last bit.
//!
//! mozjpeg is a C library. Its fatal errors unwind through `resume_unwind`, which runs no panic hook, and are caught
//! here. Its warnings (a bad code within a scan) leave a picture, as in Pillow; the end of the file within the image
//! does not, as in Pillow.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mozjpeg::decompress::DecompressStarted;
use mozjpeg::{ColorSpace, Decompress};

use super::super::error::Fault;
use super::super::resize::BAND;
use super::super::{ImageError, ImageFormat, Rgb};
use super::cursor::Cursor;
use super::panic_message;
use super::pixels::cmyk;

const FAULT: Fault = Fault(ImageFormat::Jpeg);

/// Each scan of a progressive file goes over the whole picture. Encoders write some 10, mozjpeg's optimiser up to 64;
/// beyond this many a file is made to waste time.
const MAX_SCANS: u64 = 100;
/// Beyond this many pixels times scans a file must not have more than [`MODEST_SCANS`].
const MAX_SCANNED_PIXELS: u64 = 1 << 31;
const MODEST_SCANS: u64 = 16;

pub(in super::super) fn size(bytes: &[u8]) -> Result<(u32, u32), ImageError> {
    frame(bytes).map(|(_, size)| size)
}

/// The frame header's marker and the size that it claims.
fn frame(bytes: &[u8]) -> Result<(u8, (u32, u32)), ImageError> {
    let mut cursor = Cursor::at(bytes, 2);
    loop {
        let marker = next_marker(&mut cursor).ok_or(FAULT.truncated("header"))?;
        match marker {
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let (_, _) = (cursor.u16_be(), cursor.u8());
                let (height, width) = (cursor.u16_be(), cursor.u16_be());
                let (Some(height), Some(width)) = (height, width) else {
                    return Err(FAULT.truncated("header"));
                };
                return Ok((marker, (width.into(), height.into())));
            }
            0xd9 | 0xda => return Err(FAULT.damaged("its image data has no frame header")),
            _ => skip_segment(marker, &mut cursor).ok_or(FAULT.truncated("header"))?,
        }
    }
}

pub(in super::super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<Rgb, ImageError> {
    decode_rows(
        bytes,
        max_pixels,
        |(width, height)| Rgb { width, height, pixels: Vec::with_capacity(width as usize * height as usize * 3) },
        |image, rows| image.pixels.extend_from_slice(rows),
    )
}

/// Decodes in bands: `begin` makes of the size (width, height) what `push` gives all rows to, some at once, from the
/// top.
pub(super) fn decode_rows<T>(
    bytes: &[u8],
    max_pixels: u64,
    begin: impl FnOnce((u32, u32)) -> T,
    push: impl Fn(&mut T, &[u8]),
) -> Result<T, ImageError> {
    let size = checked_frame(bytes, max_pixels)?;
    let mut taken = begin(size);
    contained(bytes, |reader, ended| {
        let decompress = open(reader, size)?;
        let (colours, samples) = match decompress.components().len() {
            1 | 3 => (ColorSpace::JCS_RGB, 3),
            4 => (ColorSpace::JCS_CMYK, 4),
            n => return Err(FAULT.unsupported(format!("{n} components"))),
        };
        let mut started = decompress.to_colorspace(colours).map_err(failed)?;
        let row_bytes = size.0 as usize * samples;
        let (mut band, mut rgb) = (vec![0u8; BAND * row_bytes], Vec::new());
        for done in (0..size.1 as usize).step_by(BAND) {
            let rows = &mut band[..BAND.min(size.1 as usize - done) * row_bytes];
            started.read_scanlines_into(rows).map_err(failed)?;
            if colours == ColorSpace::JCS_CMYK {
                // Inverted, as Adobe writes it, since Pillow takes every CMYK file to be so.
                rgb.clear();
                rgb.extend(rows.as_chunks::<4>().0.iter().flat_map(|ink| cmyk(ink.map(|level| !level))));
                push(&mut taken, &rgb);
            } else {
                push(&mut taken, rows);
            }
        }
        finish(started, ended)
    })?;
    Ok(taken)
}

/// Decodes a JPEG that is part of another file: `samples` components of exactly this size, as they are stored, or RGB
/// for what the other file says is YCbCr.
pub(super) fn decode_component(
    bytes: &[u8],
    (width, height): (usize, usize),
    samples: usize,
    ycbcr: bool,
) -> Result<Vec<u8>, ImageError> {
    let size = size(bytes)?;
    // The last strip of a file may have fewer rows.
    if size.0 as usize != width || size.1 as usize > height {
        return Err(FAULT.damaged(format!("it has {} x {} pixels instead of {width} x {height}", size.0, size.1)));
    }
    checked_frame(bytes, u64::MAX)?;
    contained(bytes, |reader, _| {
        let decompress = open(reader, size)?;
        if decompress.components().len() != samples {
            return Err(FAULT.damaged(format!("it has {} components", decompress.components().len())));
        }
        let colours = if ycbcr && samples == 3 { ColorSpace::JCS_RGB } else { decompress.color_space() };
        read_all(&mut decompress.to_colorspace(colours).map_err(failed)?)
    })
}

/// Checks all that can be checked before libjpeg sees the file.
fn checked_frame(bytes: &[u8], max_pixels: u64) -> Result<(u32, u32), ImageError> {
    let (marker, (width, height)) = frame(bytes)?;
    match marker {
        0xc0..=0xc2 => {}
        0xc3 => return Err(FAULT.unsupported("lossless coding")),
        0xc5..=0xc7 => return Err(FAULT.unsupported("hierarchical coding")),
        _ => return Err(FAULT.unsupported("arithmetic coding")),
    }
    FAULT.check_size(width, height, max_pixels)?;
    check_scans(bytes, u64::from(width) * u64::from(height))?;
    Ok((width, height))
}

/// Runs libjpeg over a file and turns its errors, returned or unwinding, into ours.
fn contained<T>(
    bytes: &[u8],
    decompress: impl FnOnce(WholeFile<'_>, &Cell<bool>) -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    let ended = Cell::new(false);
    let reader = WholeFile { rest: bytes, ended: &ended };
    match catch_unwind(AssertUnwindSafe(|| decompress(reader, &ended))) {
        Ok(Ok(done)) => Ok(done),
        _ if ended.get() => Err(FAULT.truncated("image data")),
        Ok(Err(error)) => Err(error),
        Err(payload) => {
            let message = panic_message(&*payload);
            Err(FAULT.damaged(message.strip_prefix("libjpeg fatal error: ").unwrap_or(message)))
        }
    }
}

fn open(reader: WholeFile<'_>, size: (u32, u32)) -> Result<Decompress<WholeFile<'_>>, ImageError> {
    let decompress = Decompress::new_reader(reader).map_err(failed)?;
    if decompress.size() != (size.0 as usize, size.1 as usize) {
        return Err(FAULT.damaged("it has two frame headers of different sizes"));
    }
    Ok(decompress)
}

fn read_all(started: &mut DecompressStarted<WholeFile<'_>>) -> Result<Vec<u8>, ImageError> {
    let mut pixels = vec![0; started.min_flat_buffer_size()];
    started.read_scanlines_into(&mut pixels).map_err(failed)?;
    Ok(pixels)
}

/// Reads what stands behind the last row. As in Pillow, the end marker may be missing there, but what does stand there
/// must make sense.
fn finish(started: DecompressStarted<WholeFile<'_>>, ended: &Cell<bool>) -> Result<(), ImageError> {
    match catch_unwind(AssertUnwindSafe(|| started.finish())) {
        Ok(Ok(())) => Ok(()),
        _ if ended.take() => Ok(()),
        Ok(Err(error)) => Err(failed(error)),
        Err(payload) => resume_unwind(payload),
    }
}

fn failed(error: io::Error) -> ImageError {
    FAULT.damaged(error.to_string())
}

/// The file as libjpeg reads it. Its end is an error: mozjpeg's own reader would make up an end marker and fill the
/// rest of a truncated picture with grey.
struct WholeFile<'a> {
    rest: &'a [u8],
    ended: &'a Cell<bool>,
}

impl Read for WholeFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.rest.read(buffer)
    }
}

impl BufRead for WholeFile<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.rest.is_empty() {
            self.ended.set(true);
            return Err(io::Error::other("the file ends"));
        }
        Ok(self.rest)
    }

    fn consume(&mut self, amount: usize) {
        self.rest = self.rest.get(amount..).unwrap_or_default();
    }
}

/// Refuses a file whose scans would take hours.
fn check_scans(bytes: &[u8], pixels: u64) -> Result<(), ImageError> {
    let scans = count_scans(bytes);
    if scans > MAX_SCANS || scans > MODEST_SCANS && scans.saturating_mul(pixels) > MAX_SCANNED_PIXELS {
        return Err(FAULT.excessive(format!("it has {scans} scans over {pixels} pixels")));
    }
    Ok(())
}

fn count_scans(bytes: &[u8]) -> u64 {
    let mut cursor = Cursor::at(bytes, 2);
    let mut scans = 0;
    while let Some(marker) = next_marker(&mut cursor) {
        if marker == 0xd9 || skip_segment(marker, &mut cursor).is_none() {
            break;
        }
        scans += u64::from(marker == 0xda);
    }
    scans
}

/// Goes behind the next marker; what lies before it, entropy-coded data for one, is skipped.
fn next_marker(cursor: &mut Cursor<'_>) -> Option<u8> {
    loop {
        cursor.skip_behind(0xff)?;
        let mut code = cursor.u8()?;
        while code == 0xff {
            code = cursor.u8()?;
        }
        // A zero byte is a stuffed 0xff of entropy-coded data.
        if code != 0 {
            return Some(code);
        }
    }
}

/// Goes behind a marker's segment, if it has one.
fn skip_segment(marker: u8, cursor: &mut Cursor<'_>) -> Option<()> {
    if matches!(marker, 0x01 | 0xd0..=0xd9) {
        return Some(());
    }
    let len = cursor.u16_be()?.checked_sub(2)?;
    cursor.take(len.into()).map(|_| ())
}
