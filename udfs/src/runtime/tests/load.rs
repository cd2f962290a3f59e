//! A model is loaded when a row needs it, once.

use super::*;

#[tokio::test]
async fn requests_that_come_while_a_model_loads_wait_for_one_load() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[("scoring.prefetch", "4")]);
    assert_eq!(scoring.submit(texts(&[None]), metrics()).await.unwrap(), [Outcome::Null]);
    assert_eq!(toy.loads(), 0);
    let held = toy.hold_loading();
    let callers: Vec<_> = (0..5).map(|n| scoring.submit(numbers(n * 10..n * 10 + 10), metrics())).collect();
    toy.wait_until_loading();
    drop(held);
    for (n, outcomes) in join_all(callers).await.into_iter().enumerate() {
        let expected: Vec<f32> = (n * 10..n * 10 + 10).map(|n| n as f32).collect();
        assert_eq!(scores(&outcomes.unwrap()), expected);
    }
    assert_eq!(toy.loads(), 1);
}

#[tokio::test]
async fn a_load_that_fails_is_the_error_of_all_who_wait_and_is_tried_anew() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[]);
    toy.break_loading(true);
    let held = toy.hold_loading();
    let callers: Vec<_> = (0..3).map(|n| scoring.submit(numbers(n..n + 3), metrics())).collect();
    toy.wait_until_loading();
    // A request whose row waits for another's row of the same content.
    let copy = scoring.submit(numbers(0..1), metrics());
    while scoring.known.query.waiting() < 4 + 1 {
        std::thread::yield_now();
    }
    drop(held);
    for outcomes in join_all(callers.into_iter().chain([copy])).await {
        let error = outcomes.unwrap_err().to_string();
        assert!(error.contains("loading model toy: the model's files have changed"), "{error}");
    }
    assert_eq!(toy.loads(), 1);
    toy.break_loading(false);
    assert_eq!(scores(&scoring.submit(numbers(0..2), metrics()).await.unwrap()), [0.0, 1.0]);
    assert_eq!(toy.loads(), 2);
}

#[tokio::test]
async fn a_load_that_panics_is_an_error() {
    let model = ModelHandle::new("toy".to_string(), Box::new(|| panic!("out of order"))).unwrap();
    let scoring = Scoring::new(Arc::new(model), None, &options(&[]));
    let error = scoring.submit(numbers(0..2), metrics()).await.unwrap_err().to_string();
    assert!(error.contains("loading model toy panicked: out of order"), "{error}");
}

#[test]
fn a_model_that_loads_does_not_hold_up_another() {
    let (slow, quick) = (Toy::new(), Toy::new());
    let held = slow.hold_loading();
    let waiting = scoring(&slow, &[]).submit(numbers(0..200), metrics());
    slow.wait_until_loading();
    assert_eq!(scores(&scoring(&quick, &[]).submit(numbers(0..2), metrics()).wait().unwrap()), [0.0, 1.0]);
    drop(held);
    assert_eq!(waiting.wait().unwrap().len(), 200);
}

#[tokio::test]
async fn requests_may_go_while_their_model_loads() {
    let toy = Toy::new();
    let gone = scoring(&toy, &[]);
    let stays = Scoring::new(toy.model(), None, &options(&[]));
    let held = toy.hold_loading();
    let calls = [gone.submit(numbers(0..9), metrics()), gone.submit(numbers(0..9), metrics())];
    toy.wait_until_loading();
    drop(calls);
    // The last handle goes with it: nothing is left that the model is loaded for.
    drop(gone);
    let call = stays.submit(numbers(0..1), metrics());
    drop(held);
    assert_eq!(scores(&call.await.unwrap()), [0.0]);
}

#[test]
fn a_cost_is_measured_once_rows_have_flowed() {
    use tamis_models::checkpoint::Location;

    let mut config = ConfigOptions::new();
    config.extensions.insert(TamisOptions::default());
    config.set("tamis.unifilter.model", "stand-in://cost").unwrap();
    let location = Location::parse("stand-in://cost").unwrap();
    let toy: Arc<dyn Scorer> = Toy::new();
    register_scorer(&location, &toy).unwrap();
    let scoring = Scoring::open("unifilter", None, &config).unwrap();
    assert_eq!(scoring.model.model().time_a_row(), None);
    // No configuration tells what a stand-in's row costs.
    assert_eq!(Scoring::cost("unifilter", None, &config), None);
    assert_eq!(scores(&scoring.submit(numbers(0..3), metrics()).wait().unwrap()), [0.0, 1.0, 2.0]);
    assert!(scoring.model.model().time_a_row().is_some());
    let embedded = Scoring::cost("unifilter", Some("default"), &config).unwrap();
    let flops = tamis_models::flops(&Location::default_model(), 75).unwrap();
    assert_eq!(embedded.flops, flops);
    config.set("tamis.unifilter.max_text_tokens", "10").unwrap();
    assert!(Scoring::cost("unifilter", Some("default"), &config).unwrap().flops < flops);
    assert_eq!(Scoring::cost("unifilter", Some("no/such/folder"), &config), None);
}
