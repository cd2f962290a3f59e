//! What the score cache knows costs no model.

use super::*;

const FINGERPRINT: &str = "70f";

/// What a cache in `folder` remembers of the toy.
fn remembered(folder: &tempfile::TempDir) -> Arc<ModelScores> {
    let options = options(&[("cache.path", folder.path().to_str().unwrap())]);
    ScoreCache::open(&options).unwrap().model(FINGERPRINT)
}

fn cached(toy: &Arc<Toy>, cache: &Arc<ModelScores>) -> Scoring {
    Scoring::new(toy.model(), Some(cache.clone()), &options(&[]))
}

#[tokio::test]
async fn a_second_query_loads_and_scores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, rows) = (remembered(&folder), [Some("1"), Some("not a number"), None, Some("3"), Some("1")]);
    let (toy, cold) = (Toy::new(), metrics());
    let first = cached(&toy, &cache).submit(texts(&rows), cold.clone()).await.unwrap();
    assert_eq!((count(&cold.rows_scored), count(&cold.rows_failed), count(&cold.cache_misses)), (2, 1, 3));
    assert_eq!(count(&cold.rows_shared) + count(&cold.cache_hits), 1);
    let (fresh, warm) = (Toy::new(), metrics());
    let second = cached(&fresh, &cache).submit(texts(&rows), warm.clone()).await.unwrap();
    assert_eq!(second, first);
    assert_eq!((fresh.loads(), fresh.begun()), (0, 0));
    assert_eq!((count(&warm.cache_hits), count(&warm.rows_failed), count(&warm.rows_scored)), (4, 1, 0));
    assert_eq!((count(&warm.cache_misses), count(&warm.model_calls), count(&warm.rows_shared)), (0, 0, 0));
    assert_eq!(count(&warm.device_idle_nanos), 0);
}

#[tokio::test]
async fn only_what_is_new_is_scored() {
    let folder = tempfile::tempdir().unwrap();
    let (toy, cache, metrics) = (Toy::new(), remembered(&folder), metrics());
    cached(&toy, &cache).submit(numbers(0..20), super::tests::metrics()).await.unwrap();
    let outcomes = cached(&toy, &cache).submit(numbers(10..30), metrics.clone()).await.unwrap();
    assert_eq!(scores(&outcomes), (10..30).map(|n| n as f32).collect::<Vec<_>>());
    assert_eq!((count(&metrics.cache_hits), count(&metrics.cache_misses), count(&metrics.rows_scored)), (10, 10, 10));
}

#[tokio::test]
async fn what_may_not_come_again_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let cache = remembered(&folder);
    let toy = Toy::new();
    let rows = [Some("1 panic in prepare"), Some("1 fail in score"), Some("2 panic in score"), Some("3")];
    cached(&toy, &cache).submit(texts(&rows), metrics()).await.unwrap();
    let images: ArrayRef = Arc::new(StringArray::from(vec!["no/such/file"]));
    let missing = Arc::new(SampleColumns::try_new(&[images, Arc::new(StringArray::from(vec!["1"]))]).unwrap());
    cached(&toy, &cache).submit(missing.clone(), metrics()).await.unwrap();
    let again = metrics();
    cached(&toy, &cache).submit(texts(&rows), again.clone()).await.unwrap();
    assert_eq!((count(&again.cache_hits), count(&again.cache_misses)), (1, 3));
    let fetched = metrics();
    cached(&toy, &cache).submit(missing, fetched.clone()).await.unwrap();
    assert_eq!((count(&fetched.cache_hits), count(&fetched.rows_failed)), (0, 1));
}

#[test]
fn the_embedded_model_is_not_loaded_for_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let picture = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tests/golden/images/c15.png")).unwrap();
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values([&picture]));
    let columns = Arc::new(SampleColumns::try_new(&[images, Arc::new(StringArray::from(vec!["a cat"]))]).unwrap());
    let mut config = ConfigOptions::new();
    config.extensions.insert(TamisOptions::default());
    config.set("tamis.cache.path", folder.path().to_str().unwrap()).unwrap();
    config.set("tamis.scoring.dtype", "f32").unwrap();
    let first = Scoring::open("unifilter", None, &config).unwrap();
    let score = first.submit(columns.clone(), metrics()).wait().unwrap();
    assert!(first.model.is_loaded());
    // The same arithmetic under another name is another model of this process with the same fingerprint.
    config.set("tamis.scoring.dtype", "auto").unwrap();
    config.set("tamis.scoring.device", "cpu").unwrap();
    let (second, metrics) = (Scoring::open("unifilter", None, &config).unwrap(), metrics());
    if !Arc::ptr_eq(&first.model, &second.model) {
        assert_eq!(second.submit(columns, metrics.clone()).wait().unwrap(), score);
        assert_eq!(count(&metrics.cache_hits), 1);
    }
}
