//! GIF: the first frame on its logical screen.
//!
//! As in Pillow, the screen grows if the frame does not fit, and where the frame does not reach it is filled with the
//! frame's transparent colour, else with colour 0; the file's background colour is not used.

use weezl::decode::Decoder;
use weezl::{BitOrder, LzwStatus};

use super::super::error::Fault;
use super::super::{ImageError, ImageFormat, Rgb};
use super::cursor::Cursor;
use super::pixels::Palette;

const FAULT: Fault = Fault(ImageFormat::Gif);

/// The first frame, up to its compressed data.
struct Frame<'a> {
    screen: (u32, u32),
    left: u32,
    top: u32,
    width: u32,
    height: u32,
    interlaced: bool,
    transparent: Option<u8>,
    palette: Palette,
    data: Cursor<'a>,
}

pub(in super::super) fn size(bytes: &[u8]) -> Result<(u32, u32), ImageError> {
    first_frame(bytes).map(|frame| frame.screen)
}

pub(in super::super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<Rgb, ImageError> {
    let frame = first_frame(bytes)?;
    let (width, height) = frame.screen;
    FAULT.check_size(width, height, max_pixels)?;
    FAULT.check_size(frame.width, frame.height, max_pixels)?;
    let indices = decompress(&frame)?;

    let outside = frame.palette.colour(frame.transparent.unwrap_or(0));
    let row_bytes = width as usize * 3;
    let mut pixels = vec![0; row_bytes * height as usize];
    if (frame.width, frame.height) != frame.screen {
        pixels.as_chunks_mut::<3>().0.fill(outside);
    }
    let rows: Box<dyn Iterator<Item = usize>> =
        if frame.interlaced { Box::new(interlaced_rows(frame.height as usize)) } else { Box::new(0..) };
    for (row, indices) in rows.zip(indices.chunks_exact(frame.width as usize)) {
        let start = (frame.top as usize + row) * row_bytes + frame.left as usize * 3;
        let out = &mut pixels[start..start + indices.len() * 3];
        for (out, index) in out.as_chunks_mut::<3>().0.iter_mut().zip(indices) {
            *out = frame.palette.colour(*index);
        }
    }
    Ok(Rgb { width, height, pixels })
}

fn first_frame(bytes: &[u8]) -> Result<Frame<'_>, ImageError> {
    read_frame(bytes).ok_or(FAULT.truncated("header"))?
}

/// Reads up to the first frame's data; none if the file ends before.
fn read_frame(bytes: &[u8]) -> Option<Result<Frame<'_>, ImageError>> {
    let mut cursor = Cursor::at(bytes, 6);
    let (screen_width, screen_height) = (cursor.u16_le()?, cursor.u16_le()?);
    let flags = cursor.u8()?;
    cursor.take(2)?;
    let global = if flags & 0x80 == 0 { None } else { Some(colours(&mut cursor, flags)?) };
    let mut transparent = None;
    loop {
        match cursor.u8()? {
            b'!' => {
                let label = cursor.u8()?;
                let mut first = true;
                while let Some(block) = sub_block(&mut cursor)? {
                    if let (true, 0xf9, [flags, _, _, index, ..]) = (first, label, block)
                        && flags & 1 != 0
                    {
                        transparent = Some(*index);
                    }
                    first = false;
                }
            }
            b',' => break,
            b';' => return Some(Err(FAULT.damaged("it has no frame"))),
            // Pillow skips what it does not know.
            _ => {}
        }
    }
    let (left, top) = (u32::from(cursor.u16_le()?), u32::from(cursor.u16_le()?));
    let (width, height) = (u32::from(cursor.u16_le()?), u32::from(cursor.u16_le()?));
    let flags = cursor.u8()?;
    let palette = if flags & 0x80 == 0 { global } else { Some(colours(&mut cursor, flags)?) };
    Some(Ok(Frame {
        screen: ((left + width).max(screen_width.into()), (top + height).max(screen_height.into())),
        left,
        top,
        width,
        height,
        interlaced: flags & 0x40 != 0,
        transparent,
        palette: palette.unwrap_or_else(Palette::grey),
        data: cursor,
    }))
}

fn colours(cursor: &mut Cursor<'_>, flags: u8) -> Option<Palette> {
    let bytes = cursor.take(3 << ((flags & 7) + 1))?;
    Some(Palette::new(bytes.as_chunks::<3>().0.iter().copied()))
}

/// The next block of a chain of blocks; `Some(None)` at the chain's end, `None` at the file's.
fn sub_block<'a>(cursor: &mut Cursor<'a>) -> Option<Option<&'a [u8]>> {
    match cursor.u8()? {
        0 => Some(None),
        len => cursor.take(len.into()).map(Some),
    }
}

/// The frame's colour indices, in the order of the file.
fn decompress(frame: &Frame<'_>) -> Result<Vec<u8>, ImageError> {
    let mut cursor = frame.data.clone();
    let code_size = cursor.u8().ok_or(FAULT.truncated("image data"))?;
    if !(1..=11).contains(&code_size) {
        return Err(FAULT.damaged(format!("its code size is {code_size}")));
    }
    let mut decoder = Decoder::new(BitOrder::Lsb, code_size);
    let mut indices = vec![0; frame.width as usize * frame.height as usize];
    let mut filled = 0;
    while filled < indices.len() {
        let Some(Some(mut block)) = sub_block(&mut cursor) else { return Err(FAULT.truncated("image data")) };
        // Until nothing moves: the decoder may hold output back when it has read the whole block.
        while filled < indices.len() {
            let result = decoder.decode_bytes(block, &mut indices[filled..]);
            block = &block[result.consumed_in..];
            filled += result.consumed_out;
            match result.status {
                Ok(LzwStatus::Done) if filled < indices.len() => return Err(FAULT.truncated("image data")),
                Ok(_) if result.consumed_in + result.consumed_out == 0 => break,
                Ok(_) => {}
                Err(_) => return Err(FAULT.damaged("its image data has a code that does not exist")),
            }
        }
    }
    Ok(indices)
}

/// Where the rows of an interlaced frame go.
fn interlaced_rows(height: usize) -> impl Iterator<Item = usize> {
    [(0, 8), (4, 8), (2, 4), (1, 2)].into_iter().flat_map(move |(first, step)| (first..height).step_by(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interlaced_rows_are_each_named_once() {
        for height in 1..20 {
            let mut rows: Vec<_> = interlaced_rows(height).collect();
            assert_eq!(rows[0], 0);
            rows.sort_unstable();
            assert_eq!(rows, (0..height).collect::<Vec<_>>());
        }
    }
}
