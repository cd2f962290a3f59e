//! `unifilter`: the quality score of an image and its text, or of a document.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;

use super::model_call;
use crate::calls::CallOutput;

/// Gives a row's score; NULL if the row cannot be scored.
#[user_doc(
    doc_section(label = "Model Functions"),
    description = "Scores how much an image and its text are worth for training, by the UniFilter model: a number from \
                   about 0 to 3, higher is better. NULL if an argument is NULL or the row cannot be scored; \
                   `unifilter_error` tells why. Also scores interleaved documents, given as two parallel lists.",
    syntax_example = "unifilter(image, text [, model])",
    alternative_syntax = "unifilter(images, texts [, model])",
    sql_example = r#"```sql
> SELECT uid, unifilter(image, text) AS quality FROM pairs WHERE unifilter(image, text) >= 2 ORDER BY quality DESC;
> SELECT unifilter(image, text, 'default') FROM pairs;
> SELECT unifilter(['pictures/one.jpg', NULL], [NULL, 'a text beside the picture']);
```"#,
    argument(
        name = "image",
        description = "The encoded image file as binary, a struct of `bytes` and `path`, or the file's path or URL. For \
                       a document a list of these, NULL where a text stands."
    ),
    argument(
        name = "text",
        description = "The image's caption. For a document a list of texts, NULL where an image stands."
    ),
    argument(
        name = "model",
        description = "The model's name or place, a literal; without it the option `tamis.unifilter.model` counts."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct UnifilterFunc {
    signature: Signature,
}

impl UnifilterFunc {
    /// The function; it has no state.
    pub fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl Default for UnifilterFunc {
    fn default() -> Self {
        Self::new()
    }
}

impl ScalarUDFImpl for UnifilterFunc {
    fn name(&self) -> &str {
        "unifilter"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        model_call::check_types(self.name(), types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float32)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        model_call::return_field(self.name(), DataType::Float32, &args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        model_call::invoke(self.name(), "unifilter", CallOutput::Score, &args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
