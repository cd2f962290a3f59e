//! What every function keeps to, checked on every function: scalars and arrays agree, slices are slices, NULL gives NULL,
//! no rows give no rows, a wrong type is a planning error.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, ListArray, NullArray, StringArray, StructArray, new_empty_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, Volatility};

use super::{picture, picture_path};
use crate::functions::all;
use crate::options::TamisOptions;

/// Two good pictures, a NULL and one that is no picture, as bytes, as paths and as both.
fn images() -> Vec<ArrayRef> {
    let (first, second) = (picture("c16.png"), picture("c19.png"));
    let bytes = vec![Some(first.as_slice()), None, Some(b"no picture"), Some(second.as_slice())];
    let bytes: ArrayRef = Arc::new(BinaryArray::from(bytes));
    let (first, second) = (picture_path("c16.png"), picture_path("c19.png"));
    let paths = vec![Some(first.as_str()), None, Some("no/such/file.png"), Some(second.as_str())];
    let paths: ArrayRef = Arc::new(StringArray::from(paths));
    let fields = vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)];
    let nulls = NullBuffer::from(vec![true, false, true, true]);
    let both = StructArray::new(fields.into(), vec![bytes.clone(), paths.clone()], Some(nulls));
    vec![bytes, Arc::new(both), paths]
}

/// Of each row of `values` a list of itself and a NULL, or of a NULL and itself.
fn lists(values: &ArrayRef, first: bool) -> ArrayRef {
    let null = arrow::array::new_null_array(values.data_type(), 1);
    let pair = |row| if first { [(0, row), (1, 0)] } else { [(1, 0), (0, row)] };
    let places: Vec<(usize, usize)> = (0..values.len()).flat_map(pair).collect();
    let items = arrow::compute::interleave(&[values.as_ref(), null.as_ref()], &places).unwrap();
    let offsets = OffsetBuffer::from_lengths(vec![2; values.len()]);
    let field = Field::new_list_field(values.data_type().clone(), true);
    Arc::new(ListArray::new(Arc::new(field), offsets, items, values.nulls().cloned()))
}

/// A function and the arguments to try it with.
struct Case {
    function: Arc<ScalarUDF>,
    arguments: Vec<ArrayRef>,
}

fn cases() -> Vec<Case> {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a cat", "unused", "a dog", "two boats on a lake"]));
    let mut cases = Vec::new();
    for function in all() {
        for image in images() {
            let takes_text = crate::calls::model_function(function.name()).is_some();
            let mut case = |arguments| cases.push(Case { function: function.clone(), arguments });
            if takes_text {
                case(vec![lists(&image, true), lists(&texts, false)]);
                case(vec![image, texts.clone()]);
            } else {
                case(vec![image]);
            }
        }
    }
    cases
}

fn field(data_type: &DataType) -> FieldRef {
    Arc::new(Field::new("argument", data_type.clone(), true))
}

/// Plans and calls as DataFusion does: types coerced, the field asked for, then invoked.
fn call(function: &ScalarUDF, args: Vec<ColumnarValue>, rows: usize) -> Result<ColumnarValue> {
    let types: Vec<DataType> = args.iter().map(ColumnarValue::data_type).collect();
    assert_eq!(function.coerce_types(&types)?, types, "{} casts its arguments", function.name());
    let arg_fields: Vec<FieldRef> = types.iter().map(field).collect();
    let scalars: Vec<Option<&ScalarValue>> =
        args.iter().map(|a| if let ColumnarValue::Scalar(s) = a { Some(s) } else { None }).collect();
    let return_field = function
        .return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &scalars })
        .inspect(|field| assert!(field.is_nullable(), "{} gives NULL for NULL", function.name()))?;
    let return_type = return_field.data_type().clone();
    let mut config = ConfigOptions::new();
    config.extensions.insert(TamisOptions::default());
    config.set("tamis.scoring.device", "cpu")?;
    let config_options = Arc::new(config);
    let args = ScalarFunctionArgs { args, arg_fields, number_rows: rows, return_field, config_options };
    let value = function.invoke_with_args(args)?;
    assert_eq!(value.data_type(), return_type, "{}", function.name());
    Ok(value)
}

fn call_arrays(function: &ScalarUDF, arrays: &[ArrayRef]) -> ArrayRef {
    let rows = arrays[0].len();
    let args = arrays.iter().cloned().map(ColumnarValue::Array).collect();
    match call(function, args, rows).unwrap() {
        ColumnarValue::Array(array) => {
            assert_eq!(array.len(), rows);
            array
        }
        ColumnarValue::Scalar(scalar) => panic!("{} gave the scalar {scalar} for arrays", function.name()),
    }
}

/// Scores may differ in their last digits with the batch that they were in.
fn assert_same(left: &ScalarValue, right: &ScalarValue, function: &ScalarUDF) {
    match (left, right) {
        (ScalarValue::Float32(Some(left)), ScalarValue::Float32(Some(right))) => {
            assert!((left - right).abs() <= 1e-5, "{}: {left} and {right}", function.name());
        }
        _ => assert_eq!(left, right, "{}", function.name()),
    }
}

fn at(array: &ArrayRef, row: usize) -> ScalarValue {
    ScalarValue::try_from_array(array, row).unwrap()
}

#[test]
fn good_rows_bad_rows_and_nulls_of_an_array() {
    for Case { function, arguments } in cases() {
        let result = call_arrays(&function, &arguments);
        let nulls: Vec<bool> = (0..4).map(|row| result.is_null(row)).collect();
        let expected = match function.name() {
            "unifilter_error" => [true, true, false, true],
            _ => [false, true, true, false],
        };
        assert_eq!(nulls, expected, "{} of {}", function.name(), arguments[0].data_type());
    }
}

#[test]
fn every_form_of_an_image_gives_the_same() {
    let casts = [
        (DataType::Binary, vec![DataType::LargeBinary, DataType::BinaryView]),
        (DataType::Utf8, vec![DataType::LargeUtf8, DataType::Utf8View]),
    ];
    for function in all().into_iter().filter(|f| f.name() != "unifilter_error") {
        // Pairs and documents apart.
        for as_list in [false, true] {
            let is_list = |case: &Case| matches!(case.arguments[0].data_type(), DataType::List(_));
            let alike = cases().into_iter().filter(|case| case.function == function && is_list(case) == as_list);
            let mut results = Vec::new();
            for Case { mut arguments, .. } in alike {
                results.push(call_arrays(&function, &arguments));
                let image = arguments[0].clone();
                for to in casts.iter().filter(|(from, _)| from == image.data_type()).flat_map(|(_, to)| to) {
                    arguments[0] = arrow::compute::cast(&image, to).unwrap();
                    results.push(call_arrays(&function, &arguments));
                }
            }
            assert_eq!(results.len(), if as_list { 3 } else { 7 } * usize::from(!results.is_empty()));
            for result in results.iter().skip(1) {
                (0..4).for_each(|row| assert_same(&at(result, row), &at(&results[0], row), &function));
            }
        }
    }
}

#[test]
fn a_scalar_gives_what_an_array_gives() {
    for Case { function, arguments } in cases() {
        let whole = call_arrays(&function, &arguments);
        for row in 0..4 {
            let scalars: Vec<_> = arguments.iter().map(|array| ColumnarValue::Scalar(at(array, row))).collect();
            match call(&function, scalars, 1).unwrap() {
                ColumnarValue::Scalar(scalar) => assert_same(&scalar, &at(&whole, row), &function),
                ColumnarValue::Array(_) => panic!("{} gave an array for scalars", function.name()),
            }
        }
    }
}

#[test]
fn a_slice_gives_the_slice() {
    for Case { function, arguments } in cases() {
        let whole = call_arrays(&function, &arguments);
        let sliced: Vec<ArrayRef> = arguments.iter().map(|array| array.slice(2, 2)).collect();
        let slice = call_arrays(&function, &sliced);
        (0..2).for_each(|row| assert_same(&at(&slice, row), &at(&whole, row + 2), &function));
    }
}

#[test]
fn nulls_of_any_type_give_null() {
    for Case { function, arguments } in cases() {
        for which in 0..arguments.len() {
            let mut untyped = arguments.clone();
            untyped[which] = Arc::new(NullArray::new(4));
            assert_eq!(call_arrays(&function, &untyped).null_count(), 4, "{}", function.name());
            let mut scalars: Vec<_> = arguments.iter().map(|array| ColumnarValue::Scalar(at(array, 0))).collect();
            let null = ScalarValue::try_from(arguments[which].data_type()).unwrap();
            scalars[which] = ColumnarValue::Scalar(null);
            let value = call(&function, scalars, 1).unwrap();
            assert!(matches!(&value, ColumnarValue::Scalar(s) if s.is_null()), "{}: {value:?}", function.name());
        }
    }
}

#[test]
fn no_rows_give_no_rows() {
    for Case { function, arguments } in cases() {
        let empty: Vec<ArrayRef> = arguments.iter().map(|array| new_empty_array(array.data_type())).collect();
        assert_eq!(call_arrays(&function, &empty).len(), 0);
    }
}

#[test]
fn a_wrong_type_or_number_of_arguments_is_a_planning_error_that_names_the_function() {
    for Case { function, arguments } in cases() {
        let types: Vec<DataType> = arguments.iter().map(|a| a.data_type().clone()).collect();
        let wrong_numbers = [vec![], [types.clone(), vec![DataType::Utf8, DataType::Utf8]].concat()];
        let wrong_types = (0..types.len()).map(|which| {
            let mut wrong = types.clone();
            wrong[which] = DataType::Boolean;
            wrong
        });
        for wrong in wrong_numbers.into_iter().chain(wrong_types) {
            let error = function.coerce_types(&wrong).unwrap_err();
            assert!(matches!(error, DataFusionError::Plan(_)), "{error:?}");
            assert!(error.to_string().contains(function.name()), "{error}");
        }
    }
}

#[test]
fn functions_are_immutable_and_documented() {
    for function in all() {
        assert_eq!(function.signature().volatility, Volatility::Immutable);
        let documentation = function.documentation().unwrap();
        assert!(documentation.syntax_example.starts_with(&format!("{}(", function.name())));
        assert!(documentation.sql_example.as_ref().unwrap().contains(function.name()));
    }
}
