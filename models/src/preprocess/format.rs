//! Which format a file has, by its first bytes and never by its name.

use std::fmt;

use super::ImageError;

/// The image formats that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    WebP,
    /// GIF.
    Gif,
    /// BMP.
    Bmp,
    /// TIFF.
    Tiff,
}

impl ImageFormat {
    /// The format of `bytes`, or an error that says what they look like instead.
    pub(super) fn sniff(bytes: &[u8]) -> Result<Self, ImageError> {
        match bytes {
            [] => Err(ImageError::Empty),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Ok(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Self::Gif),
            [b'I', b'I', 0x2a, 0, ..] | [b'M', b'M', 0, 0x2a, ..] => Ok(Self::Tiff),
            // Pillow reads these two headers as well, with the byte order of the letters.
            [b'M', b'M', 0x2a, 0, ..] | [b'I', b'I', 0, 0x2a, ..] => Ok(Self::Tiff),
            [b'I', b'I', 0x2b, 0, ..] | [b'M', b'M', 0, 0x2b, ..] => Ok(Self::Tiff),
            [b'B', b'M', ..] if !is_text(bytes) => Ok(Self::Bmp),
            _ => Err(match other_format(bytes) {
                Some(found) => ImageError::UnsupportedFormat { found },
                None => ImageError::NotAnImage { found: other_content(bytes) },
            }),
        }
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
        })
    }
}

/// Image formats that are recognised only to name them.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    if let [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] = bytes {
        return match brand.first_chunk::<4>() {
            Some(b"avif" | b"avis") => Some("avif"),
            Some(b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1") => Some("heic"),
            Some(b"jxl ") => Some("jpeg xl"),
            _ => None,
        };
    }
    match bytes {
        [0xff, 0x0a, ..] | [0, 0, 0, 0x0c, b'J', b'X', b'L', b' ', ..] => Some("jpeg xl"),
        [0, 0, 0, 0x0c, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => Some("jpeg 2000"),
        [0, 0, 1, 0, ..] => Some("ico"),
        [b'8', b'B', b'P', b'S', ..] => Some("photoshop"),
        [b'q', b'o', b'i', b'f', ..] => Some("qoi"),
        [b'D', b'D', b'S', b' ', ..] => Some("dds"),
        [b'v', b'/', b'1', 1, ..] => Some("openexr"),
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..] => Some("netpbm"),
        [b'I', b'I', 0xbc, ..] => Some("jpeg xr"),
        _ if text_start(bytes).starts_with(b"<svg") => Some("svg"),
        _ if text_start(bytes).starts_with(b"<?xml") && contains(bytes, b"<svg") => Some("svg"),
        _ => None,
    }
}

fn other_content(bytes: &[u8]) -> &'static str {
    let start = text_start(bytes);
    let lower: Vec<u8> = start.iter().take(14).map(u8::to_ascii_lowercase).collect();
    match start {
        [b'%', b'P', b'D', b'F', ..] => "a pdf file",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [0x1f, 0x8b, ..] => "gzip data",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "a video",
        _ if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") || lower.starts_with(b"<head") => {
            "an html page"
        }
        [b'<', ..] if is_text(bytes) => "xml text",
        [b'{' | b'[', ..] if is_text(bytes) => "json text",
        [] if is_text(bytes) => "blank text",
        _ if bytes.iter().take(64).all(|b| *b == 0) => "zeros",
        _ if is_text(bytes) => "text",
        _ => "unknown binary data",
    }
}

/// The bytes after a byte order mark and white space.
fn text_start(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start()
}

/// Whether the first bytes are UTF-8 without control characters.
fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(512)];
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        // The cut at 512 may fall within a character.
        Err(e) => e.error_len().is_none(),
    };
    valid && head.iter().all(|b| !b.is_ascii_control() || matches!(b, b'\t' | b'\n' | b'\r' | 0x0c))
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes[..bytes.len().min(1024)].windows(word.len()).any(|w| w == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_formats_by_magic() {
        for (bytes, format) in [
            (&b"\xff\xd8\xff\xe0"[..], ImageFormat::Jpeg),
            (b"\x89PNG\r\n\x1a\n", ImageFormat::Png),
            (b"RIFF\x24\0\0\0WEBPVP8 ", ImageFormat::WebP),
            (b"GIF87a", ImageFormat::Gif),
            (b"GIF89a\x01\0", ImageFormat::Gif),
            (b"BM\x36\0\0\0", ImageFormat::Bmp),
            (b"II*\0", ImageFormat::Tiff),
            (b"MM\0*", ImageFormat::Tiff),
            (b"MM\0+", ImageFormat::Tiff),
        ] {
            assert_eq!(ImageFormat::sniff(bytes), Ok(format));
        }
    }

    #[test]
    fn others_are_named() {
        for (bytes, message) in [
            (&b""[..], "no bytes: the image is empty"),
            (b"\0\0\0\x20ftypavif\0\0\0\0", "avif images are not decoded"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "heic images are not decoded"),
            (b"\0\0\0\x0cJXL \r\n\x87\n", "jpeg xl images are not decoded"),
            (b"\xff\x0a\xfa\x7f", "jpeg xl images are not decoded"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg 2000 images are not decoded"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg images are not decoded"),
            (b"<?xml version='1.0'?>\n<svg/>", "svg images are not decoded"),
            (b"<!DOCTYPE HTML><html>", "not an image: the bytes begin like an html page"),
            (b"\xef\xbb\xbf  {\"error\": 404}", "not an image: the bytes begin like json text"),
            (b"BMW is a maker of cars, and this is text", "not an image: the bytes begin like text"),
            (b"Not found", "not an image: the bytes begin like text"),
            (b"%PDF-1.7", "not an image: the bytes begin like a pdf file"),
            (b"\0\0\0\0\0\0", "not an image: the bytes begin like zeros"),
            (b"\x01\x02\x03", "not an image: the bytes begin like unknown binary data"),
        ] {
            let error = ImageFormat::sniff(bytes).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn displayed_in_lower_case() {
        assert_eq!(format!("{} {:>5}", ImageFormat::WebP, ImageFormat::Tiff), "webp  tiff");
    }
}
