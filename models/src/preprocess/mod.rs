//! From an encoded image to the pixels that a vision tower reads, as Pillow makes them.
//!
//! The reference opens an image with Pillow, converts it to RGB, resizes it with one of Pillow's filters and normalises
//! it. Scores are compared with published ones, so each step here gives Pillow's bytes: [`decode`] and [`resize`], or
//! [`decode_resized`] for both at once, then [`Normaliser`]. The bytes come from anywhere: nothing here panics, aborts or
//! allocates without bound on them.
//!
//! ```
//! use tamis_models::preprocess::{Filter, Normaliser, decode, resize};
//!
//! // A one-pixel GIF.
//! let file = b"GIF89a\x01\0\x01\0\x80\0\0\xff\x80\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
//! let image = decode(file, 1_000_000)?;
//! assert_eq!(image.pixels, [255, 128, 0]);
//!
//! let resized = resize(&image, 2, 2, Filter::Bicubic);
//! let normaliser = Normaliser::new(1.0 / 255.0, [0.5; 3], [0.5; 3]);
//! let mut pixels = vec![0.0; 3 * 2 * 2];
//! normaliser.nchw(&resized.pixels, &mut pixels);
//! assert_eq!(pixels[0], 1.0);
//! # Ok::<(), tamis_models::preprocess::ImageError>(())
//! ```

mod decode;
mod error;
mod format;
mod normalise;
mod probe;
mod resize;

pub use decode::{decode, decode_resized};
pub use error::ImageError;
pub use format::ImageFormat;
pub use normalise::Normaliser;
pub use probe::{ImageInfo, probe};
pub use resize::{Filter, resize};

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
