//! Page headers: Thrift's compact protocol, as far as a page header needs it.

use std::io::{self, Read};

use datafusion::parquet::basic::Encoding;

/// What a page's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub(super) kind: PageKind,
    /// Size of the body in the file.
    pub(super) compressed: u64,
    /// Size of the body as it is decoded.
    pub(super) uncompressed: usize,
}

/// The kinds of pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PageKind {
    Dictionary {
        values: u32,
        encoding: Encoding,
        is_sorted: bool,
    },
    DataV1 {
        values: u32,
        encoding: Encoding,
        definition: Encoding,
        repetition: Encoding,
    },
    DataV2 {
        values: u32,
        nulls: u32,
        rows: u32,
        encoding: Encoding,
        definition: u32,
        repetition: u32,
        is_compressed: bool,
    },
    /// An index page: skipped.
    Other,
}

/// Reads one page header; the reader stands behind it afterwards.
pub(super) fn read(reader: &mut impl Read) -> io::Result<PageHeader> {
    let mut header = Thrift(reader).fields(0)?;
    let page_type = header.int(1)?;
    let kind = match page_type {
        0 => {
            let data = header.part(5)?;
            PageKind::DataV1 {
                values: data.count(1)?,
                encoding: encoding(data.int(2)?)?,
                definition: encoding(data.int(3)?)?,
                repetition: encoding(data.int(4)?)?,
            }
        }
        2 => {
            let dictionary = header.part(7)?;
            PageKind::Dictionary {
                values: dictionary.count(1)?,
                encoding: encoding(dictionary.int(2)?)?,
                is_sorted: dictionary.flag(3).unwrap_or(false),
            }
        }
        3 => {
            let data = header.part(8)?;
            PageKind::DataV2 {
                values: data.count(1)?,
                nulls: data.count(2)?,
                rows: data.count(3)?,
                encoding: encoding(data.int(4)?)?,
                definition: data.count(5)?,
                repetition: data.count(6)?,
                is_compressed: data.flag(7).unwrap_or(true),
            }
        }
        _ => PageKind::Other,
    };
    let uncompressed = usize::try_from(header.int(2)?).map_err(|_| damaged("a negative size"))?;
    let compressed = u64::try_from(header.int(3)?).map_err(|_| damaged("a negative size"))?;
    Ok(PageHeader { kind, compressed, uncompressed })
}

fn encoding(id: i64) -> io::Result<Encoding> {
    Ok(match id {
        0 => Encoding::PLAIN,
        // Named differently in old files, decoded the same way.
        2 | 8 => Encoding::RLE_DICTIONARY,
        3 => Encoding::RLE,
        #[expect(deprecated, reason = "levels of very old files have it")]
        4 => Encoding::BIT_PACKED,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        other => return Err(damaged(&format!("encoding {other}"))),
    })
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("page header: {what}"))
}

/// The fields of a struct that are numbers, flags or structs; everything else is skipped.
#[derive(Debug, Default)]
struct Fields(Vec<(i16, Value)>);

#[derive(Debug)]
enum Value {
    Int(i64),
    Flag(bool),
    Struct(Fields),
}

impl Fields {
    fn int(&self, id: i16) -> io::Result<i64> {
        match self.0.iter().find(|(field, _)| *field == id) {
            Some((_, Value::Int(value))) => Ok(*value),
            _ => Err(damaged(&format!("no number in field {id}"))),
        }
    }

    fn count(&self, id: i16) -> io::Result<u32> {
        u32::try_from(self.int(id)?).map_err(|_| damaged("a negative count"))
    }

    fn flag(&self, id: i16) -> Option<bool> {
        match self.0.iter().find(|(field, _)| *field == id) {
            Some((_, Value::Flag(value))) => Some(*value),
            _ => None,
        }
    }

    fn part(&mut self, id: i16) -> io::Result<Fields> {
        let index = self.0.iter().position(|(field, value)| *field == id && matches!(value, Value::Struct(_)));
        match index.map(|index| self.0.swap_remove(index)) {
            Some((_, Value::Struct(fields))) => Ok(fields),
            _ => Err(damaged(&format!("no struct in field {id}"))),
        }
    }
}

struct Thrift<'a, R>(&'a mut R);

/// A page header nests twice; more is no page header.
const MAX_DEPTH: usize = 8;

impl<R: Read> Thrift<'_, R> {
    fn fields(&mut self, depth: usize) -> io::Result<Fields> {
        let mut fields = Fields::default();
        let mut last = 0i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(fields);
            }
            let delta = i16::from(head >> 4);
            last = if delta > 0 { last.wrapping_add(delta) } else { self.zigzag()? as i16 };
            if let Some(value) = self.value(head & 15, depth)? {
                fields.0.push((last, value));
            }
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> io::Result<Option<Value>> {
        if depth > MAX_DEPTH {
            return Err(damaged("nested too deeply"));
        }
        Ok(match kind {
            1 => Some(Value::Flag(true)),
            2 => Some(Value::Flag(false)),
            3 => self.skip(1).map(|()| None)?,
            4..=6 => Some(Value::Int(self.zigzag()?)),
            7 => self.skip(8).map(|()| None)?,
            8 => {
                // Statistics may hold a whole image as the smallest value.
                let length = self.varint()?;
                self.skip(length).map(|()| None)?
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                for _ in 0..count {
                    // A flag in a list is a byte; in a struct it is part of the field's head.
                    match head & 15 {
                        1 | 2 => self.skip(1)?,
                        kind => self.value(kind, depth + 1).map(drop)?,
                    }
                }
                None
            }
            12 => Some(Value::Struct(self.fields(depth + 1)?)),
            other => return Err(damaged(&format!("type {other}"))),
        })
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.0.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        Err(damaged("a number without end"))
    }

    fn zigzag(&mut self) -> io::Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.0.take(bytes), &mut io::sink())?;
        if skipped < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_page_with_statistics() {
        // As pyarrow writes it: type 0, sizes 1260 and 1265, 1000 values, RLE_DICTIONARY, RLE, RLE, statistics.
        let mut bytes = vec![0x15, 0, 0x15, 0xd8, 0x13, 0x15, 0xe2, 0x13, 0x2c];
        bytes.extend([
            0x15, 0xd0, 0x0f, 0x15, 0x10, 0x15, 0x06, 0x15, 0x06, 0x1c, 0x18, 3, b'a', b'b', b'c', 0, 0, 0, 77,
        ]);
        let mut reader = &bytes[..];
        let header = read(&mut reader).unwrap();
        assert_eq!((header.uncompressed, header.compressed), (1260, 1265));
        let expected = PageKind::DataV1 {
            values: 1000,
            encoding: Encoding::RLE_DICTIONARY,
            definition: Encoding::RLE,
            repetition: Encoding::RLE,
        };
        assert_eq!(header.kind, expected);
        assert_eq!(reader, [77]);
    }

    #[test]
    fn damaged_headers_are_errors() {
        for bytes in
            [&[][..], &[0x15], &[0], &[0x15, 0, 0], &[0x1c; 100], &[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
        {
            assert!(read(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
    }
}
