//! The SQL functions, one a file.
//!
//! A function travels between processes by its name, so it holds nothing but its signature: what it does follows from its
//! arguments and the session's options.

mod image_format;
mod image_height;
mod image_width;
mod model_call;
mod probe;
mod unifilter;
mod unifilter_error;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

pub use image_format::ImageFormatFunc;
pub use image_height::ImageHeightFunc;
pub use image_width::ImageWidthFunc;
pub use unifilter::UnifilterFunc;
pub use unifilter_error::UnifilterErrorFunc;

/// All functions of this crate, to be registered with a session.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::from(UnifilterFunc::new())),
        Arc::new(ScalarUDF::from(UnifilterErrorFunc::new())),
        Arc::new(ScalarUDF::from(ImageWidthFunc::new())),
        Arc::new(ScalarUDF::from(ImageHeightFunc::new())),
        Arc::new(ScalarUDF::from(ImageFormatFunc::new())),
    ]
}

#[cfg(test)]
mod tests;
