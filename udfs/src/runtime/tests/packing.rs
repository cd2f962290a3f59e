//! How the example corpus is packed.

use arrow::array::AsArray;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use tamis_models::checkpoint::Location;
use tamis_models::{DeviceChoice, DtypeChoice, Limits, Sample};

use super::*;

/// Lengths of the corpus's rows in the language model's sequence, in the file's order.
async fn lengths() -> Vec<usize> {
    let context = SessionContext::new();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/corpus/captions.parquet");
    let table = context.read_parquet(file, ParquetReadOptions::default()).await.unwrap();
    let batches = table.select_columns(&["text"]).unwrap().collect().await.unwrap();
    let model = tamis_models::load(&Location::default_model(), DeviceChoice::Cpu, DtypeChoice::F32).unwrap();
    // The length of a row depends on its text alone: one image serves all.
    let image = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tests/golden/images/c15.png")).unwrap();
    let length = |text: &str| {
        let sample = Sample::Pair { image: &image, text };
        model.prepare(&sample, &Limits::default()).unwrap().positions
    };
    let texts = batches.iter().map(|batch| arrow::compute::cast(batch.column(0), &DataType::Utf8).unwrap());
    texts.flat_map(|t| t.as_string::<i32>().iter().flatten().map(length).collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn the_example_corpus_fills_its_passes() {
    let (toy, metrics) = (Toy::new(), metrics());
    let lengths = lengths().await;
    assert!(lengths.len() > 200 && lengths.iter().max() > lengths.iter().min(), "{lengths:?}");
    let rows: Vec<String> = lengths.iter().enumerate().map(|(n, length)| format!("{n}:{length}")).collect();
    let scoring = scoring(&toy, &[]);
    let calls: Vec<_> = rows
        .chunks(64)
        .map(|rows| scoring.submit(texts(&rows.iter().map(|t| Some(t.as_str())).collect::<Vec<_>>()), metrics.clone()))
        .collect();
    for outcomes in join_all(calls).await {
        outcomes.unwrap();
    }
    assert_eq!(count(&metrics.tokens), lengths.iter().sum::<usize>() as u64);
    let rows_a_pass = lengths.len() as f64 / toy.batches().len() as f64;
    println!("{rows_a_pass:.1} rows a pass");
    assert!(rows_a_pass >= 5.0, "{rows_a_pass} rows a pass");
}
