//! BMP: the headers, bit depths, bit fields and run lengths that Pillow reads, read as Pillow reads them.

use super::super::error::Fault;
use super::super::{ImageError, ImageFormat, Rgb};
use super::cursor::Cursor;
use super::pixels::{Palette, packed};

const FAULT: Fault = Fault(ImageFormat::Bmp);

const RAW: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const BITFIELDS: u32 = 3;

/// Everything that stands before the pixels.
struct Header {
    width: u32,
    height: u32,
    top_down: bool,
    bits: u16,
    compression: u32,
    /// Red, green, blue and alpha, of bit fields.
    masks: [u32; 4],
    palette: Palette,
    /// Where the pixels begin.
    offset: usize,
}

/// How a row's bytes make colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Indices of so many bits.
    Indexed(u32),
    /// 16 bits: five of blue, so many of green, five of red.
    Packed16 { green_bits: u32 },
    /// So many bytes a pixel, and where red, green and blue are among them.
    Bytes { step: usize, red: usize, green: usize, blue: usize },
}

pub(in super::super) fn size(bytes: &[u8]) -> Result<(u32, u32), ImageError> {
    let header = read_header(bytes).ok_or(FAULT.truncated("header"))??;
    Ok((header.width, header.height))
}

pub(in super::super) fn decode(bytes: &[u8], max_pixels: u64) -> Result<Rgb, ImageError> {
    let header = read_header(bytes).ok_or(FAULT.truncated("header"))??;
    let Header { width, height, .. } = header;
    FAULT.check_size(width, height, max_pixels)?;
    let layout = layout(&header)?;
    let (columns, rows) = (width as usize, height as usize);
    let run_lengths = match header.compression {
        RLE8 | RLE4 => Some(expand_runs(bytes, &header)?),
        _ => None,
    };
    let (data, layout, row_bytes, stride) = match &run_lengths {
        Some(indices) => (indices.as_slice(), Layout::Indexed(8), columns, columns),
        None => {
            let bits = columns * usize::from(header.bits);
            let data = bytes.get(header.offset..).unwrap_or_default();
            (data, layout, bits.div_ceil(8), bits.div_ceil(32) * 4)
        }
    };
    // The last row needs no padding.
    if data.len() < stride * (rows - 1) + row_bytes {
        return Err(FAULT.truncated("pixels"));
    }
    let mut pixels = vec![0; columns * rows * 3];
    for (index, row) in data.chunks(stride).take(rows).enumerate() {
        let index = if header.top_down { index } else { rows - 1 - index };
        let out = &mut pixels[index * columns * 3..(index + 1) * columns * 3];
        row_to_rgb(&row[..row_bytes], layout, &header.palette, out);
    }
    Ok(Rgb { width, height, pixels })
}

/// Reads all that stands before the pixels; none if the file ends before.
fn read_header(bytes: &[u8]) -> Option<Result<Header, ImageError>> {
    let mut cursor = Cursor::at(bytes, 10);
    let mut offset = cursor.u32_le()? as usize;
    let header_size = cursor.u32_le()?;
    let fields = cursor.take((header_size as usize).checked_sub(4)?.min(120))?;
    let mut field = Cursor::at(fields, 0);
    let (width, height, top_down, bits, compression, colours, entry);
    match header_size {
        12 => {
            (width, height) = (field.u16_le()?.into(), field.u16_le()?.into());
            field.u16_le()?;
            bits = field.u16_le()?;
            (top_down, compression, colours, entry) = (false, RAW, 0, 3);
        }
        40 | 52 | 56 | 64 | 108 | 124 => {
            width = field.u32_le()?;
            let signed = field.u32_le()?;
            // Pillow's test for a negative height.
            top_down = signed >> 24 == 0xff;
            height = if top_down { signed.wrapping_neg() } else { signed };
            field.u16_le()?;
            bits = field.u16_le()?;
            compression = field.u32_le()?;
            field.take(12)?;
            (colours, entry) = (field.u32_le()?, 4);
        }
        n => return Some(Err(FAULT.unsupported(format!("a header of {n} bytes")))),
    }
    let mut masks = [0; 4];
    if compression == BITFIELDS {
        let in_header = header_size >= 52;
        let mut at = if in_header { Cursor::at(fields, 36) } else { cursor.clone() };
        for mask in &mut masks[..3] {
            *mask = at.u32_le()?;
        }
        if header_size >= 56 {
            masks[3] = at.u32_le()?;
        }
        if !in_header {
            cursor = at;
        }
    }
    let mut palette = Palette::grey();
    if bits <= 8 {
        let colours = if colours == 0 { 1 << bits } else { colours as usize };
        if colours > 65_536 {
            return Some(Err(FAULT.damaged(format!("it claims a palette of {colours} colours"))));
        }
        if offset == 14 + header_size as usize {
            offset += 4 * colours;
        }
        let table = cursor.take(entry * colours)?;
        palette = Palette::new(table.chunks_exact(entry).map(|c| [c[2], c[1], c[0]]));
    }
    let offset = if offset == 0 { cursor.position() } else { offset };
    Some(Ok(Header { width, height, top_down, bits, compression, masks, palette, offset }))
}

fn layout(header: &Header) -> Result<Layout, ImageError> {
    let plain = match header.bits {
        1 | 4 | 8 => Layout::Indexed(header.bits.into()),
        16 => Layout::Packed16 { green_bits: 5 },
        24 => Layout::Bytes { step: 3, red: 2, green: 1, blue: 0 },
        32 => Layout::Bytes { step: 4, red: 2, green: 1, blue: 0 },
        n => return Err(FAULT.unsupported(format!("{n} bits a pixel"))),
    };
    match (header.compression, header.bits) {
        (RAW, _) | (RLE8 | RLE4, 4 | 8) => Ok(plain),
        (BITFIELDS, _) => bit_fields(header, plain),
        (RLE8 | RLE4, bits) => Err(FAULT.damaged(format!("it has run lengths and {bits} bits a pixel"))),
        (4, _) => Err(FAULT.unsupported("a jpeg inside")),
        (5, _) => Err(FAULT.unsupported("a png inside")),
        (n, _) => Err(FAULT.unsupported(format!("compression {n}"))),
    }
}

/// The bit fields that Pillow reads.
fn bit_fields(header: &Header, plain: Layout) -> Result<Layout, ImageError> {
    let [red, green, blue, alpha] = header.masks;
    let bytes = |red, green, blue| Ok(Layout::Bytes { step: 4, red, green, blue });
    match (header.bits, (red, green, blue, alpha)) {
        (32, (0xff_0000, 0xff00, 0xff, 0 | 0xff00_0000) | (0, 0, 0, 0)) => Ok(plain),
        (32, (0xff00_0000, 0xff_0000, 0xff00, 0 | 0xff)) => bytes(3, 2, 1),
        (32, (0xff00_0000, 0xff00, 0xff, 0 | 0xff_0000)) => bytes(3, 1, 0),
        (32, (0xff, 0xff00, 0xff_0000, 0xff00_0000)) => bytes(0, 1, 2),
        (24, (0xff_0000, 0xff00, 0xff, _)) => Ok(plain),
        (16, (0xf800, 0x7e0, 0x1f, _)) => Ok(Layout::Packed16 { green_bits: 6 }),
        (16, (0x7c00, 0x3e0, 0x1f, _)) => Ok(plain),
        _ => Err(FAULT.unsupported(format!("the bit fields {red:x} {green:x} {blue:x} {alpha:x}"))),
    }
}

fn row_to_rgb(row: &[u8], layout: Layout, palette: &Palette, out: &mut [u8]) {
    let out = out.as_chunks_mut::<3>().0.iter_mut();
    match layout {
        Layout::Indexed(bits) => {
            for (out, index) in out.zip(packed(row, bits)) {
                *out = palette.colour(index);
            }
        }
        Layout::Packed16 { green_bits } => {
            let level = |value: u32, bits: u32| {
                let most = (1 << bits) - 1;
                ((value & most) * 255 / most) as u8
            };
            for (out, pixel) in out.zip(row.as_chunks::<2>().0) {
                let pixel = u32::from(u16::from_le_bytes(*pixel));
                *out = [level(pixel >> (5 + green_bits), 5), level(pixel >> 5, green_bits), level(pixel, 5)];
            }
        }
        Layout::Bytes { step, red, green, blue } => {
            for (out, pixel) in out.zip(row.chunks_exact(step)) {
                *out = [pixel[red], pixel[green], pixel[blue]];
            }
        }
    }
}

/// Run lengths to one index a byte, row by row from the first in the file.
///
/// This is Pillow's reading, in its mistakes too: an odd number of literal 4-bit indices loses its last, a skip is read
/// from the wrong place, and alignment counts from the start of the file.
fn expand_runs(bytes: &[u8], header: &Header) -> Result<Vec<u8>, ImageError> {
    let width = header.width as usize;
    let wanted = width * header.height as usize;
    let four_bits = header.compression == RLE4;
    let mut cursor = Cursor::at(bytes, header.offset);
    let mut indices: Vec<u8> = Vec::with_capacity(wanted);
    let mut x = 0;
    while indices.len() < wanted {
        let (Some(count), Some(value)) = (cursor.u8(), cursor.u8()) else { break };
        match (usize::from(count), usize::from(value)) {
            (0, 0) => {
                indices.resize(indices.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                // Pillow takes the skip from the two bytes behind those that hold it.
                let (Some(_), Some(right), Some(up)) = (cursor.take(2), cursor.u8(), cursor.u8()) else { break };
                let skipped = usize::from(right) + usize::from(up) * width;
                indices.resize((indices.len() + skipped).min(wanted), 0);
                x = indices.len() % width;
            }
            (0, literal) => {
                let byte_count = if four_bits { literal / 2 } else { literal };
                let Some(data) = cursor.take(byte_count) else { break };
                if four_bits {
                    indices.extend(packed(data, 4));
                } else {
                    indices.extend_from_slice(data);
                }
                x += literal;
                if !cursor.position().is_multiple_of(2) {
                    cursor.u8();
                }
            }
            (run, _) => {
                let run = run.min(width.saturating_sub(x));
                let pair = if four_bits { [value >> 4, value & 15] } else { [value; 2] };
                indices.extend(pair.iter().cycle().take(run));
                x += run;
            }
        }
    }
    if indices.len() < wanted {
        return Err(FAULT.truncated("pixels"));
    }
    indices.truncate(wanted);
    Ok(indices)
}
