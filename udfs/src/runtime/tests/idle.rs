//! What the device waits for, and what it is given, is counted once.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn the_device_is_idle_while_rows_are_prepared_and_for_one_consumer() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[]);
    scoring.submit(numbers(0..1), metrics()).await.unwrap();
    let (slow, quick) = (metrics(), metrics());
    let begun = Instant::now();
    let held = toy.hold_preparing();
    let call = scoring.submit(texts(&[Some("2 wait in prepare")]), slow.clone());
    while begun.elapsed() < Duration::from_millis(50) {
        std::thread::yield_now();
    }
    drop(held);
    call.await.unwrap();
    let most = begun.elapsed();
    scoring.submit(numbers(3..4), quick.clone()).await.unwrap();
    let idle = Duration::from_nanos(count(&slow.device_idle_nanos));
    assert!(idle >= Duration::from_millis(25) && idle <= most, "idle for {idle:?} of {most:?}");
    let after = Duration::from_nanos(count(&quick.device_idle_nanos));
    assert!(after <= begun.elapsed() - Duration::from_millis(50), "counted twice: {after:?}");
}

#[tokio::test]
async fn time_without_rows_and_with_rows_on_the_device_is_not_idle() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[]);
    scoring.submit(numbers(0..1), metrics()).await.unwrap();
    let pause = Instant::now();
    while pause.elapsed() < Duration::from_millis(100) {
        std::thread::yield_now();
    }
    let (metrics, begun) = (metrics(), Instant::now());
    scoring.submit(numbers(1..2), metrics.clone()).await.unwrap();
    assert!(Duration::from_nanos(count(&metrics.device_idle_nanos)) <= begun.elapsed());
}

#[tokio::test]
async fn tokens_and_images_add_up() {
    let toy = Toy::new();
    let scoring = scoring(&toy, &[("scoring.batch_tokens", "2000")]);
    let all = [metrics(), metrics(), metrics()];
    let lengths = |n: usize| 150 + n * 37 % 90;
    let calls = all.iter().enumerate().map(|(c, metrics)| {
        let rows: Vec<String> = (c * 50..c * 50 + 50).map(|n| format!("{n}:{}", lengths(n))).collect();
        scoring.submit(texts(&rows.iter().map(|t| Some(t.as_str())).collect::<Vec<_>>()), metrics.clone())
    });
    for outcomes in join_all(calls.collect::<Vec<_>>()).await {
        outcomes.unwrap();
    }
    let sum =
        |of: fn(&ScoringMetrics) -> &AtomicU64| all.iter().map(|metrics| count(of(metrics))).sum::<u64>() as usize;
    assert_eq!(sum(|m| &m.tokens), (0..150).map(lengths).sum::<usize>());
    assert_eq!(sum(|m| &m.images_encoded), 150);
}
