//! Why an image could not be read.

use super::ImageFormat;

/// Why an image could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// No bytes at all.
    #[error("no bytes: the image is empty")]
    Empty,
    /// The bytes are not those of an image.
    #[error("not an image: the bytes begin like {found}; expected a jpeg, png, webp, gif, bmp or tiff file")]
    NotAnImage {
        /// What the bytes look like.
        found: &'static str,
    },
    /// An image of a format that is not decoded.
    #[error("{found} images are not decoded; convert the image to jpeg, png, webp, gif, bmp or tiff")]
    UnsupportedFormat {
        /// The format's name.
        found: &'static str,
    },
    /// A feature of a known format that is not decoded.
    #[error("{format} with {feature} is not decoded; save the image again as a plain {format}")]
    UnsupportedFeature {
        /// The format.
        format: ImageFormat,
        /// What it has.
        feature: String,
    },
    /// An image with more pixels than are decoded.
    #[error(
        "{format} of {width} x {height} pixels is larger than the {limit} pixels that are decoded \
         (tamis.image.max_pixels)"
    )]
    TooLarge {
        /// The format.
        format: ImageFormat,
        /// Width that the header claims.
        width: u32,
        /// Height that the header claims.
        height: u32,
        /// The limit in pixels.
        limit: u64,
    },
    /// The file ends before the image does.
    #[error("{format} is truncated: the file ends within its {part}")]
    Truncated {
        /// The format.
        format: ImageFormat,
        /// Where it ends.
        part: &'static str,
    },
    /// The file contradicts its format.
    #[error("{format} is damaged: {reason}")]
    Damaged {
        /// The format.
        format: ImageFormat,
        /// What is wrong with it.
        reason: String,
    },
    /// The file would take far more time or memory than its picture is worth.
    #[error("{format} is refused: {reason}")]
    Excessive {
        /// The format.
        format: ImageFormat,
        /// What there is too much of.
        reason: String,
    },
    /// The decoder broke; the failure was contained.
    #[error("the {format} decoder failed on this file: {reason}; please report it with the file")]
    Internal {
        /// The format.
        format: ImageFormat,
        /// What it said.
        reason: String,
    },
}

/// Builds the errors of one format.
#[derive(Clone, Copy)]
pub(super) struct Fault(pub(super) ImageFormat);

impl Fault {
    pub(super) fn truncated(self, part: &'static str) -> ImageError {
        ImageError::Truncated { format: self.0, part }
    }

    pub(super) fn damaged(self, reason: impl Into<String>) -> ImageError {
        ImageError::Damaged { format: self.0, reason: reason.into() }
    }

    pub(super) fn unsupported(self, feature: impl Into<String>) -> ImageError {
        ImageError::UnsupportedFeature { format: self.0, feature: feature.into() }
    }

    pub(super) fn excessive(self, reason: impl Into<String>) -> ImageError {
        ImageError::Excessive { format: self.0, reason: reason.into() }
    }

    /// The size, if it is one: no side is zero and there are not more than `max_pixels` pixels.
    pub(super) fn check_size(self, width: u32, height: u32, max_pixels: u64) -> Result<(), ImageError> {
        if width == 0 || height == 0 {
            return Err(self.damaged(format!("its header claims {width} x {height} pixels")));
        }
        if u64::from(width) * u64::from(height) > max_pixels {
            return Err(ImageError::TooLarge { format: self.0, width, height, limit: max_pixels });
        }
        Ok(())
    }
}
