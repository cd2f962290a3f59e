//! `image_height`: an image's height in pixels.

use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;

use super::probe;

/// Gives an image's height in pixels; NULL for what is no image.
#[user_doc(
    doc_section(label = "Image Functions"),
    description = "The height of an encoded image in pixels. Reads the header alone, no pixel is decoded. NULL for NULL and for \
                   what is no image.",
    syntax_example = "image_height(image)",
    sql_example = r#"```sql
> SELECT uid, image_height(image) FROM pairs WHERE image_height(image) >= 256;
> SELECT image_height('pictures/one.jpg');
```"#,
    argument(
        name = "image",
        description = "The encoded image file as binary, a struct of `bytes` and `path`, or the file's path or URL."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ImageHeightFunc {
    signature: Signature,
}

impl ImageHeightFunc {
    /// The function; it has no state.
    pub fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl Default for ImageHeightFunc {
    fn default() -> Self {
        Self::new()
    }
}

impl ScalarUDFImpl for ImageHeightFunc {
    fn name(&self) -> &str {
        "image_height"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        probe::check_types(self.name(), types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        probe::invoke(self.name(), &args, |info| i64::from(info.height), |values| Arc::new(Int64Array::from(values)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
