//! PNG. Of an animation, the picture that viewers without animation show.

use std::io::Cursor as IoCursor;

use flate2::Crc;
use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, InterlaceInfo, Limits, expand_interlaced_row};

use super::super::error::Fault;
use super::super::{ImageError, ImageFormat, Rgb};
use super::cursor::Cursor;
use super::pixels::{Palette, packed};

const FAULT: Fault = Fault(ImageFormat::Png);

pub(in super::super) fn size(bytes: &[u8]) -> Result<(u32, u32), ImageError> {
    let mut cursor = Cursor::at(bytes, 8);
    let truncated = FAULT.truncated("header");
    let (Some(_), Some(kind)) = (cursor.u32_be(), cursor.array::<4>()) else { return Err(truncated) };
    if &kind != b"IHDR" {
        return Err(FAULT.damaged("its first chunk is not the header"));
    }
    cursor.u32_be().zip(cursor.u32_be()).ok_or(truncated)
}

pub(in super::super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<Rgb, ImageError> {
    let (width, height) = size(bytes)?;
    FAULT.check_size(width, height, max_pixels)?;
    check_chunks(bytes)?;

    // Checksums as Pillow takes them: those of the chunks were just checked where Pillow does, the image data's are
    // not, the compressed stream's own is.
    let mut options = DecodeOptions::default();
    options.set_ignore_crc(true);
    options.set_ignore_adler32(false);
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    let mut decoder = Decoder::new_with_options(IoCursor::new(bytes), options);
    // One row is what the decoder holds besides the file's own chunks; a row has at most eight bytes a pixel.
    let row = usize::try_from(max_pixels.saturating_mul(8)).unwrap_or(usize::MAX);
    decoder.set_limits(Limits { bytes: row.saturating_add(bytes.len()).saturating_add(1 << 20) });
    let mut reader = decoder.read_info().map_err(failed)?;

    let info = reader.info();
    let (colour, depth) = (info.color_type, info.bit_depth);
    if info.frame_control().is_some_and(|frame| (frame.width, frame.height) != (width, height)) {
        return Err(FAULT.damaged("its first frame does not cover the picture"));
    }
    let palette = match (colour, &info.palette) {
        (ColorType::Indexed, Some(palette)) => Palette::new(palette.as_chunks::<3>().0.iter().copied()),
        (ColorType::Indexed, None) => return Err(FAULT.damaged("it has no palette")),
        _ => Palette::grey(),
    };
    let row_bytes = (width as usize) * 3;
    let mut pixels = vec![0; row_bytes * height as usize];
    if info.interlaced {
        // Colours of one pass's row; a row of packed samples may end in a few that are none.
        let mut colours = vec![0; row_bytes + 7 * 3];
        while let Some(row) = reader.next_interlaced_row().map_err(failed)? {
            to_rgb(row.data(), colour, depth, &palette, &mut colours);
            if let InterlaceInfo::Adam7(place) = row.interlace() {
                expand_interlaced_row(&mut pixels, row_bytes, &colours, place, 24);
            }
        }
    } else {
        for out in pixels.chunks_exact_mut(row_bytes) {
            let row = reader.next_row().map_err(failed)?.ok_or(FAULT.truncated("image data"))?;
            to_rgb(row.data(), colour, depth, &palette, out);
        }
    }
    Ok(Rgb { width, height, pixels })
}

/// One row of samples, as PNG packs them, to RGB.
fn to_rgb(raw: &[u8], colour: ColorType, depth: BitDepth, palette: &Palette, out: &mut [u8]) {
    let bits = u32::from(depth as u8);
    let out = out.as_chunks_mut::<3>().0.iter_mut();
    match (colour, depth) {
        (ColorType::Indexed, _) => {
            for (out, index) in out.zip(packed(raw, bits)) {
                *out = palette.colour(index);
            }
        }
        // Pillow reads 16-bit grey as integers and clips them, where it takes the upper byte of all other samples.
        (ColorType::Grayscale, BitDepth::Sixteen) => {
            for (out, level) in out.zip(raw.as_chunks::<2>().0) {
                *out = [if level[0] == 0 { level[1] } else { 255 }; 3];
            }
        }
        (ColorType::Grayscale, _) => {
            let step = 255 / ((1u32 << bits) - 1) as u8;
            for (out, level) in out.zip(packed(raw, bits)) {
                *out = [level * step; 3];
            }
        }
        (ColorType::GrayscaleAlpha, _) => {
            for (out, samples) in out.zip(raw.chunks_exact(2 * bits as usize / 8)) {
                *out = [samples[0]; 3];
            }
        }
        (ColorType::Rgb, BitDepth::Sixteen) => {
            for (out, s) in out.zip(raw.as_chunks::<6>().0) {
                *out = [s[0], s[2], s[4]];
            }
        }
        (ColorType::Rgb, _) => {
            for (out, s) in out.zip(raw.as_chunks::<3>().0) {
                *out = *s;
            }
        }
        (ColorType::Rgba, BitDepth::Sixteen) => {
            for (out, s) in out.zip(raw.as_chunks::<8>().0) {
                *out = [s[0], s[2], s[4]];
            }
        }
        (ColorType::Rgba, _) => {
            for (out, s) in out.zip(raw.as_chunks::<4>().0) {
                *out = [s[0], s[1], s[2]];
            }
        }
    }
}

/// Refuses what Pillow refuses of the chunks around the image data: a wrong checksum before it, an end of the file
/// within a chunk behind it.
fn check_chunks(bytes: &[u8]) -> Result<(), ImageError> {
    let mut cursor = Cursor::at(bytes, 8);
    let mut data_seen = false;
    loop {
        let header = cursor.u32_be().zip(cursor.array::<4>());
        let Some((len, kind)) = header.filter(|(_, kind)| kind.iter().all(u8::is_ascii_alphanumeric)) else {
            // Behind the image data, Pillow stops at what it cannot read.
            return if data_seen { Ok(()) } else { Err(FAULT.truncated("header")) };
        };
        let is_data = matches!(&kind, b"IDAT" | b"fdAT");
        if &kind == b"IEND" {
            return if data_seen { Ok(()) } else { Err(FAULT.damaged("it has no image data")) };
        }
        let data = match cursor.take(len as usize) {
            Some(data) => data,
            None if is_data => return Ok(()),
            None => return Err(FAULT.truncated("chunks")),
        };
        data_seen |= is_data;
        let checksum = cursor.u32_be();
        if !data_seen {
            let mut crc = Crc::new();
            crc.update(&kind);
            crc.update(data);
            if checksum.ok_or(FAULT.truncated("chunks"))? != crc.sum() {
                let kind = String::from_utf8_lossy(&kind).into_owned();
                return Err(FAULT.damaged(format!("its {kind} chunk has a wrong checksum")));
            }
        }
    }
}

fn failed(error: DecodingError) -> ImageError {
    match error {
        DecodingError::IoError(_) => FAULT.truncated("image data"),
        DecodingError::LimitsExceeded => FAULT.excessive("its chunks are too large"),
        other => FAULT.damaged(other.to_string()),
    }
}
