//! The runtime on a model that does what its rows' texts say.

mod cached;
mod idle;
mod load;
mod packing;
mod shared;
mod toy;

use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, BinaryArray, ListArray, NullArray, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion::config::ConfigExtension;
use futures::future::join_all;

use super::*;
use toy::Toy;

fn options(settings: &[(&str, &str)]) -> TamisOptions {
    let mut config = ConfigOptions::new();
    config.extensions.insert(TamisOptions::default());
    for (key, value) in settings {
        config.set(&format!("{}.{key}", TamisOptions::PREFIX), value).unwrap();
    }
    TamisOptions::from_config(&config)
}

/// A query of its own over a toy of its own, without a cache.
fn scoring(toy: &Arc<Toy>, settings: &[(&str, &str)]) -> Scoring {
    Scoring::new(toy.model(), None, &options(settings))
}

/// Rows with these texts; `None` is a NULL text.
fn texts(texts: &[Option<&str>]) -> Arc<SampleColumns> {
    let images: ArrayRef = Arc::new(BinaryArray::from(vec![&b"image"[..]; texts.len()]));
    let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    Arc::new(SampleColumns::try_new(&[images, texts]).unwrap())
}

fn numbers(range: std::ops::Range<usize>) -> Arc<SampleColumns> {
    let all: Vec<String> = range.map(|n| n.to_string()).collect();
    texts(&all.iter().map(|t| Some(t.as_str())).collect::<Vec<_>>())
}

fn metrics() -> Arc<ScoringMetrics> {
    Arc::default()
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn scores(outcomes: &[Outcome]) -> Vec<f32> {
    outcomes.iter().map(|o| if let Outcome::Score(s) = o { *s } else { panic!("no score: {o:?}") }).collect()
}

fn reason(outcome: &Outcome) -> &str {
    if let Outcome::Failed(reason) = outcome { reason } else { panic!("not failed: {outcome:?}") }
}

#[tokio::test]
async fn outcomes_keep_the_order_of_rows_of_all_lengths() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[("scoring.batch_tokens", "1000"), ("scoring.prefetch", "16")]);
    let rows: Vec<String> = (0..200).map(|n| format!("{n}:{}", 1 + n * 37 % 300)).collect();
    let rows: Vec<Option<&str>> =
        rows.iter().enumerate().map(|(n, t)| if n % 7 == 3 { None } else { Some(t.as_str()) }).collect();
    let outcomes = scoring.submit(texts(&rows), metrics()).await.unwrap();
    for (n, outcome) in outcomes.iter().enumerate() {
        let expected = if n % 7 == 3 { Outcome::Null } else { Outcome::Score(n as f32) };
        assert_eq!(*outcome, expected);
    }
}

#[tokio::test]
async fn batches_respect_the_budget_and_are_counted() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[("scoring.batch_tokens", "1000")]);
    let rows: Vec<String> = (0..300).map(|n| format!("{n}:{}", 1 + n * 71 % 900)).collect();
    let rows: Vec<Option<&str>> = rows.iter().map(|t| Some(t.as_str())).collect();
    let metrics = metrics();
    drop(scoring.submit(texts(&rows), metrics.clone()).await.unwrap());
    let batches = toy.batches();
    for batch in &batches {
        let positions: usize = batch.iter().map(|row| row.positions).sum();
        assert!(batch.len() == 1 || positions <= 1000, "{batch:?}");
    }
    assert!(batches.len() < 300, "no rows share a batch");
    assert_eq!(count(&metrics.batches), batches.len() as u64);
    assert_eq!(count(&metrics.model_calls), 300);
    assert_eq!(count(&metrics.rows_scored), 300);
    assert_eq!(count(&metrics.rows_failed), 0);
    assert!(count(&metrics.prepare_nanos) > 0 && count(&metrics.forward_nanos) > 0);
}

#[tokio::test]
async fn rows_of_different_callers_share_a_batch() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[]);
    let held = toy.hold_device();
    let first = scoring.submit(texts(&[Some("0")]), metrics());
    toy.wait_until_scoring();
    let counters: Vec<_> = (0..10).map(|_| metrics()).collect();
    let callers: Vec<_> = (1..).zip(&counters).map(|(n, m)| scoring.submit(numbers(n..n + 1), m.clone())).collect();
    toy.wait_until_prepared(11);
    drop(held);
    first.await.unwrap();
    for (n, outcomes) in (1..).zip(join_all(callers).await) {
        assert_eq!(scores(&outcomes.unwrap()), [n as f32]);
    }
    assert_eq!(toy.batches().iter().map(Vec::len).collect::<Vec<_>>(), [1, 10]);
    assert!(counters.iter().all(|m| count(&m.batches) == 1 && count(&m.model_calls) == 1));
}

#[tokio::test]
async fn a_dropped_future_takes_its_rows_along() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[("scoring.prefetch", "4")]);
    let held = toy.hold_device();
    let first = scoring.submit(texts(&[Some("7")]), metrics());
    toy.wait_until_scoring();
    let cancelled_metrics = metrics();
    let cancelled = scoring.submit(numbers(1_000..1_100), cancelled_metrics.clone());
    toy.wait_until_prepared(4);
    drop(cancelled);
    let last = scoring.submit(numbers(8..10), metrics());
    drop(held);
    assert_eq!(scores(&first.await.unwrap()), [7.0]);
    assert_eq!(scores(&last.await.unwrap()), [8.0, 9.0]);
    let seen: Vec<usize> = toy.batches().concat().iter().map(|row| row.number).collect();
    assert_eq!(seen.len(), 3, "the device saw cancelled rows: {seen:?}");
    assert_eq!(count(&cancelled_metrics.model_calls), 0);
    assert_eq!(toy.prepared(), 1 + 3 + 2, "cancelled rows were prepared");
}

#[tokio::test]
async fn rows_in_flight_are_bounded_whatever_is_submitted() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[("scoring.prefetch", "5"), ("scoring.batch_tokens", "2")]);
    let callers: Vec<_> = (0..8).map(|n| scoring.submit(numbers(n * 50..n * 50 + 50), metrics())).collect();
    for outcomes in join_all(callers).await {
        assert_eq!(outcomes.unwrap().len(), 50);
    }
    assert!((2..=5).contains(&toy.most_in_flight()), "{} rows in flight", toy.most_in_flight());
}

#[tokio::test]
async fn callers_take_turns() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[("scoring.prefetch", "1")]);
    let held = toy.hold_device();
    let long = scoring.submit(numbers(100..200), metrics());
    toy.wait_until_scoring();
    let short = scoring.submit(numbers(0..1), metrics());
    drop(held);
    short.await.unwrap();
    long.await.unwrap();
    let place = toy.batches().concat().iter().position(|row| row.number == 0).unwrap();
    assert!(place <= 2, "the short call waited for {place} rows of the long one");
}

#[tokio::test]
async fn a_panic_while_preparing_fails_its_row_alone() {
    let toy = Toy::new();
    let metrics = metrics();
    let rows = texts(&[Some("1"), Some("2 panic in prepare"), Some("3")]);
    let outcomes = scoring(&toy, &[]).submit(rows, metrics.clone()).await.unwrap();
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Score(1.0), &Outcome::Score(3.0)));
    assert_eq!(reason(&outcomes[1]), "preparing the row panicked: as the row asked");
    assert_eq!((count(&metrics.rows_scored), count(&metrics.rows_failed)), (2, 1));
}

#[tokio::test]
async fn a_row_that_cannot_be_prepared_fails_alone_with_the_models_reason() {
    let outcomes =
        scoring(&Toy::new(), &[]).submit(texts(&[Some("not a number"), Some("3")]), metrics()).await.unwrap();
    assert_eq!(reason(&outcomes[0]), "text: no number");
    assert_eq!(outcomes[1], Outcome::Score(3.0));
}

#[tokio::test]
async fn a_row_that_poisons_its_batch_fails_alone() {
    for poison in ["fail in score", "panic in score"] {
        let toy = Toy::new();
        let scoring = scoring(&toy, &[]);
        let held = toy.hold_device();
        let first = scoring.submit(numbers(0..1), metrics());
        toy.wait_until_scoring();
        let (metrics, others) = (metrics(), metrics());
        let poisoned = format!("2 {poison}");
        let call = scoring.submit(texts(&[Some("1"), Some(&poisoned), Some("3")]), metrics.clone());
        let other = scoring.submit(numbers(4..6), others.clone());
        toy.wait_until_prepared(6);
        drop(held);
        first.await.unwrap();
        let outcomes = call.await.unwrap();
        assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Score(1.0), &Outcome::Score(3.0)));
        assert!(reason(&outcomes[1]).starts_with("forward pass "), "{outcomes:?}");
        assert_eq!(scores(&other.await.unwrap()), [4.0, 5.0]);
        // Once together and once alone.
        assert_eq!((count(&metrics.model_calls), count(&others.model_calls)), (6, 4));
        assert_eq!((count(&metrics.rows_scored), count(&metrics.rows_failed)), (2, 1));
    }
}

#[tokio::test]
async fn a_poisoned_row_that_is_alone_in_its_batch_is_blamed_as_the_device_works() {
    let outcomes = scoring(&Toy::new(), &[]).submit(texts(&[Some("1 fail in score")]), metrics()).await.unwrap();
    assert!(reason(&outcomes[0]).starts_with("forward pass gave a score"), "{outcomes:?}");
}

#[tokio::test]
async fn a_device_that_fails_for_all_rows_is_an_error_and_the_next_call_is_tried_anew() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[("scoring.prefetch", "2")]);
    toy.break_device(true);
    let metrics = metrics();
    let error = scoring.submit(numbers(0..40), metrics.clone()).await.unwrap_err().to_string();
    assert!(error.contains("scoring with model toy on its device: forward pass"), "{error}");
    assert_eq!(count(&metrics.rows_failed), 0);
    toy.break_device(false);
    assert_eq!(scores(&scoring.submit(numbers(3..5), super::tests::metrics()).await.unwrap()), [3.0, 4.0]);
}

#[tokio::test]
async fn a_model_that_miscounts_is_an_error_not_a_mix_up() {
    let toy = Toy::new();
    toy.miscount();
    let error = scoring(&toy, &[]).submit(numbers(0..3), metrics()).await.unwrap_err().to_string();
    assert!(error.contains("scores"), "{error}");
}

#[tokio::test]
async fn null_rows_and_no_rows_do_not_reach_the_model() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[]);
    let metrics = metrics();
    assert_eq!(scoring.submit(texts(&[None, None]), metrics.clone()).await.unwrap(), [Outcome::Null, Outcome::Null]);
    assert_eq!(scoring.submit(texts(&[]), metrics.clone()).await.unwrap(), []);
    let nulls: ArrayRef = Arc::new(NullArray::new(1));
    let columns = Arc::new(SampleColumns::try_new(&[nulls.clone(), nulls]).unwrap());
    assert_eq!(scoring.submit(columns, metrics.clone()).await.unwrap(), [Outcome::Null]);
    assert_eq!((toy.prepared(), toy.batches().len()), (0, 0));
    assert_eq!((count(&metrics.model_calls), count(&metrics.rows_failed)), (0, 0));
}

#[test]
fn a_row_that_takes_long_to_prepare_does_not_hold_up_the_others() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[]);
    let held = toy.hold_preparing();
    let quick = scoring.submit(numbers(1..2), metrics());
    let slow = scoring.submit(texts(&[Some("2 wait in prepare")]), metrics());
    assert_eq!(scores(&quick.wait().unwrap()), [1.0]);
    drop(held);
    assert_eq!(scores(&slow.wait().unwrap()), [2.0]);
}

#[test]
fn a_thread_without_a_runtime_can_wait() {
    assert_eq!(scores(&scoring(&Toy::new(), &[]).submit(numbers(0..3), metrics()).wait().unwrap()), [0.0, 1.0, 2.0]);
}

#[test]
fn images_by_path_are_read_and_a_missing_file_is_the_rows_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    std::fs::write(&path, b"12345").unwrap();
    let images: ArrayRef = Arc::new(StringArray::from(vec![path.to_str().unwrap(), "no/such/file"]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["1 bytes of image", "1"]));
    let columns = Arc::new(SampleColumns::try_new(&[images, texts]).unwrap());
    let outcomes = scoring(&Toy::new(), &[]).submit(columns, metrics()).wait().unwrap();
    assert_eq!(outcomes[0], Outcome::Score(5.0));
    assert!(reason(&outcomes[1]).starts_with("image: reading no/such/file: "), "{outcomes:?}");
}

/// A document: its images' paths and its texts.
type Document<'a> = (&'a [Option<&'a str>], &'a [Option<&'a str>]);

fn documents(documents: &[Document<'_>]) -> Arc<SampleColumns> {
    let list = |rows: Vec<&[Option<&str>]>| -> ArrayRef {
        let values = StringArray::from(rows.concat());
        let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.len()));
        Arc::new(ListArray::new(Arc::new(Field::new_list_field(DataType::Utf8, true)), offsets, Arc::new(values), None))
    };
    let (images, texts) = documents.iter().copied().unzip();
    Arc::new(SampleColumns::try_new(&[list(images), list(texts)]).unwrap())
}

#[test]
fn documents_that_cannot_be_scored_say_why_before_anything_is_fetched() {
    let columns = documents(&[
        (&[], &[]),
        (&[None, None], &[Some("1"), None]),
        (&[Some("no/such/file")], &[None, Some("1")]),
        (&[Some("no/such/file"); 9], &[None; 9]),
        (&[None, Some("no/such/file")], &[Some("1"), None]),
    ]);
    let scoring = scoring(&Toy::new(), &[("unifilter.max_document_images", "2")]);
    let outcomes = scoring.submit(columns, metrics()).wait().unwrap();
    let reasons: Vec<&str> = outcomes.iter().map(reason).collect();
    assert_eq!(reasons[0], "document has no image");
    assert_eq!(reasons[1], "document has no image");
    assert_eq!(reasons[2], "document has 1 images and 2 texts; the two lists must be parallel");
    assert!(reasons[3].starts_with("document has 9 images, more than the 2 that are scored"), "{}", reasons[3]);
    assert!(reasons[4].starts_with("image 1: reading no/such/file: "), "{}", reasons[4]);
}

#[test]
fn fail_on_error_follows_the_option() {
    assert!(!scoring(&Toy::new(), &[]).fail_on_error());
    assert!(scoring(&Toy::new(), &[("scoring.on_error", "fail")]).fail_on_error());
}

#[test]
fn the_embedded_model_scores_as_it_does_without_the_runtime() {
    use tamis_models::checkpoint::Location;
    use tamis_models::{DeviceChoice, DtypeChoice, Limits, Sample};

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tests/golden/images");
    let pictures: Vec<Vec<u8>> =
        ["c15.png", "c19.png", "c13.png"].iter().map(|n| std::fs::read(format!("{folder}/{n}")).unwrap()).collect();
    let captions = ["a cat", "two boats on a lake at dawn, seen from the hill", ""];
    let model = tamis_models::load(&Location::default_model(), DeviceChoice::Cpu, DtypeChoice::Auto).unwrap();
    let alone = pictures.iter().zip(captions).map(|(image, text)| {
        let sample = model.prepare(&Sample::Pair { image, text }, &Limits::default()).unwrap();
        model.score(&[sample]).unwrap().scores[0]
    });
    let alone: Vec<f32> = alone.collect();

    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values(&pictures));
    let texts: ArrayRef = Arc::new(StringArray::from(captions.to_vec()));
    let columns = Arc::new(SampleColumns::try_new(&[images, texts]).unwrap());
    let mut config = ConfigOptions::new();
    config.extensions.insert(TamisOptions::default());
    config.set("tamis.scoring.device", "cpu").unwrap();
    Scoring::check("unifilter", None, &config).unwrap();
    let scoring = Scoring::open("unifilter", None, &config).unwrap();
    let together = scores(&scoring.submit(columns, metrics()).wait().unwrap());
    for (together, alone) in together.iter().zip(&alone) {
        assert!((together - alone).abs() <= 1e-5, "{together} in a batch, {alone} alone");
    }
}
