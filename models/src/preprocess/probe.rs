//! An image's format and size, from its header alone.

use super::decode::{bmp, gif, jpeg, png, tiff, webp};
use super::{ImageError, ImageFormat};

/// What an image's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageInfo {
    /// The format, by its magic bytes.
    pub format: ImageFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Reads an image's header: format and size, no pixel is decoded.
///
/// The size is that of the picture which [`decode`](super::decode) gives. The pixels may still turn out to be damaged.
pub fn probe(bytes: &[u8]) -> Result<ImageInfo, ImageError> {
    let format = ImageFormat::sniff(bytes)?;
    let (width, height) = match format {
        ImageFormat::Jpeg => jpeg::size(bytes)?,
        ImageFormat::Png => png::size(bytes)?,
        ImageFormat::WebP => webp::size(bytes)?,
        ImageFormat::Gif => gif::size(bytes)?,
        ImageFormat::Bmp => bmp::size(bytes)?,
        ImageFormat::Tiff => tiff::size(bytes)?,
    };
    super::error::Fault(format).check_size(width, height, u64::MAX)?;
    Ok(ImageInfo { format, width, height })
}
