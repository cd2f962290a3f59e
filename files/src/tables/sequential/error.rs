//! What can be wrong with a text.

use std::io;

use datafusion::error::DataFusionError;

/// Why a file's text could not be read. The file is named by who reads it.
#[derive(Debug, thiserror::Error)]
pub(super) enum TextError {
    /// The bytes did not come, or could not be decompressed.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// A quoted value has no end.
    #[error(
        "line {line}: the quoted value that begins here has no closing quote; if quotes are ordinary characters of this file, \
         say OPTIONS ('format.quote' '') in CREATE EXTERNAL TABLE"
    )]
    NotClosed { line: u64 },
    /// A closing quote is followed by something else than the end of the value.
    #[error(
        "line {line}: something follows a closing quote within the same value; if quotes are ordinary characters of this \
         file, say OPTIONS ('format.quote' '') in CREATE EXTERNAL TABLE"
    )]
    AfterQuote { line: u64 },
    /// No end of a record within what may be held.
    #[error("line {line}: a record of more than {limit} bytes")]
    TooLong { line: u64, limit: usize },
    /// The text is not UTF-8.
    #[error(
        "line {line}: not UTF-8, from byte {byte} of the line on; write the file in UTF-8, or SET \
         tamis.files.invalid_utf8 = 'replace' to read U+FFFD in such places"
    )]
    NotUtf8 { line: u64, byte: usize },
    /// An array or a value goes on where it should end.
    #[error("line {line}: {reason}")]
    Json { line: u64, reason: &'static str },
    /// A record that cannot be decoded.
    #[error("line {line}: {reason}")]
    Record { line: u64, reason: String },
}

impl TextError {
    /// Of a text whose bytes are not UTF-8 from `place` on, and whose first line has this number.
    pub(super) fn not_utf8(text: &[u8], place: usize, first_line: u64) -> Self {
        let before = &text[..place];
        let line = first_line + memchr::memchr_iter(b'\n', before).count() as u64;
        let byte = place - memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        Self::NotUtf8 { line, byte }
    }
}

impl From<TextError> for DataFusionError {
    fn from(error: TextError) -> Self {
        match error {
            TextError::Read(error) => Self::IoError(error),
            other => Self::External(Box::new(other)),
        }
    }
}

/// At most so many characters of a value stand in a message.
const MOST_SHOWN: usize = 200;

/// A text for a message: not the whole of a caption, nor of an image in base64.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text.to_string(),
    }
}
