//! Where a TIFF's strips or tiles lie, and what is in them.

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::ZlibDecoder;
use weezl::{BitOrder, LzwStatus};

use super::FAULT;
use super::directory::{Directory, tag};
use super::layout::Layout;
use crate::preprocess::ImageError;
use crate::preprocess::decode::jpeg;

/// How chunks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
}

impl Compression {
    pub(super) fn read(directory: &Directory<'_>) -> Result<Self, ImageError> {
        match directory.number(tag::COMPRESSION).unwrap_or(1) {
            1 => Ok(Self::None),
            2 => Err(FAULT.unsupported("ccitt compression")),
            3 => Err(FAULT.unsupported("group 3 fax compression")),
            4 => Err(FAULT.unsupported("group 4 fax compression")),
            5 => Ok(Self::Lzw),
            6 => Err(FAULT.unsupported("old-style jpeg compression")),
            7 => Ok(Self::Jpeg),
            8 | 32946 => Ok(Self::Deflate),
            32773 => Ok(Self::PackBits),
            34925 => Err(FAULT.unsupported("lzma compression")),
            50000 => Err(FAULT.unsupported("zstd compression")),
            50001 => Err(FAULT.unsupported("webp compression")),
            n => Err(FAULT.unsupported(format!("compression {n}"))),
        }
    }
}

/// The grid of strips or tiles that makes the picture.
pub(super) struct Grid {
    /// Width of a chunk in pixels.
    pub(super) width: usize,
    /// Height of a chunk in pixels.
    pub(super) height: usize,
    /// Chunks side by side.
    pub(super) across: usize,
    /// Chunks of one plane.
    pub(super) per_plane: usize,
    offsets: Vec<u64>,
    lengths: Option<Vec<u64>>,
}

impl Grid {
    pub(super) fn read(
        directory: &Directory<'_>,
        (width, height): (usize, usize),
        planes: usize,
        compression: Compression,
    ) -> Result<Self, ImageError> {
        let tiled = directory.bytes(tag::STRIP_OFFSETS).is_none();
        let (chunk_width, chunk_height, offsets, lengths) = if tiled {
            let side = |tag| directory.require(tag, "tiles' size").map(|side| side as usize);
            (side(tag::TILE_WIDTH)?, side(tag::TILE_HEIGHT)?, tag::TILE_OFFSETS, tag::TILE_BYTES)
        } else {
            let rows = directory.number(tag::ROWS_PER_STRIP).map_or(height, |rows| rows.min(height as u64) as usize);
            (width, rows, tag::STRIP_OFFSETS, tag::STRIP_BYTES)
        };
        if chunk_width == 0 || chunk_height == 0 {
            return Err(FAULT.damaged("its strips or tiles have no pixels"));
        }
        let across = width.div_ceil(chunk_width);
        let per_plane = across.saturating_mul(height.div_ceil(chunk_height));
        let offsets = directory.numbers(offsets).ok_or(FAULT.damaged("it does not tell where its pixels are"))?;
        if offsets.len() < per_plane.saturating_mul(planes) {
            return Err(FAULT.damaged("it has fewer strips or tiles than its size asks for"));
        }
        // Nothing below allocates or loops by more than this.
        let area = (chunk_width as u128) * (chunk_height.min(height) as u128) * (per_plane as u128);
        if area > 4 * (width as u128) * (height as u128) + (1 << 22) {
            return Err(FAULT.excessive("its tiles are much larger than the picture"));
        }
        let mut offsets: Vec<u64> = offsets.collect();
        if let (1, Compression::None) = (per_plane * planes, compression) {
            // Pillow's choice where one strip covers all and the file names several.
            offsets.drain(..offsets.len() - 1);
        }
        let lengths = directory.numbers(lengths).map(Iterator::collect);
        Ok(Self { width: chunk_width, height: chunk_height, across, per_plane, offsets, lengths })
    }
}

/// Reads chunks.
pub(super) struct Chunks<'a> {
    pub(super) file: &'a [u8],
    pub(super) grid: &'a Grid,
    pub(super) compression: Compression,
    /// Whether the lowest bit of a byte comes first.
    pub(super) reversed: bool,
    pub(super) big_endian: bool,
    pub(super) predicted: bool,
    pub(super) jpeg_tables: Option<&'a [u8]>,
    /// Whether the JPEGs hold YCbCr.
    pub(super) ycbcr: bool,
    /// How many compressed bytes may still be read. Chunks that share bytes could else cost far more than the file.
    pub(super) budget: usize,
}

impl<'a> Chunks<'a> {
    /// The first `rows` rows of a chunk, with `samples` samples a pixel, decompressed; the lowest byte of a number
    /// comes first.
    pub(super) fn read(
        &mut self,
        index: usize,
        rows: usize,
        samples: usize,
        layout: &Layout,
    ) -> Result<Cow<'a, [u8]>, ImageError> {
        let row_bytes = layout.row_bytes(self.grid.width, samples);
        let wanted = rows * row_bytes;
        let mut compressed = Cow::Borrowed(self.compressed(index, wanted)?);
        if self.reversed && self.compression != Compression::Jpeg {
            compressed.to_mut().iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        let mut data = match self.compression {
            Compression::None => compressed,
            Compression::Lzw => Cow::Owned(unpack_lzw(&compressed, wanted)?),
            Compression::Deflate => Cow::Owned(inflate(&compressed, wanted)?),
            Compression::PackBits => Cow::Owned(unpack_bits(&compressed, wanted)?),
            Compression::Jpeg => Cow::Owned(self.unpack_jpeg(&compressed, rows, samples)?),
        };
        let bytes = layout.bits as usize / 8;
        if self.big_endian && bytes > 1 {
            data.to_mut().chunks_exact_mut(bytes).for_each(<[u8]>::reverse);
        }
        if self.predicted {
            data.to_mut().chunks_exact_mut(row_bytes).for_each(|row| undo_prediction(row, bytes, samples));
        }
        Ok(data)
    }

    fn compressed(&mut self, index: usize, wanted: usize) -> Result<&'a [u8], ImageError> {
        let truncated = FAULT.truncated("pixels");
        let offset = self.grid.offsets.get(index).and_then(|offset| usize::try_from(*offset).ok());
        let rest = offset.and_then(|offset| self.file.get(offset..)).ok_or(truncated.clone())?;
        if self.compression == Compression::None {
            // The length of what is not compressed is known, and what the file says of it is not used, as in Pillow.
            return rest.get(..wanted).ok_or(truncated);
        }
        let lengths = self.grid.lengths.as_ref().ok_or(FAULT.damaged("it does not tell its strips' lengths"))?;
        let length = lengths.get(index).and_then(|length| usize::try_from(*length).ok());
        let data = length.and_then(|length| rest.get(..length)).ok_or(truncated)?;
        self.budget = self
            .budget
            .checked_sub(data.len())
            .ok_or(FAULT.excessive("its strips or tiles together are much longer than the file"))?;
        Ok(data)
    }

    fn unpack_jpeg(&self, data: &[u8], rows: usize, samples: usize) -> Result<Vec<u8>, ImageError> {
        let mut stream = Vec::new();
        if let Some(tables) = self.jpeg_tables {
            // A stream of its own, from the start marker to the end marker.
            stream.extend_from_slice(tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(tables));
            stream.extend_from_slice(data.strip_prefix(&[0xff, 0xd8]).unwrap_or(data));
        } else {
            stream.extend_from_slice(data);
        }
        let tile = (self.grid.width, self.grid.height);
        let pixels = jpeg::decode_component(&stream, tile, samples, self.ycbcr).map_err(|error| {
            // The name of the outer format tells the user which file is meant.
            FAULT.damaged(format!("of a strip or tile in it: {error}"))
        })?;
        let wanted = rows * self.grid.width * samples;
        if pixels.len() < wanted {
            return Err(FAULT.truncated("pixels"));
        }
        Ok(pixels)
    }
}

fn unpack_lzw(data: &[u8], wanted: usize) -> Result<Vec<u8>, ImageError> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    let mut out = vec![0; wanted];
    let (mut read, mut filled) = (0, 0);
    while filled < wanted {
        let result = decoder.decode_bytes(&data[read..], &mut out[filled..]);
        read += result.consumed_in;
        filled += result.consumed_out;
        match result.status {
            Err(_) => return Err(FAULT.damaged("its lzw data has a code that does not exist")),
            Ok(LzwStatus::Ok) if result.consumed_in + result.consumed_out > 0 => {}
            Ok(_) if filled < wanted => return Err(FAULT.truncated("pixels")),
            Ok(_) => {}
        }
    }
    Ok(out)
}

fn inflate(data: &[u8], wanted: usize) -> Result<Vec<u8>, ImageError> {
    let mut out = vec![0; wanted];
    ZlibDecoder::new(data).read_exact(&mut out).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => FAULT.truncated("pixels"),
        _ => FAULT.damaged(format!("its deflate data: {error}")),
    })?;
    Ok(out)
}

fn unpack_bits(data: &[u8], wanted: usize) -> Result<Vec<u8>, ImageError> {
    let mut out = Vec::with_capacity(wanted);
    let mut rest = data;
    while out.len() < wanted {
        let (count, behind) = rest.split_first().ok_or(FAULT.truncated("pixels"))?;
        rest = behind;
        match *count {
            128 => {}
            literal @ 0..128 => {
                let (bytes, behind) =
                    rest.split_at_checked(usize::from(literal) + 1).ok_or(FAULT.truncated("pixels"))?;
                out.extend_from_slice(bytes);
                rest = behind;
            }
            run => {
                let (byte, behind) = rest.split_first().ok_or(FAULT.truncated("pixels"))?;
                out.resize(out.len() + 257 - usize::from(run), *byte);
                rest = behind;
            }
        }
    }
    out.truncate(wanted);
    Ok(out)
}

/// Adds to each sample the one of the pixel before it.
fn undo_prediction(row: &mut [u8], bytes: usize, samples: usize) {
    let step = bytes * samples;
    for at in (step..row.len() / bytes * bytes).step_by(bytes) {
        let mut carry = 0;
        for byte in at..at + bytes {
            let sum = u16::from(row[byte]) + u16::from(row[byte - step]) + carry;
            row[byte] = sum as u8;
            carry = sum >> 8;
        }
    }
}
