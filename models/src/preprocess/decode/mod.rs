//! Decoding to RGB: one module a format, and what holds for all of them.
//!
//! Each module has `size`, which reads the header, and `decode`, which checks that size before it allocates anything.

pub(super) mod bmp;
mod cursor;
pub(super) mod gif;
pub(super) mod jpeg;
mod pixels;
pub(super) mod png;
pub(super) mod tiff;
pub(super) mod webp;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::resize::Resizer;
use super::{Filter, ImageError, ImageFormat, Rgb, resize};

/// Decodes to RGB as Pillow's `convert("RGB")` would; refuses images of more than `max_pixels` before allocating.
///
/// Alpha is dropped, not composited; EXIF orientation and colour profiles are ignored; of an animation the first frame
/// is taken. Whatever the bytes are, the result is a picture or an error.
pub fn decode(bytes: &[u8], max_pixels: u64) -> Result<Rgb, ImageError> {
    let format = ImageFormat::sniff(bytes)?;
    let decode = match format {
        ImageFormat::Jpeg => jpeg::decode,
        ImageFormat::Png => png::decode,
        ImageFormat::WebP => webp::decode,
        ImageFormat::Gif => gif::decode,
        ImageFormat::Bmp => bmp::decode,
        ImageFormat::Tiff => tiff::decode,
    };
    caught(format, || decode(bytes, max_pixels))
}

/// [`decode`] and [`resize`] to `width` x `height` pixels in one step. A JPEG is resized while it is decoded: never is
/// the whole of it in memory.
pub fn decode_resized(
    bytes: &[u8],
    max_pixels: u64,
    (width, height): (u32, u32),
    filter: Filter,
) -> Result<Rgb, ImageError> {
    match ImageFormat::sniff(bytes)? {
        format @ ImageFormat::Jpeg => caught(format, || {
            let begin = |size| Resizer::new(size, (width, height), filter);
            jpeg::decode_rows(bytes, max_pixels, begin, Resizer::push).map(Resizer::finish)
        }),
        _ => Ok(resize(&decode(bytes, max_pixels)?, width, height, filter)),
    }
}

/// A codec that panics on some file has a bug; it must not take the process, or the other rows, with it.
fn caught(format: ImageFormat, decode: impl FnOnce() -> Result<Rgb, ImageError>) -> Result<Rgb, ImageError> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|payload| Err(ImageError::Internal { format, reason: panic_message(&*payload).to_owned() }))
}

/// What a panic, or an unwinding C library, had to say.
fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(message) = payload.downcast_ref::<String>() {
        message
    } else if let Some(message) = payload.downcast_ref::<&str>() {
        message
    } else {
        "it gave no reason"
    }
}
