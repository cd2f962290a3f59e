//! A TIFF file's first directory: its tags and their numbers.

use super::FAULT;
use crate::preprocess::ImageError;
use crate::preprocess::decode::cursor::Cursor;

/// The tags that are read.
pub(super) mod tag {
    pub(in super::super) const WIDTH: u16 = 256;
    pub(in super::super) const HEIGHT: u16 = 257;
    pub(in super::super) const BITS: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const ORIENTATION: u16 = 274;
    pub(in super::super) const SAMPLES: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_BYTES: u16 = 279;
    pub(in super::super) const PLANAR: u16 = 284;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const COLOUR_MAP: u16 = 320;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_HEIGHT: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_BYTES: u16 = 325;
    pub(in super::super) const EXTRA: u16 = 338;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const JPEG_TABLES: u16 = 347;
}

/// The first directory. Its values stay in the file until they are asked for.
pub(super) struct Directory<'a> {
    pub(super) big_endian: bool,
    /// Whether all of it lies within the file.
    pub(super) complete: bool,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    tag: u16,
    kind: u16,
    value: &'a [u8],
}

impl<'a> Directory<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let order = Order { big_endian: bytes.starts_with(b"MM") };
        let big_file = bytes.get(2..4) == Some(&order.u16_bytes(43));
        Self::read_entries(bytes, order, big_file).ok_or(FAULT.truncated("header"))
    }

    /// As in Pillow, a directory that runs over the file's end keeps the tags before that.
    fn read_entries(bytes: &'a [u8], order: Order, big_file: bool) -> Option<Self> {
        let offset = if big_file { order.u64(bytes.get(8..16)?) } else { order.u32(bytes.get(4..8)?).into() };
        let mut cursor = Cursor::at(bytes, usize::try_from(offset).ok()?);
        let count = if big_file { order.u64(cursor.take(8)?) } else { order.u16(cursor.take(2)?).into() };
        let (entry_len, inline_len) = if big_file { (20, 8) } else { (12, 4) };
        let mut entries = Vec::new();
        let mut read = 0;
        while read < count {
            let Some(entry) = cursor.take(entry_len) else { break };
            read += 1;
            let (tag, kind) = (order.u16(&entry[..2]), order.u16(&entry[2..4]));
            let field = &entry[entry_len - inline_len..];
            let (count, value_offset) = if big_file {
                (order.u64(&entry[4..12]), order.u64(field))
            } else {
                (order.u32(&entry[4..8]).into(), order.u32(field).into())
            };
            let Some(unit) = unit_len(kind) else { continue };
            let len = usize::try_from(count).ok().and_then(|count| count.checked_mul(unit)).unwrap_or(usize::MAX);
            let value = if len <= inline_len {
                &field[..len]
            } else {
                let Some(value) = usize::try_from(value_offset).ok().and_then(|at| Cursor::at(bytes, at).take(len))
                else {
                    read = u64::MAX;
                    break;
                };
                value
            };
            if !value.is_empty() {
                entries.push(Entry { tag, kind, value });
            }
        }
        // Behind the tags stands the next directory's place.
        let complete = read == count && cursor.take(inline_len).is_some();
        Some(Self { big_endian: order.big_endian, complete, entries })
    }

    /// A tag's bytes. Of a tag that stands twice, the last counts.
    pub(super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.entries.iter().rev().find(|entry| entry.tag == tag).map(|entry| entry.value)
    }

    /// A tag's unsigned numbers.
    pub(super) fn numbers(&self, tag: u16) -> Option<impl ExactSizeIterator<Item = u64> + '_> {
        let order = Order { big_endian: self.big_endian };
        let entry = self.entries.iter().rev().find(|entry| entry.tag == tag)?;
        let unit = match entry.kind {
            1 | 7 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => return None,
        };
        Some(entry.value.chunks_exact(unit).map(move |bytes| match unit {
            1 => bytes[0].into(),
            2 => order.u16(bytes).into(),
            4 => order.u32(bytes).into(),
            _ => order.u64(bytes),
        }))
    }

    /// A tag's first number.
    pub(super) fn number(&self, tag: u16) -> Option<u64> {
        self.numbers(tag)?.next()
    }

    /// A tag's first number as one that must be there.
    pub(super) fn require(&self, tag: u16, what: &str) -> Result<u32, ImageError> {
        let number = self.number(tag).ok_or_else(|| FAULT.damaged(format!("it does not tell its {what}")))?;
        u32::try_from(number).map_err(|_| FAULT.damaged(format!("its {what} is {number}")))
    }
}

/// The size in bytes of one value of a kind; none for kinds that do not exist.
fn unit_len(kind: u16) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 | 17 | 18 => Some(8),
        _ => None,
    }
}

/// The order of a number's bytes.
#[derive(Debug, Clone, Copy)]
struct Order {
    big_endian: bool,
}

impl Order {
    fn u64(self, bytes: &[u8]) -> u64 {
        let join = |number, byte: &u8| number << 8 | u64::from(*byte);
        if self.big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) }
    }

    fn u32(self, bytes: &[u8]) -> u32 {
        self.u64(bytes) as u32
    }

    fn u16(self, bytes: &[u8]) -> u16 {
        self.u64(bytes) as u16
    }

    fn u16_bytes(self, number: u16) -> [u8; 2] {
        if self.big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }
}
