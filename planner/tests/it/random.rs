//! Random queries: with the rules and without them the answers are the same.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::session::{compared, config, scores, session};

/// A call of the model, or of another name of it.
fn call(table: &'static str) -> impl Strategy<Value = String> {
    let text = prop_oneof![3 => Just("text"), 1 => Just("upper(text)")];
    let model = prop_oneof![4 => Just(""), 1 => Just(", 'default'")];
    (text, model).prop_map(move |(text, model)| {
        let text = text.replace("text", &format!("{table}.text"));
        format!("unifilter({table}.image, {text}{model})")
    })
}

fn cheap(table: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        (0..13).prop_map(move |n| format!("{table}.id < {n}")),
        (5..20_i32).prop_map(move |n| format!("{table}.width > {}", n * 20)),
        (0..12).prop_map(move |n| format!("nullif({table}.id, {n}) > 5")),
        Just(format!("{table}.image IS NOT NULL")),
    ]
}

/// Thresholds stand far from any score of these pictures, which batching may move by 1e-5.
fn judged(table: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        (call(table), prop::sample::select(vec!["> -100", "< 100", "> 100"]))
            .prop_map(|(call, test)| format!("{call} {test}")),
        call(table).prop_map(|call| format!("{call} IS NULL")),
        call(table).prop_map(|call| format!("{} IS NULL", call.replace("unifilter(", "unifilter_error("))),
    ]
}

fn predicate(table: &'static str) -> impl Strategy<Value = String> {
    let leaf = prop_oneof![cheap(table), judged(table)];
    leaf.prop_recursive(3, 8, 2, move |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.clone().prop_map(|a| format!("NOT {a}")),
            (cheap(table), inner.clone(), inner).prop_map(|(c, a, b)| format!("(CASE WHEN {c} THEN {a} ELSE {b} END)")),
        ]
    })
}

fn value(table: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => call(table),
        1 => (cheap(table), call(table)).prop_map(|(c, q)| format!("CASE WHEN {c} THEN {q} ELSE 0 END")),
        1 => (0..12, call(table)).prop_map(move |(n, q)| format!("coalesce(nullif(CAST({table}.id < {n} AS FLOAT), 1), {q})")),
        1 => call(table).prop_map(|q| format!("{q} + 1")),
        1 => Just(format!("{table}.width")),
    ]
}

/// Every query orders by `id`, which with the further columns of a join is unique, so that a limit is determined.
fn query() -> impl Strategy<Value = String> {
    let limit = prop_oneof![Just(String::new()), (1..6, 0..3).prop_map(|(n, o)| format!(" LIMIT {n} OFFSET {o}"))];
    let one = (value("t"), value("t"), predicate("t"), limit.clone())
        .prop_map(|(a, b, p, l)| format!("SELECT id, {a} AS a, {b} AS b FROM t WHERE {p} ORDER BY id{l}"));
    let nested = (value("t"), predicate("t"), cheap("x"), limit.clone()).prop_map(|(a, p, c, l)| {
        format!("SELECT x.id, x.a FROM (SELECT *, {a} AS a FROM t WHERE {p}) x WHERE {c} ORDER BY x.id{l}")
    });
    let kind = prop::sample::select(vec!["JOIN", "LEFT JOIN", "RIGHT JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN"]);
    let joined = (value("t"), predicate("t"), kind, cheap("s"), limit.clone()).prop_map(|(a, p, kind, c, l)| {
        format!(
            "SELECT s.id, s.a FROM (SELECT id, width, image, {a} AS a FROM t WHERE {p}) s {kind} u \
             ON s.id = u.id WHERE {c} ORDER BY s.id{l}"
        )
    });
    let grouped = (value("t"), predicate("t"), judged("t")).prop_map(|(a, p, h)| {
        format!(
            "SELECT id > 5 AS g, count(*), max({a}), count(*) FILTER (WHERE {h}) FROM t WHERE {p} GROUP BY id > 5 \
             ORDER BY g"
        )
    });
    let union = (value("t"), predicate("t"), value("u"), predicate("u")).prop_map(|(a, p, b, q)| {
        format!("SELECT id, {a} AS a FROM t WHERE {p} UNION ALL SELECT id, {b} FROM u WHERE {q} ORDER BY 1, 2")
    });
    prop_oneof![3 => one, 2 => nested, 3 => joined, 1 => grouped, 1 => union]
}

#[test]
fn answers_are_those_of_the_plain_functions() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // The rows are few: with a cache each is scored once, and many queries cost little.
    let context = session(config().set_str("tamis.cache.path", scores()));
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let with_rows = std::cell::Cell::new(0);
    TestRunner::new(config)
        .run(&query(), |sql| {
            let (run, _) = runtime.block_on(compared(&context, &sql));
            with_rows.set(with_rows.get() + usize::from(!run.rows.is_empty()));
            Ok(())
        })
        .unwrap();
    assert!(with_rows.get() > cases as usize / 3, "too few queries gave rows: {}", with_rows.get());
}
