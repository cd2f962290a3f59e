//! What the image functions do alike: checking the argument and reading images' headers.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use tamis_models::preprocess::{ImageInfo, probe};

use crate::columns::{ImageColumn, ImageRef};
use crate::error::Error;
use crate::fetch;
use crate::reach::{self, Reach};

/// Nearly every header lies within so many bytes of a file; of the others the whole file is read.
const HEAD: u64 = 64 << 10;

/// Checks number and type of an image function's arguments; nothing is cast.
pub(super) fn check_types(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let [image] = types else {
        let expected = "1 argument (image)";
        return Err(Error::ArgumentCount { function: function.to_string(), expected, found: types.len() }.into());
    };
    if !ImageColumn::accepts(image) {
        return Err(wrong_type(function, image).into());
    }
    Ok(types.to_vec())
}

fn wrong_type(function: &str, found: &DataType) -> Error {
    Error::ArgumentType {
        function: function.to_string(),
        position: 1,
        argument: "image",
        found: found.clone(),
        expected: ImageColumn::ACCEPTED,
    }
}

/// Applies `of` to each image's header: NULL for NULL, for what is no image, and for what the session may not read.
pub(super) fn invoke<T>(
    function: &str,
    args: &ScalarFunctionArgs,
    of: impl Fn(ImageInfo) -> T,
    collect: impl Fn(Vec<Option<T>>) -> ArrayRef,
) -> Result<ColumnarValue> {
    let expected = "1 argument (image)";
    let [image] = args.args.as_slice() else {
        return Err(Error::ArgumentCount { function: function.to_string(), expected, found: args.args.len() }.into());
    };
    let (array, constant) = match image {
        ColumnarValue::Array(array) => (array.clone(), false),
        ColumnarValue::Scalar(scalar) => (scalar.to_array_of_size(1)?, true),
    };
    let images = ImageColumn::try_new(&array).ok_or_else(|| wrong_type(function, array.data_type()))?;
    let reach = Reach::from_options(&args.config_options);
    let is_unknown = reach::is_unknown(&args.config_options);
    let value = |row| match images.get(row) {
        // NULL would be taken for the value that it has.
        Some(ImageRef::Path(_)) if is_unknown => Err(Error::NoSession { function: function.to_string() }),
        image => Ok(image.and_then(|image| info(image, &reach)).map(&of)),
    };
    let array = collect((0..array.len()).map(value).collect::<Result<_, _>>()?);
    match constant {
        true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)),
        false => Ok(ColumnarValue::Array(array)),
    }
}

fn info(image: ImageRef<'_>, reach: &Reach) -> Option<ImageInfo> {
    match image {
        ImageRef::Bytes(bytes) => probe(bytes).ok(),
        ImageRef::Path(name) => {
            let head = fetch::read_head(name, HEAD, reach).ok()?;
            match probe(&head) {
                Ok(info) => Some(info),
                Err(_) if (head.len() as u64) < HEAD => None,
                Err(_) => probe(&fetch::read(name, reach).ok()?).ok(),
            }
        }
    }
}
