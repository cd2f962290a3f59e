//! Files are written by the Parquet crate and read both ways: as a stream whose pages are cut, and by the crate itself.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Int32Array, ListBuilder, RecordBatch, StringArray, StructArray,
};
use datafusion::arrow::compute::{concat_batches, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::file::metadata::PageIndexPolicy;
use datafusion::parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use datafusion::physical_plan::metrics::Count;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::runtime::Handle;

use super::super::block::{Object, Sizes};
use super::super::columns::read_row_group;
use super::super::selection::Selected;

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

/// Whether a row of a row group is wanted.
type Wanted = fn(usize) -> bool;

/// Reads the wanted rows of all row groups as streams on a blocking thread.
async fn streamed(
    file: Bytes,
    sizes: Sizes,
    index: PageIndexPolicy,
    wanted: Option<Wanted>,
) -> Result<Vec<RecordBatch>, String> {
    let options = ArrowReaderOptions::new().with_page_index_policy(index);
    let metadata =
        ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).map_err(|e| e.to_string())?;
    let metadata = Arc::clone(metadata.metadata());
    let store = Arc::new(InMemory::new());
    store.put(&Path::from("x"), file.into()).await.unwrap();
    let object = Object { store, path: Path::from("x"), runtime: Handle::current(), sizes, scanned: Count::new() };
    let read = move || -> Result<Vec<RecordBatch>, String> {
        let mut batches = vec![];
        for index in 0..metadata.num_row_groups() {
            let rows = metadata.row_group(index).num_rows() as usize;
            let selected = wanted.map(|wanted| Selected::numbers((0..rows).filter(|row| wanted(*row)), rows));
            let reader: ParquetRecordBatchReader =
                read_row_group(&metadata, &object, index, selected.as_ref(), 17).map_err(|e| e.to_string())?;
            for batch in reader {
                batches.push(batch.map_err(|e| e.to_string())?);
            }
        }
        Ok(batches)
    };
    tokio::task::spawn_blocking(read).await.map_err(|e| e.to_string())?
}

async fn check(name: &str, file: Bytes, sizes: Sizes) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
    let groups: Vec<usize> = reader.metadata().row_groups().iter().map(|group| group.num_rows() as usize).collect();
    let all: Vec<RecordBatch> = reader.with_batch_size(17).build().unwrap().map(Result::unwrap).collect();
    let all = concat_batches(&all[0].schema(), &all).unwrap();
    // Short and long runs: the decoder treats them differently.
    let wanted: [Option<Wanted>; 6] = [
        None,
        Some(|_| true),
        Some(|row| row % 3 == 1),
        Some(|row| row % 41 == 40),
        Some(|row| (30..90).contains(&row)),
        Some(|row| row == 7),
    ];
    for index in [PageIndexPolicy::Skip, PageIndexPolicy::Optional] {
        for (number, wanted) in wanted.into_iter().enumerate() {
            let kept = groups.iter().flat_map(|rows| (0..*rows).map(|row| wanted.is_none_or(|wanted| wanted(row))));
            let expected = filter_record_batch(&all, &kept.map(Some).collect::<BooleanArray>()).unwrap();
            let found = streamed(file.clone(), sizes, index, wanted).await.unwrap();
            let found = concat_batches(&all.schema(), &found).unwrap();
            assert_eq!(found, expected, "{name}, {index:?}, rows {number}");
        }
    }
}

/// Pages of a hundred bytes are large here.
const SMALL: Sizes = Sizes { block: 256, cut_larger_than: 100, cut_into: 64 };

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
                check(&name, file, Sizes::default()).await;
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
    check("pages", written(&rows(300, 3), properties), Sizes { cut_larger_than: 900, cut_into: 300, ..SMALL }).await;
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
            if let Err(message) = streamed(damaged.into(), SMALL, PageIndexPolicy::Skip, None).await {
                assert!(!message.contains("panic"), "byte {position}: {message}");
            }
        }
    }
}
