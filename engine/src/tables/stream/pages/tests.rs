//! Files are written by the Parquet crate and read both ways: as a stream whose pages are cut, and by the crate itself.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, ListBuilder, RecordBatch, StringArray, StructArray,
};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::runtime::Handle;

use super::super::block::{Cut, Object};
use super::super::opener::read_row_group;

/// Rows with NULLs, empty and long values, repeated values, lists with and without items.
fn rows(count: usize, seed: u64) -> RecordBatch {
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut value = || match random(6) {
        0 => None,
        1 => Some(vec![]),
        2 => Some(vec![7; 300]),
        _ => Some((0..random(200)).map(|_| random(256) as u8).collect::<Vec<u8>>()),
    };
    let mut images = BinaryBuilder::new();
    let mut lists = ListBuilder::new(BinaryBuilder::new());
    let mut nested = BinaryBuilder::new();
    for row in 0..count {
        images.append_option(value());
        nested.append_option(value());
        for _ in 0..row % 4 {
            lists.values().append_option(value());
        }
        lists.append(row % 7 != 0);
    }
    let nested: ArrayRef = Arc::new(nested.finish());
    let record = StructArray::from(vec![(Arc::new(Field::new("bytes", DataType::Binary, true)), nested)]);
    let texts: StringArray = (0..count).map(|row| Some(format!("text {}", row % 5))).collect();
    let columns: [(&str, ArrayRef); 5] = [
        ("image", Arc::new(images.finish())),
        ("images", Arc::new(lists.finish())),
        ("record", Arc::new(record)),
        ("text", Arc::new(texts)),
        ("id", Arc::new(Int32Array::from_iter_values(0..count as i32))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn written(batch: &RecordBatch, properties: WriterPropertiesBuilder) -> Bytes {
    let mut file = vec![];
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    file.into()
}

/// Reads all row groups as streams on a blocking thread.
async fn streamed(file: Bytes, cut: Cut, batch_size: usize) -> Result<Vec<RecordBatch>, String> {
    let metadata = ParquetRecordBatchReaderBuilder::try_new(file.clone()).map_err(|e| e.to_string())?;
    let metadata = Arc::clone(metadata.metadata());
    let store = Arc::new(InMemory::new());
    store.put(&Path::from("x"), file.into()).await.unwrap();
    let object = Object { store, path: Path::from("x"), runtime: Handle::current(), cut };
    let read = move || -> Result<Vec<RecordBatch>, String> {
        let mut batches = vec![];
        for index in 0..metadata.num_row_groups() {
            let reader: ParquetRecordBatchReader =
                read_row_group(&metadata, &object, index, batch_size).map_err(|e| e.to_string())?;
            for batch in reader {
                batches.push(batch.map_err(|e| e.to_string())?);
            }
        }
        Ok(batches)
    };
    tokio::task::spawn_blocking(read).await.map_err(|e| e.to_string())?
}

async fn check(name: &str, file: Bytes, cut: Cut) {
    let expected: Vec<RecordBatch> = ParquetRecordBatchReaderBuilder::try_new(file.clone())
        .unwrap()
        .with_batch_size(17)
        .build()
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let schema = expected[0].schema();
    let expected = datafusion::arrow::compute::concat_batches(&schema, &expected).unwrap();
    let found = streamed(file, cut, 17).await.unwrap();
    let found = datafusion::arrow::compute::concat_batches(&schema, &found).unwrap();
    assert_eq!(found, expected, "{name}");
}

/// Pages of a hundred bytes are large here.
const SMALL: Cut = Cut { larger_than: 100, into: 64 };

#[tokio::test]
async fn every_codec_version_and_encoding_reads_the_same() {
    let codecs = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())];
    for codec in codecs {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for dictionary in [true, false] {
                let properties = WriterProperties::builder()
                    .set_compression(codec)
                    .set_writer_version(version)
                    .set_dictionary_enabled(dictionary)
                    .set_encoding(Encoding::PLAIN)
                    .set_max_row_group_row_count(Some(150));
                let name = format!("{codec} {version:?} dictionary {dictionary}");
                let file = written(&rows(400, 1), properties);
                check(&name, file.clone(), SMALL).await;
                check(&name, file, Cut::default()).await;
            }
        }
    }
}

#[tokio::test]
async fn a_dictionary_that_is_given_up_midway() {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_write_batch_size(20)
        .set_dictionary_page_size_limit(2000)
        .set_data_page_size_limit(500);
    check("fallback", written(&rows(300, 2), properties), SMALL).await;
}

#[tokio::test]
async fn many_small_pages_beside_large_ones() {
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_write_batch_size(8)
        .set_data_page_row_count_limit(8);
    check("pages", written(&rows(300, 3), properties), Cut { larger_than: 900, into: 300 }).await;
}

#[tokio::test]
async fn encodings_that_are_not_cut() {
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_column_encoding("image".into(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
        .set_column_encoding("text".into(), Encoding::DELTA_BYTE_ARRAY);
    check("delta", written(&rows(100, 4), properties), SMALL).await;
}

/// Whatever a damaged file holds, reading it ends with rows or an error.
#[tokio::test]
async fn damaged_files_neither_panic_nor_hang() {
    let properties = || WriterProperties::builder().set_compression(Compression::SNAPPY);
    for dictionary in [true, false] {
        let file = written(&rows(60, 5), properties().set_dictionary_enabled(dictionary));
        let data = file.len() - 3000;
        for position in (4..data).step_by(data / 150 + 1) {
            let mut damaged = file.to_vec();
            damaged[position] ^= 0xff;
            if let Err(message) = streamed(damaged.into(), SMALL, 17).await {
                assert!(!message.contains("panic"), "byte {position}: {message}");
            }
        }
    }
}
