//! Bodies that a server sends compressed, although it was asked not to.

use std::io::{self, Cursor, Read};

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use futures::stream::{self, StreamExt, TryStreamExt};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::WebError;
use super::answer::{Body, text_of};

/// Decoded bytes are handed on in pieces of this size, so that a reader can stop a body that never ends.
const PIECE: usize = 64 << 10;

/// So many pieces are decoded ahead.
const AHEAD: usize = 2;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Deflate,
    Zstd,
}

impl Encoding {
    /// The name of a body's encoding, `None` if it is sent as it is.
    pub(super) fn name(headers: &HeaderMap) -> Option<&str> {
        let name = text_of(headers, CONTENT_ENCODING)?.trim();
        // S3 hands out the last one where a program has uploaded the file in chunks: it is none of the file's.
        let none = ["", "identity", "aws-chunked"].iter().any(|none| name.eq_ignore_ascii_case(none));
        (!none).then_some(name)
    }

    /// The encoding of a body, if it has one.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, WebError> {
        let Some(name) = Self::name(headers) else { return Ok(None) };
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Ok(Some(Self::Gzip)),
            "deflate" => Ok(Some(Self::Deflate)),
            "zstd" => Ok(Some(Self::Zstd)),
            _ => Err(WebError::Encoding { encoding: name.to_string() }),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    fn decoder<'a>(self, mut body: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(body)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(body)?),
            Self::Deflate => {
                let mut start = Vec::new();
                body.by_ref().take(2).read_to_end(&mut start)?;
                // The name means zlib's format; some servers send the bare one.
                let zlib = matches!(start[..], [a, b] if a & 15 == 8 && u16::from_be_bytes([a, b]) % 31 == 0);
                let body = Cursor::new(start).chain(body);
                match zlib {
                    true => Box::new(ZlibDecoder::new(body)),
                    false => Box::new(DeflateDecoder::new(body)),
                }
            }
        })
    }
}

/// Decodes a body as it comes, on a thread that may block.
pub(super) fn decode(body: Body, encoding: Encoding) -> Body {
    let body = SyncIoBridge::new(StreamReader::new(body.map_err(io::Error::other)));
    let (sender, mut receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        // A failure to send means that nobody reads any more.
        let sent = |piece| sender.blocking_send(piece).is_ok();
        if let Err(error) = pieces(body, encoding, |piece| sent(Ok(piece))) {
            sent(Err(cause(encoding, error)));
        }
    });
    stream::poll_fn(move |context| receiver.poll_recv(context)).boxed()
}

/// Gives `piece` one decoded piece after the other, until it wants no more.
fn pieces(body: impl Read, encoding: Encoding, piece: impl Fn(Bytes) -> bool) -> io::Result<()> {
    let mut decoder = encoding.decoder(body)?;
    let mut buffer = vec![0; PIECE];
    loop {
        let length = decoder.read(&mut buffer)?;
        if length == 0 || !piece(Bytes::copy_from_slice(&buffer[..length])) {
            return Ok(());
        }
    }
}

/// The error of the body if it came from there, else one of decoding.
fn cause(encoding: Encoding, error: io::Error) -> WebError {
    error.downcast().unwrap_or_else(|error| WebError::Decode { encoding: encoding.as_str(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(encoding: Encoding, body: &[u8]) -> io::Result<Vec<u8>> {
        let whole = std::cell::RefCell::new(Vec::new());
        pieces(body, encoding, |piece| {
            whole.borrow_mut().extend_from_slice(&piece);
            true
        })?;
        Ok(whole.into_inner())
    }

    #[test]
    fn each_encoding_gives_the_bytes_back() {
        let bytes = b"0123456789".repeat(20_000);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&bytes).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        bare.write_all(&bytes).unwrap();
        assert_eq!(decoded(Encoding::Gzip, &gzip(&bytes)).unwrap(), bytes);
        assert_eq!(decoded(Encoding::Deflate, &zlib.finish().unwrap()).unwrap(), bytes);
        assert_eq!(decoded(Encoding::Deflate, &bare.finish().unwrap()).unwrap(), bytes);
        assert_eq!(decoded(Encoding::Zstd, &zstd::encode_all(&bytes[..], 1).unwrap()).unwrap(), bytes);
    }

    #[test]
    fn all_members_are_read() {
        assert_eq!(decoded(Encoding::Gzip, &[gzip(b"one "), gzip(b"two")].concat()).unwrap(), b"one two");
        let frames = [zstd::encode_all(&b"one "[..], 1).unwrap(), zstd::encode_all(&b"two"[..], 1).unwrap()];
        assert_eq!(decoded(Encoding::Zstd, &frames.concat()).unwrap(), b"one two");
    }

    #[test]
    fn a_body_that_ends_too_early_is_an_error() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&bytes).unwrap();
        let bodies = [
            (Encoding::Gzip, gzip(&bytes)),
            (Encoding::Deflate, zlib.finish().unwrap()),
            (Encoding::Zstd, zstd::encode_all(&bytes[..], 1).unwrap()),
        ];
        for (encoding, body) in bodies {
            assert!(decoded(encoding, &body[..body.len() / 2]).is_err(), "{encoding:?}");
        }
    }

    #[test]
    fn a_reader_that_has_enough_stops_a_bomb() {
        let bomb = gzip(&vec![0; 64 << 20]);
        let read = std::cell::Cell::new(0);
        let stops = |piece: Bytes| {
            read.set(read.get() + piece.len());
            read.get() < 1 << 20
        };
        pieces(&bomb[..], Encoding::Gzip, stops).unwrap();
        assert!(read.get() < 2 << 20, "{}", read.get());
    }
}
