//! Rows of the same content are scored once.

use super::*;

/// Waits until so many rows wait for others of their content.
fn wait_until_waiting(scoring: &Scoring, rows: usize) {
    while scoring.known.query.waiting() != rows {
        std::thread::yield_now();
    }
}

fn two_of_a_query(toy: &Arc<Toy>) -> (Scoring, Scoring) {
    let (model, query) = (toy.model(), Arc::default());
    let scoring = || Scoring::new(model.clone(), None, &options(&[])).within(&query);
    (scoring(), scoring())
}

#[tokio::test]
async fn rows_of_a_request() {
    let (toy, metrics) = (Toy::new(), metrics());
    let rows = texts(&[Some("1"), Some("2"), Some("1"), None, Some("1"), Some("2")]);
    let outcomes = scoring(&toy, &[]).submit(rows, metrics.clone()).await.unwrap();
    let expected =
        [1.0, 2.0, 1.0, f32::NAN, 1.0, 2.0].map(|s| if s.is_nan() { Outcome::Null } else { Outcome::Score(s) });
    assert_eq!(outcomes, expected);
    assert_eq!(toy.batches().concat().len(), 2);
    assert_eq!((count(&metrics.rows_scored), count(&metrics.model_calls), count(&metrics.rows_shared)), (2, 2, 3));
    assert_eq!((count(&metrics.cache_hits), count(&metrics.cache_misses), count(&metrics.rows_failed)), (0, 0, 0));
}

#[tokio::test]
async fn rows_of_the_requests_of_a_query() {
    let (toy, metrics) = (Toy::new(), metrics());
    let (first, second) = two_of_a_query(&toy);
    let held = toy.hold_device();
    let one = first.submit(texts(&[Some("1")]), super::metrics());
    toy.wait_until_scoring();
    let two = second.submit(texts(&[Some("1"), Some("2")]), metrics.clone());
    wait_until_waiting(&first, 1);
    drop(held);
    assert_eq!(scores(&one.await.unwrap()), [1.0]);
    assert_eq!(scores(&two.await.unwrap()), [1.0, 2.0]);
    assert_eq!((count(&metrics.rows_scored), count(&metrics.rows_shared)), (1, 1));
    // Those that come later find it too.
    assert_eq!(scores(&second.submit(numbers(1..4), metrics.clone()).await.unwrap()), [1.0, 2.0, 3.0]);
    assert_eq!((count(&metrics.rows_scored), count(&metrics.rows_shared)), (2, 3));
    assert_eq!((toy.prepared(), toy.batches().concat().len()), (3, 3));
}

#[tokio::test]
async fn another_query_and_another_model_score_again() {
    let toy = Toy::new();
    let model = toy.model();
    let scoring = Scoring::new(model.clone(), None, &options(&[]));
    assert_eq!(scores(&scoring.submit(numbers(1..2), metrics()).await.unwrap()), [1.0]);
    let (other, metrics) = (Arc::default(), metrics());
    let again = scoring.within(&other);
    assert_eq!(scores(&again.submit(numbers(1..2), metrics.clone()).await.unwrap()), [1.0]);
    let third = Scoring::new(toy.model(), None, &options(&[])).within(&other);
    assert_eq!(scores(&third.submit(numbers(1..2), metrics.clone()).await.unwrap()), [1.0]);
    assert_eq!((count(&metrics.rows_scored), count(&metrics.rows_shared)), (2, 0));
}

#[tokio::test]
async fn limits_belong_to_the_content() {
    let (toy, metrics) = (Toy::new(), metrics());
    let (model, query) = (toy.model(), Arc::default());
    for tokens in ["75", "10", "75"] {
        let settings = options(&[("unifilter.max_text_tokens", tokens)]);
        let scoring = Scoring::new(model.clone(), None, &settings).within(&query);
        scoring.submit(numbers(1..2), metrics.clone()).await.unwrap();
    }
    assert_eq!((count(&metrics.rows_scored), count(&metrics.rows_shared)), (2, 1));
}

#[tokio::test]
async fn rows_that_wait_hold_nothing_up() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[("scoring.prefetch", "2")]);
    let held = toy.hold_device();
    let first = scoring.submit(texts(&[Some("1")]), metrics());
    toy.wait_until_scoring();
    let copies = scoring.submit(texts(&[Some("1"); 10]), metrics());
    let other = scoring.submit(texts(&[Some("5")]), metrics());
    // One place is taken by the row on the device; copies of it do not keep the other.
    toy.wait_until_prepared(2);
    drop(held);
    assert_eq!(scores(&first.await.unwrap()), [1.0]);
    assert_eq!(scores(&copies.await.unwrap()), [1.0; 10]);
    assert_eq!(scores(&other.await.unwrap()), [5.0]);
}

#[tokio::test]
async fn failures_are_shared_and_counted() {
    let (toy, metrics) = (Toy::new(), metrics());
    let scoring = scoring(&toy, &[]);
    let rows = texts(&[Some("not a number"), Some("1"), Some("not a number")]);
    let outcomes = scoring.submit(rows, metrics.clone()).await.unwrap();
    assert_eq!((reason(&outcomes[0]), reason(&outcomes[2])), ("text: no number", "text: no number"));
    assert_eq!((count(&metrics.rows_failed), count(&metrics.rows_shared), count(&metrics.rows_scored)), (2, 1, 1));
    assert_eq!(toy.begun(), 2);
}

#[tokio::test]
async fn what_may_not_come_again_is_told_to_those_who_wait_and_forgotten() {
    for what in ["1 fail in score", "1 panic in score", "1 panic in prepare"] {
        let toy = Toy::new();
        let scoring = scoring(&toy, &[]);
        let held = (toy.hold_device(), toy.hold_loading());
        let call = scoring.submit(texts(&[Some(what), Some(what)]), metrics());
        toy.wait_until_loading();
        wait_until_waiting(&scoring, 1);
        drop(held);
        let outcomes = call.await.unwrap();
        assert_eq!(reason(&outcomes[0]), reason(&outcomes[1]), "{what}");
        let begun = toy.begun();
        assert!(matches!(scoring.submit(texts(&[Some(what)]), metrics()).await.unwrap()[0], Outcome::Failed(_)));
        assert!(toy.begun() > begun, "{what} was kept");
    }
}

#[tokio::test]
async fn a_cancelled_owner_hands_over() {
    let toy = Toy::new();
    let (first, second) = two_of_a_query(&toy);
    let held = toy.hold_device();
    let busy = first.submit(texts(&[Some("7")]), metrics());
    toy.wait_until_scoring();
    let owner = first.submit(texts(&[Some("1")]), metrics());
    toy.wait_until_prepared(2);
    let (metrics, others) = (metrics(), super::metrics());
    let waiting = second.submit(texts(&[Some("1"), Some("1")]), metrics.clone());
    let last = first.submit(texts(&[Some("1")]), others.clone());
    wait_until_waiting(&first, 3);
    drop(owner);
    drop(held);
    assert_eq!(scores(&waiting.await.unwrap()), [1.0, 1.0]);
    assert_eq!(scores(&last.await.unwrap()), [1.0]);
    assert_eq!(scores(&busy.await.unwrap()), [7.0]);
    assert_eq!(count(&metrics.rows_scored) + count(&others.rows_scored), 1);
    assert_eq!(count(&metrics.rows_shared) + count(&others.rows_shared), 2);
}

#[tokio::test]
async fn an_owner_that_is_cancelled_while_the_model_loads_hands_over() {
    let toy = Toy::new();
    let (first, second) = two_of_a_query(&toy);
    let held = toy.hold_loading();
    let owner = first.submit(texts(&[Some("1")]), metrics());
    toy.wait_until_loading();
    let waiting = second.submit(texts(&[Some("1")]), metrics());
    wait_until_waiting(&first, 1);
    drop(owner);
    drop(held);
    assert_eq!(scores(&waiting.await.unwrap()), [1.0]);
}

#[tokio::test]
async fn a_cancelled_row_that_waits_is_let_go_and_its_owner_goes_on() {
    let toy = Toy::new();
    let (first, second) = two_of_a_query(&toy);
    let held = toy.hold_device();
    let owner = first.submit(texts(&[Some("1")]), metrics());
    toy.wait_until_scoring();
    let columns = texts(&[Some("1"); 3]);
    let waiting = second.submit(columns.clone(), metrics());
    wait_until_waiting(&first, 3);
    drop(waiting);
    assert_eq!(first.known.query.waiting(), 0);
    // The thread that looked the last of them up may not have let go of the request yet.
    while Arc::strong_count(&columns) > 1 {
        std::thread::yield_now();
    }
    drop(held);
    assert_eq!(scores(&owner.await.unwrap()), [1.0]);
}

#[tokio::test]
async fn an_error_of_the_device_fails_those_who_wait() {
    let toy = Toy::new();
    let (first, second) = two_of_a_query(&toy);
    toy.break_device(true);
    let held = toy.hold_device();
    let owner = first.submit(texts(&[Some("1")]), metrics());
    toy.wait_until_scoring();
    let waiting = second.submit(texts(&[Some("1"), Some("2")]), metrics());
    wait_until_waiting(&first, 1);
    drop(held);
    for call in [owner, waiting] {
        let error = call.await.unwrap_err().to_string();
        assert!(error.contains("scoring with model toy on its device: forward pass"), "{error}");
    }
    toy.break_device(false);
    assert_eq!(scores(&first.submit(numbers(1..3), metrics()).await.unwrap()), [1.0, 2.0]);
}
