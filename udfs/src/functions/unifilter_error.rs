//! `unifilter_error`: why `unifilter` gives no score.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;

use super::model_call;
use crate::calls::CallOutput;

/// Gives the reason why a row has no score; NULL if it has one, or if an argument is NULL.
#[user_doc(
    doc_section(label = "Model Functions"),
    description = "Tells why `unifilter` with the same arguments gives NULL. NULL if there is a score, or if an argument \
                   is NULL. A query that calls both runs the model once a row.",
    syntax_example = "unifilter_error(image, text [, model])",
    alternative_syntax = "unifilter_error(images, texts [, model])",
    sql_example = r#"```sql
> SELECT uid, unifilter_error(image, text) AS reason FROM pairs WHERE unifilter_error(image, text) IS NOT NULL;
> SELECT unifilter_error('no/such/file.jpg', 'a file that does not exist');
```"#,
    argument(name = "image", description = "As for `unifilter`."),
    argument(name = "text", description = "As for `unifilter`."),
    argument(name = "model", description = "As for `unifilter`.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct UnifilterErrorFunc {
    signature: Signature,
}

impl UnifilterErrorFunc {
    /// The function; it has no state.
    pub fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl Default for UnifilterErrorFunc {
    fn default() -> Self {
        Self::new()
    }
}

impl ScalarUDFImpl for UnifilterErrorFunc {
    fn name(&self) -> &str {
        "unifilter_error"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        model_call::check_types(self.name(), types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        model_call::return_field(self.name(), DataType::Utf8, &args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        model_call::invoke(self.name(), "unifilter", CallOutput::Error, &args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
