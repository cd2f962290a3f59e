//! `image_format`: an image's file format.

use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;
use tamis_models::preprocess::ImageFormat;

use super::probe;

/// Gives an image's file format; NULL for what is no image.
#[user_doc(
    doc_section(label = "Image Functions"),
    description = "The format of an encoded image by its first bytes: jpeg, png, webp, gif, bmp or tiff. Reads the header alone, no pixel is decoded. NULL for NULL and for \
                   what is no image.",
    syntax_example = "image_format(image)",
    sql_example = r#"```sql
> SELECT uid, image_format(image) FROM pairs WHERE image_format(image) = 'jpeg';
> SELECT image_format('pictures/one.jpg');
```"#,
    argument(
        name = "image",
        description = "The encoded image file as binary, a struct of `bytes` and `path`, or the file's path or URL."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ImageFormatFunc {
    signature: Signature,
}

impl ImageFormatFunc {
    /// The function; it has no state.
    pub fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl Default for ImageFormatFunc {
    fn default() -> Self {
        Self::new()
    }
}

impl ScalarUDFImpl for ImageFormatFunc {
    fn name(&self) -> &str {
        "image_format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        probe::check_types(self.name(), types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        probe::invoke(self.name(), &args, |info| format_name(info.format), |values| Arc::new(StringArray::from(values)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn format_name(format: ImageFormat) -> String {
    // Variants are named as the formats are.
    format!("{format:?}").to_lowercase()
}
