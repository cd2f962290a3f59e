//! WebP, by image-webp, which gives libwebp's bytes, lossy and lossless.
//!
//! Pillow reads every WebP file as an animation of one or more frames on a transparent black canvas and drops alpha
//! afterwards, so the colours under transparent pixels stay. image-webp would blend them away: the first frame is taken
//! out of an animation here, decoded as a picture of its own and put on the canvas.

use std::io::{self, Cursor as IoCursor};

use image_webp::{DecodingError, WebPDecoder};

use super::super::error::Fault;
use super::super::{ImageError, ImageFormat, Rgb};
use super::cursor::Cursor;

const FAULT: Fault = Fault(ImageFormat::WebP);

/// A chunk's name and content.
type Chunk<'a> = ([u8; 4], &'a [u8]);

/// A still picture within the file.
struct Frame<'a> {
    canvas: (u32, u32),
    offset: (u32, u32),
    size: (u32, u32),
    image: Chunk<'a>,
}

pub(in super::super) fn size(bytes: &[u8]) -> Result<(u32, u32), ImageError> {
    let mut cursor = Cursor::at(bytes, 12);
    let truncated = FAULT.truncated("header");
    let (Some(kind), Some(_)) = (cursor.array::<4>(), cursor.u32_le()) else { return Err(truncated) };
    let rest = bytes.get(cursor.position()..).unwrap_or_default();
    if &kind == b"VP8X" { extended_size(rest).ok_or(truncated) } else { image_size((kind, rest)) }
}

pub(in super::super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<Rgb, ImageError> {
    let (width, height) = size(bytes)?;
    FAULT.check_size(width, height, max_pixels)?;
    let frame = first_frame(bytes)?;
    FAULT.check_size(frame.size.0, frame.size.1, max_pixels)?;
    let fits = |offset: u32, side: u32, canvas: u32| offset.checked_add(side).is_some_and(|end| end <= canvas);
    if !fits(frame.offset.0, frame.size.0, frame.canvas.0) || !fits(frame.offset.1, frame.size.1, frame.canvas.1) {
        return Err(FAULT.damaged("its first frame does not lie within the canvas"));
    }
    let still = decode_still(&frame)?;
    if frame.size == frame.canvas {
        return Ok(Rgb { width, height, pixels: still });
    }
    let mut pixels = vec![0; width as usize * height as usize * 3];
    let rows = pixels.chunks_exact_mut(width as usize * 3).skip(frame.offset.1 as usize);
    let still_row = frame.size.0 as usize * 3;
    for (out, row) in rows.zip(still.chunks_exact(still_row)) {
        let start = frame.offset.0 as usize * 3;
        out[start..start + still_row].copy_from_slice(row);
    }
    Ok(Rgb { width, height, pixels })
}

/// Decodes a frame's image chunk as a file of its own.
fn decode_still(frame: &Frame<'_>) -> Result<Vec<u8>, ImageError> {
    let (kind, data) = frame.image;
    let mut file = Vec::with_capacity(20 + data.len() + 1);
    let padded = data.len() + data.len() % 2;
    let sizes = u32::try_from(padded + 12).ok().zip(u32::try_from(data.len()).ok());
    let (riff_len, data_len) = sizes.ok_or_else(|| FAULT.excessive("it is larger than 4 GiB"))?;
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&riff_len.to_le_bytes());
    file.extend_from_slice(b"WEBP");
    file.extend_from_slice(&kind);
    file.extend_from_slice(&data_len.to_le_bytes());
    file.extend_from_slice(data);
    file.resize(20 + padded, 0);

    let mut decoder = WebPDecoder::new(IoCursor::new(file)).map_err(failed)?;
    let pixels = frame.size.0 as usize * frame.size.1 as usize;
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let mut raw = vec![0; pixels * channels];
    decoder.read_image(&mut raw).map_err(failed)?;
    if channels == 4 {
        for pixel in 0..pixels {
            raw.copy_within(pixel * 4..pixel * 4 + 3, pixel * 3);
        }
        raw.truncate(pixels * 3);
        raw.shrink_to_fit();
    }
    Ok(raw)
}

fn first_frame(bytes: &[u8]) -> Result<Frame<'_>, ImageError> {
    let riff_len = Cursor::at(bytes, 4).u32_le().ok_or(FAULT.truncated("header"))?;
    let file = bytes.get(12..8 + riff_len as usize).ok_or(FAULT.truncated("image data"))?;
    let mut chunks = Chunks(file);
    let first = chunks.next().ok_or(FAULT.truncated("header"))??;
    if &first.0 != b"VP8X" {
        let size = image_size(first)?;
        return Ok(Frame { canvas: size, offset: (0, 0), size, image: first });
    }
    let canvas = extended_size(first.1).ok_or(FAULT.truncated("header"))?;
    let animated = first.1[0] & 0b10 != 0;
    for chunk in chunks {
        match chunk? {
            image @ ([b'V', b'P', b'8', b' ' | b'L'], _) if !animated => {
                let size = image_size(image)?;
                if size != canvas {
                    return Err(FAULT.damaged("its canvas and its image are of different sizes"));
                }
                return Ok(Frame { canvas, offset: (0, 0), size, image });
            }
            ([b'A', b'N', b'M', b'F'], frame) if animated => return animation_frame(frame, canvas),
            _ => {}
        }
    }
    Err(FAULT.damaged("it has no image data"))
}

fn animation_frame(chunk: &[u8], canvas: (u32, u32)) -> Result<Frame<'_>, ImageError> {
    let mut cursor = Cursor::at(chunk, 0);
    let mut next = || cursor.u24_le().ok_or(FAULT.damaged("its first frame is too short"));
    let offset = (next()? * 2, next()? * 2);
    let size = (next()? + 1, next()? + 1);
    for chunk in Chunks(chunk.get(16..).unwrap_or_default()) {
        if let image @ ([b'V', b'P', b'8', b' ' | b'L'], _) = chunk? {
            if image_size(image)? != size {
                return Err(FAULT.damaged("its first frame and the image in it are of different sizes"));
            }
            return Ok(Frame { canvas, offset, size, image });
        }
    }
    Err(FAULT.damaged("its first frame has no image data"))
}

fn extended_size(chunk: &[u8]) -> Option<(u32, u32)> {
    let mut cursor = Cursor::at(chunk, 4);
    Some((cursor.u24_le()? + 1, cursor.u24_le()? + 1))
}

fn image_size((kind, data): Chunk<'_>) -> Result<(u32, u32), ImageError> {
    let truncated = || FAULT.truncated("header");
    match &kind {
        b"VP8 " => {
            let mut cursor = Cursor::at(data, 3);
            if cursor.array().ok_or_else(truncated)? != [0x9d, 0x01, 0x2a] {
                return Err(FAULT.damaged("its image data does not begin with a key frame"));
            }
            let (width, height) = cursor.u16_le().zip(cursor.u16_le()).ok_or_else(truncated)?;
            Ok((u32::from(width & 0x3fff), u32::from(height & 0x3fff)))
        }
        b"VP8L" => {
            let mut cursor = Cursor::at(data, 1);
            let header = cursor.u32_le().ok_or_else(truncated)?;
            Ok(((header & 0x3fff) + 1, (header >> 14 & 0x3fff) + 1))
        }
        _ => Err(FAULT.damaged("its first chunk is none that an image begins with")),
    }
}

/// The chunks of a RIFF list.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut cursor = Cursor::at(self.0, 0);
        let chunk = (|| {
            let (kind, len) = (cursor.array()?, cursor.u32_le()?);
            let data = cursor.take(len as usize)?;
            cursor.take(len as usize % 2)?;
            Some((kind, data))
        })();
        self.0 = &self.0[cursor.position()..];
        if chunk.is_none() {
            self.0 = &[];
        }
        Some(chunk.ok_or(FAULT.truncated("chunks")))
    }
}

fn failed(error: DecodingError) -> ImageError {
    match error {
        DecodingError::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => FAULT.truncated("image data"),
        other => FAULT.damaged(other.to_string()),
    }
}
