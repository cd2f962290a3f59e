//! What a model is asked about: a row's images and texts, in the form in which providers take them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tamis_models::preprocess::{Filter, ImageError, ImageFormat, decode, probe, resize};

use crate::prompt::{Kind, Prompt};
use crate::rules::Part;
use crate::sheet::png;
use crate::sources::{Content, Sources};

/// A file that is larger, or has a longer side, is made smaller before it is sent.
const MAX_BYTES: usize = 3_700_000;
const MAX_SIDE: u32 = 7_900;
/// The longer side then; providers make larger images smaller themselves.
const SIDE: u32 = 1_568;
/// What an image takes at most, in tokens, and pixels a token.
const IMAGE_TOKENS: u64 = 1_650;
const PIXELS_A_TOKEN: u64 = 750;
/// Letters a token: fewer than there are, so that what a request may take is not estimated too low.
const LETTERS_A_TOKEN: usize = 3;

/// A part of a question.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// A text.
    Text(String),
    /// An image.
    Image {
        /// Its media type.
        media: &'static str,
        /// Its bytes in base64.
        data: String,
    },
}

/// What a request is known by: the same question has the same key in every run.
pub(crate) fn key(identity: &crate::Identity, kind: Kind, content: &Content, sources: &Sources) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for part in [&identity.provider, &identity.model, &identity.prompt, &identity.seed.to_string()] {
        add(part.as_bytes());
    }
    add(if kind == Kind::Captions { b"captions" } else { b"documents" });
    match content {
        Content::Pair { image, .. } => add(sources.content(*image)),
        Content::Document(parts) => {
            for part in parts {
                match part {
                    Part::Image(image) => add(sources.content(*image)),
                    Part::Text(text) => add(text.as_bytes()),
                }
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// The pieces of a question about a row; the reason if an image cannot be sent.
pub(crate) fn pieces(content: &Content, sources: &Sources) -> std::io::Result<Result<Vec<Piece>, ImageError>> {
    let image = |number: usize| Ok::<_, std::io::Error>(sendable(&sources.bytes(number)?));
    let mut pieces = vec![];
    match content {
        Content::Pair { image: number, .. } => match image(*number)? {
            Ok(piece) => pieces.push(piece),
            Err(error) => return Ok(Err(error)),
        },
        Content::Document(parts) => {
            let mut count = 0;
            for part in parts {
                match part {
                    Part::Image(number) => match image(*number)? {
                        Ok(piece) => {
                            count += 1;
                            pieces.push(Piece::Text(format!("[image {count}]")));
                            pieces.push(piece);
                        }
                        Err(error) => return Ok(Err(error)),
                    },
                    Part::Text(text) => pieces.push(Piece::Text(text.clone())),
                }
            }
        }
    }
    Ok(Ok(pieces))
}

/// An image as providers take it: JPEG, PNG, GIF and WebP as they are, others and too large ones as PNG.
fn sendable(bytes: &[u8]) -> Result<Piece, ImageError> {
    let info = probe(bytes)?;
    let media = match info.format {
        ImageFormat::Jpeg => Some("image/jpeg"),
        ImageFormat::Png => Some("image/png"),
        ImageFormat::Gif => Some("image/gif"),
        ImageFormat::WebP => Some("image/webp"),
        _ => None,
    };
    let longer = info.width.max(info.height);
    match media.filter(|_| bytes.len() <= MAX_BYTES && longer <= MAX_SIDE) {
        Some(media) => Ok(Piece::Image { media, data: STANDARD.encode(bytes) }),
        None => {
            let mut image = decode(bytes, u64::MAX)?;
            if longer > SIDE {
                let side = |length: u32| (u64::from(length) * u64::from(SIDE) / u64::from(longer)).max(1) as u32;
                image = resize(&image, side(info.width), side(info.height), Filter::Bicubic);
            }
            let file = png(&image)
                .map_err(|error| ImageError::Internal { format: ImageFormat::Png, reason: error.to_string() })?;
            Ok(Piece::Image { media: "image/png", data: STANDARD.encode(file) })
        }
    }
}

/// About how many tokens a question has; rather too many.
pub(crate) fn tokens(prompt: &Prompt, content: &Content, sources: &Sources) -> std::io::Result<u64> {
    let letters = |text: &str| text.len().div_ceil(LETTERS_A_TOKEN) as u64;
    // The tool's schema and what is said around it.
    let mut sum = letters(&prompt.text) + 700;
    for image in content.images() {
        let pixels =
            probe(&sources.bytes(image)?).map_or(u64::MAX, |info| u64::from(info.width) * u64::from(info.height));
        sum += (pixels / PIXELS_A_TOKEN + 1).min(IMAGE_TOKENS);
    }
    if let Content::Document(parts) = content {
        for part in parts {
            sum += if let Part::Text(text) = part { letters(text) } else { 6 };
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tamis_models::preprocess::Rgb;

    #[test]
    fn what_providers_do_not_take_is_made_a_png() {
        let gif = b"GIF89a\x01\0\x01\0\x80\0\0\xff\x80\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
        assert!(
            matches!(sendable(gif).unwrap(), Piece::Image { media: "image/gif", data } if data == STANDARD.encode(gif))
        );
        // A 24-bit BMP of one pixel.
        let mut bmp = b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0".to_vec();
        bmp.extend([0; 24]);
        bmp.extend([1, 2, 3, 0]);
        assert!(matches!(sendable(&bmp).unwrap(), Piece::Image { media: "image/png", .. }));
        let wide = png(&Rgb { width: 9_000, height: 2, pixels: vec![9; 54_000] }).unwrap();
        let Piece::Image { data, .. } = sendable(&wide).unwrap() else { unreachable!() };
        assert_eq!(probe(&STANDARD.decode(data).unwrap()).unwrap().width, SIDE);
        assert!(sendable(b"nothing").is_err());
    }
}
