//! Decompression as a stream.

use std::io::{self, Read};

use datafusion::parquet::basic::Compression;

/// How far back a Snappy stream may refer. The format allows any distance, compressors work on blocks of 64 KiB.
const HISTORY: usize = 1 << 20;

/// Whether pages of this codec can be decompressed piece by piece.
pub(in crate::tables) fn can_stream(codec: Compression) -> bool {
    matches!(codec, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_))
}

/// A reader of the decompressed bytes.
pub(super) fn decompress<'a>(
    codec: Compression,
    reader: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match codec {
        Compression::UNCOMPRESSED => Box::new(reader),
        Compression::SNAPPY => Box::new(Snappy::new(reader)?),
        Compression::ZSTD(_) => Box::new(zstd::Decoder::new(reader)?),
        other => return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{other} cannot be read as a stream"))),
    })
}

/// Snappy's raw format. The `snap` crate decodes it as one piece only.
struct Snappy<R> {
    reader: io::BufReader<R>,
    /// Decoded bytes: the history, then what has not been given out.
    window: Vec<u8>,
    given: usize,
    /// Bytes that are still to be decoded.
    left: u64,
    /// Bytes of the current literal that are still to be copied.
    literal: u64,
}

impl<R: Read> Snappy<R> {
    fn new(reader: R) -> io::Result<Self> {
        let mut reader = io::BufReader::with_capacity(64 << 10, reader);
        let mut left = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = little_endian(&mut reader, 1)?;
            left |= (byte & 127) << shift;
            if byte < 128 {
                return Ok(Self { reader, window: vec![], given: 0, left, literal: 0 });
            }
        }
        Err(damaged("no length"))
    }

    /// Decodes at least one more byte.
    fn advance(&mut self) -> io::Result<()> {
        if self.given >= 2 * HISTORY {
            let old = self.given - HISTORY;
            self.window.drain(..old);
            self.given -= old;
        }
        if self.literal == 0 {
            self.element()?;
        }
        if self.literal > 0 {
            let part = self.literal.min(64 << 10);
            let copied = self.reader.by_ref().take(part).read_to_end(&mut self.window)? as u64;
            if copied < part {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.literal -= part;
            self.left -= part;
        }
        Ok(())
    }

    fn element(&mut self) -> io::Result<()> {
        let tag = little_endian(&mut self.reader, 1)?;
        let (length, offset) = match tag & 3 {
            0 => {
                let short = tag >> 2;
                let length = if short < 60 { short } else { little_endian(&mut self.reader, short as usize - 59)? };
                self.literal = length + 1;
                if self.literal > self.left {
                    return Err(damaged("more bytes than announced"));
                }
                return Ok(());
            }
            1 => (4 + (tag >> 2 & 7), (tag >> 5) << 8 | little_endian(&mut self.reader, 1)?),
            2 => (1 + (tag >> 2), little_endian(&mut self.reader, 2)?),
            _ => (1 + (tag >> 2), little_endian(&mut self.reader, 4)?),
        };
        let (length, offset) = (length as usize, offset as usize);
        if offset == 0 || offset > self.window.len() || length as u64 > self.left {
            return Err(damaged("a reference that leads nowhere"));
        }
        // The copy may overlap what it writes.
        let start = self.window.len() - offset;
        for index in start..start + length {
            self.window.push(self.window[index]);
        }
        self.left -= length as u64;
        Ok(())
    }
}

impl<R: Read> Read for Snappy<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.window.len() {
            if self.left == 0 || buffer.is_empty() {
                return Ok(0);
            }
            self.advance()?;
        }
        let ready = &self.window[self.given..];
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.given += count;
        Ok(count)
    }
}

fn little_endian(reader: &mut impl Read, bytes: usize) -> io::Result<u64> {
    let mut number = [0; 8];
    reader.read_exact(&mut number[..bytes])?;
    Ok(u64::from_le_bytes(number))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("snappy: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsnap(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = vec![];
        decompress(Compression::SNAPPY, bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn the_elements_of_the_format() {
        // "abcd" as a literal, 6 bytes from 4 back, 5 from 1 back (an overlapping copy), 2 from 15 back.
        let bytes =
            [17, 3 << 2, b'a', b'b', b'c', b'd', (2 << 2) | 1, 4, (4 << 2) | 2, 1, 0, (1 << 2) | 3, 15, 0, 0, 0];
        assert_eq!(unsnap(&bytes).unwrap(), b"abcdabcdabbbbbbab");
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in [
            &[][..],
            &[5],
            &[5, 0],
            &[1, 4, 1, 1],
            &[4, (3 << 2) | 2, 1, 0],
            &[200, 200, 200, 200, 200, 1],
            &[9, 252, 255],
        ] {
            assert!(unsnap(bytes).is_err(), "{bytes:?}");
        }
    }
}
