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

use super::{ImageError, ImageFormat, Rgb};

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
    // A codec that panics on some file has a bug; it must not take the process, or the other rows, with it.
    catch_unwind(AssertUnwindSafe(|| decode(bytes, max_pixels)))
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
