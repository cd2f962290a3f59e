//! stub
use super::super::error::Fault;
use super::super::{ImageError, ImageFormat, Rgb};
pub(in super::super) fn size(_bytes: &[u8]) -> Result<(u32, u32), ImageError> {
    Err(Fault(ImageFormat::Bmp).truncated("x"))
}
pub(in super::super) fn decode(_bytes: &[u8], _max_pixels: u64) -> Result<Rgb, ImageError> {
    Err(Fault(ImageFormat::Bmp).truncated("x"))
}
