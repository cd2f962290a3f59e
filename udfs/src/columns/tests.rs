use std::sync::Arc;

use arrow::array::{
    BinaryArray, BinaryViewArray, DictionaryArray, FixedSizeBinaryArray, FixedSizeListArray, LargeBinaryArray,
    LargeListArray, LargeStringArray, ListArray, ListViewArray, NullArray, StringArray, StringViewArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Field, Int8Type, UInt16Type};
use datafusion::common::ScalarValue;

use super::*;

const BYTES: [Option<&[u8]>; 4] = [Some(b"aa"), None, Some(b"cc"), Some(b"dd")];
const TEXTS: [Option<&str>; 4] = [Some("one"), Some("two"), None, Some("four")];

fn texts() -> ArrayRef {
    Arc::new(StringArray::from(TEXTS.to_vec()))
}

fn rows(columns: &SampleColumns) -> Vec<Row<'_>> {
    (0..columns.len()).map(|row| columns.row(row)).collect()
}

fn bytes_pair<'a>(image: &'a [u8], text: &'a str) -> Row<'a> {
    Row::Pair { image: ImageRef::Bytes(image), text }
}

fn path_pair<'a>(image: &'a str, text: &'a str) -> Row<'a> {
    Row::Pair { image: ImageRef::Path(image), text }
}

fn hugging_face(bytes: Vec<Option<&[u8]>>, path: Vec<Option<&str>>, nulls: Option<Vec<bool>>) -> ArrayRef {
    let fields = vec![
        Field::new("path", DataType::Utf8, true),
        Field::new("bytes", DataType::Binary, true),
        Field::new("license", DataType::Null, true),
    ];
    let length = path.len();
    let arrays: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(path)), Arc::new(BinaryArray::from(bytes)), Arc::new(NullArray::new(length))];
    Arc::new(StructArray::new(fields.into(), arrays, nulls.map(NullBuffer::from)))
}

#[test]
fn every_binary_form_gives_the_same_rows_also_sliced() {
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(BYTES.into_iter(), 2).unwrap();
    let dictionary = DictionaryArray::<Int8Type>::new(
        vec![Some(2), None, Some(0), Some(1)].into(),
        Arc::new(BinaryArray::from(vec![&b"cc"[..], b"dd", b"aa"])),
    );
    let images: Vec<ArrayRef> = vec![
        Arc::new(BinaryArray::from(BYTES.to_vec())),
        Arc::new(LargeBinaryArray::from(BYTES.to_vec())),
        Arc::new(BinaryViewArray::from(BYTES.to_vec())),
        Arc::new(fixed),
        Arc::new(dictionary),
        hugging_face(BYTES.to_vec(), vec![None; 4], None),
    ];
    for image in images {
        let columns = SampleColumns::try_new(&[image.clone(), texts()]).unwrap();
        let expected = [bytes_pair(b"aa", "one"), Row::Null, Row::Null, bytes_pair(b"dd", "four")];
        assert_eq!(rows(&columns), expected, "{}", image.data_type());
        assert_eq!((0..4).map(|r| columns.is_null(r)).collect::<Vec<_>>(), [false, true, true, false]);
        let sliced = SampleColumns::try_new(&[image.slice(2, 2), texts().slice(2, 2)]).unwrap();
        assert_eq!(rows(&sliced), expected[2..], "{}", image.data_type());
    }
}

#[test]
fn every_string_form_gives_the_same_rows_as_text_and_as_path() {
    let dictionary: DictionaryArray<UInt16Type> = TEXTS.into_iter().collect();
    let strings: Vec<ArrayRef> = vec![
        texts(),
        Arc::new(LargeStringArray::from(TEXTS.to_vec())),
        Arc::new(StringViewArray::from(TEXTS.to_vec())),
        Arc::new(dictionary),
    ];
    for string in strings {
        let columns = SampleColumns::try_new(&[string.clone(), string.clone()]).unwrap();
        let expected = [path_pair("one", "one"), path_pair("two", "two"), Row::Null, path_pair("four", "four")];
        assert_eq!(rows(&columns), expected, "{}", string.data_type());
        let sliced = SampleColumns::try_new(&[string.slice(1, 3), string.slice(1, 3)]).unwrap();
        assert_eq!(rows(&sliced), expected[1..], "{}", string.data_type());
    }
}

#[test]
fn a_dictionary_without_values_is_all_null() {
    let empty: DictionaryArray<Int8Type> = vec![None::<&str>; 3].into_iter().collect();
    let columns = SampleColumns::try_new(&[Arc::new(empty), texts().slice(0, 3)]).unwrap();
    assert_eq!(rows(&columns), [Row::Null, Row::Null, Row::Null]);
}

#[test]
fn bytes_of_a_struct_come_before_its_path() {
    let images = hugging_face(
        vec![Some(b"aa"), None, None, Some(b"dd")],
        vec![Some("a.png"), Some("b.png"), None, Some("d.png")],
        Some(vec![true, true, true, false]),
    );
    let columns = SampleColumns::try_new(&[images, Arc::new(StringArray::from(vec!["t"; 4]))]).unwrap();
    assert_eq!(rows(&columns), [bytes_pair(b"aa", "t"), path_pair("b.png", "t"), Row::Null, Row::Null]);
    assert_eq!((0..4).map(|row| columns.names_files(row)).collect::<Vec<_>>(), [false, true, false, false]);
}

#[test]
fn columns_of_nulls_are_null() {
    let columns = SampleColumns::try_new(&[Arc::new(NullArray::new(4)), texts()]).unwrap();
    assert!((0..4).all(|row| columns.is_null(row) && columns.row(row) == Row::Null));
    let images = Arc::new(BinaryArray::from(BYTES.to_vec()));
    let columns = SampleColumns::try_new(&[images, Arc::new(NullArray::new(4))]).unwrap();
    assert!((0..4).all(|row| columns.is_null(row)));
}

#[test]
fn a_constant_stands_for_every_row() {
    let image = ColumnarValue::Scalar(ScalarValue::Binary(Some(b"x".to_vec())));
    let columns = SampleColumns::try_from_values(&[image, ColumnarValue::Array(texts())], 4).unwrap();
    assert_eq!(rows(&columns)[..2], [bytes_pair(b"x", "one"), bytes_pair(b"x", "two")]);
    assert!(columns.is_null(2) && columns.len() == 4);
}

/// Rows: [a, -], NULL, [], [-, d] as images beside [-, "t"], ["u"], [], ["v"] as texts.
fn document_values() -> (ArrayRef, ArrayRef) {
    let images = BinaryArray::from(vec![Some(&b"a"[..]), None, None, Some(b"d")]);
    let texts = StringViewArray::from(vec![None, Some("t"), Some("u"), Some("v")]);
    (Arc::new(images), Arc::new(texts))
}

fn document_rows<'a>() -> [Row<'a>; 4] {
    let document = |images: Vec<Option<&'a [u8]>>, texts| Row::Document {
        images: images.into_iter().map(|i| i.map(ImageRef::Bytes)).collect(),
        texts,
    };
    [
        document(vec![Some(b"a"), None], vec![None, Some("t")]),
        Row::Null,
        document(vec![], vec![]),
        document(vec![None, Some(b"d")], vec![Some("v")]),
    ]
}

fn item(values: &ArrayRef) -> Arc<Field> {
    Arc::new(Field::new_list_field(values.data_type().clone(), true))
}

#[test]
fn every_list_form_gives_the_same_documents_also_sliced() {
    let (images, texts) = document_values();
    let nulls = || Some(NullBuffer::from(vec![true, false, true, true]));
    let small = |lengths: [usize; 4]| OffsetBuffer::<i32>::from_lengths(lengths);
    let large = |lengths: [usize; 4]| OffsetBuffer::<i64>::from_lengths(lengths);
    let view = |values: &ArrayRef, offsets: Vec<i32>, sizes: Vec<i32>, nulls| -> ArrayRef {
        let (offsets, sizes) = (ScalarBuffer::from(offsets), ScalarBuffer::from(sizes));
        Arc::new(ListViewArray::new(item(values), offsets, sizes, values.clone(), nulls))
    };
    let forms: Vec<[ArrayRef; 2]> = vec![
        [
            Arc::new(ListArray::new(item(&images), small([2, 0, 0, 2]), images.clone(), nulls())),
            Arc::new(ListArray::new(item(&texts), small([2, 1, 0, 1]), texts.clone(), None)),
        ],
        [
            Arc::new(LargeListArray::new(item(&images), large([2, 0, 0, 2]), images.clone(), nulls())),
            Arc::new(LargeListArray::new(item(&texts), large([2, 1, 0, 1]), texts.clone(), None)),
        ],
        [
            view(&images, vec![0, 3, 4, 2], vec![2, 1, 0, 2], nulls()),
            view(&texts, vec![0, 2, 0, 3], vec![2, 1, 0, 1], None),
        ],
    ];
    for [images, texts] in forms {
        let columns = SampleColumns::try_new(&[images.clone(), texts.clone()]).unwrap();
        assert_eq!(rows(&columns), document_rows(), "{}", images.data_type());
        assert!(columns.is_null(1) && !columns.is_null(2));
        let sliced = SampleColumns::try_new(&[images.slice(2, 2), texts.slice(2, 2)]).unwrap();
        assert_eq!(rows(&sliced), document_rows()[2..], "{}", images.data_type());
    }
}

#[test]
fn lists_of_fixed_size_also_sliced() {
    let images: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, None, Some("d")]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![None, Some("t"), Some("u"), None]));
    let fixed =
        |values: &ArrayRef| -> ArrayRef { Arc::new(FixedSizeListArray::new(item(values), 2, values.clone(), None)) };
    let expected = [
        Row::Document { images: vec![Some(ImageRef::Path("a")), None], texts: vec![None, Some("t")] },
        Row::Document { images: vec![None, Some(ImageRef::Path("d"))], texts: vec![Some("u"), None] },
    ];
    let columns = SampleColumns::try_new(&[fixed(&images), fixed(&texts)]).unwrap();
    assert_eq!(rows(&columns), expected);
    let columns = SampleColumns::try_new(&[fixed(&images).slice(1, 1), fixed(&texts).slice(1, 1)]).unwrap();
    assert_eq!(rows(&columns), expected[1..]);
}

#[test]
fn forms_of_the_call_follow_from_the_types() {
    let list = |item: DataType| DataType::List(Arc::new(Field::new_list_field(item, true)));
    let form = |image: DataType, text: DataType| check_argument_types("f", &[image, text]).unwrap();
    assert_eq!(form(DataType::Binary, DataType::Utf8View), CallForm::Pair);
    assert_eq!(form(DataType::Null, DataType::Null), CallForm::Pair);
    assert_eq!(form(list(DataType::BinaryView), list(DataType::LargeUtf8)), CallForm::Document);
    assert_eq!(form(list(DataType::Null), list(DataType::Null)), CallForm::Document);
    assert_eq!(form(DataType::Null, list(DataType::Utf8)), CallForm::Document);
    assert_eq!(form(list(DataType::Utf8), DataType::Null), CallForm::Document);
    assert_eq!(form(hugging_face(vec![], vec![], None).data_type().clone(), DataType::Utf8), CallForm::Pair);
}

#[test]
fn a_wrong_type_names_function_argument_type_and_what_is_accepted() {
    let list = |item: DataType| DataType::List(Arc::new(Field::new_list_field(item, true)));
    let other = DataType::Struct(vec![Field::new("url", DataType::Utf8, true)].into());
    let swapped = DataType::Struct(vec![Field::new("bytes", DataType::Utf8, true)].into());
    for (image, text, place) in [
        (DataType::Int64, DataType::Utf8, "argument 1 (image) is Int64, expected binary"),
        (DataType::Binary, DataType::Binary, "argument 2 (text) is Binary, expected a string"),
        (other, DataType::Utf8, "argument 1 (image) is Struct"),
        (swapped, DataType::Utf8, "argument 1 (image) is Struct"),
        (list(DataType::Boolean), list(DataType::Utf8), "argument 1 (images) is List(Boolean), expected"),
        (list(DataType::Binary), DataType::Utf8, "argument 2 (texts) is Utf8, expected a list of strings"),
        (DataType::Binary, list(DataType::Utf8), "argument 2 (text) is List(Utf8), expected a string"),
        (list(DataType::Binary), list(DataType::Int8), "argument 2 (texts) is List(Int8), expected a list of strings"),
    ] {
        let message = check_argument_types("unifilter", &[image, text]).unwrap_err().to_string();
        assert!(message.contains(&format!("unifilter: {place}")), "{message}");
    }
}

#[test]
fn rows_that_are_not_selected_are_null() {
    let images: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "d", "e"]));
    let columns = SampleColumns::try_new(&[images.clone(), images]).unwrap();
    let selected = columns.clone().with_selection(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]));
    let null = [false, true, true, false, true];
    for (row, null) in null.into_iter().enumerate() {
        assert_eq!(selected.is_null(row), null, "{row}");
        assert_eq!(selected.row(row) == Row::Null, null, "{row}");
        assert_eq!(selected.names_files(row), !null, "{row}");
    }
    let narrowed = selected.with_selection(BooleanArray::from(vec![false, true, true, true, true]));
    assert_eq!((0..5).filter(|row| !narrowed.is_null(*row)).collect::<Vec<_>>(), [3]);
    assert!((0..5).all(|row| !columns.is_null(row)));
}

#[test]
fn columns_of_unequal_length_are_refused() {
    let images = Arc::new(BinaryArray::from(BYTES.to_vec()));
    assert!(SampleColumns::try_new(&[images, texts().slice(0, 3)]).is_err());
    assert!(SampleColumns::try_new(&[texts()]).is_err());
}
