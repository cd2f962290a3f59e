//! Every kernel against plain arithmetic in f64, over shapes that fit no tile, for every family of instructions that this
//! CPU has, and for AVX-512's and AMX's tiles in plain Rust ([`Isa::Wide`], [`Isa::Tiles`]), so that their loops are tested on any CPU.

use proptest::prelude::*;

use super::*;

/// Numbers between -1 and 1 that depend on a seed alone.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// How far a result may be from the product in f64 of the same weights and activations, relative to the sum of magnitudes.
fn tolerance(storage: Storage) -> f64 {
    match storage {
        Storage::F32 => 1e-6,
        Storage::F16 => 1e-3,
        Storage::Bf16 => 8e-3,
        Storage::I8 => 2e-2,
    }
}

#[derive(Debug, Clone)]
struct Shape {
    rows: usize,
    inputs: usize,
    outputs: usize,
}

fn shapes() -> impl Strategy<Value = Shape> {
    // Beyond a block of rows, a part of the inputs and a panel, and below a tile.
    (1..300usize, 1..1200usize, 1..80usize).prop_map(|(rows, inputs, outputs)| Shape { rows, inputs, outputs })
}

fn operand(isa: Isa, numbers: Numbers, values: &[f32], inputs: usize) -> Operand {
    let mut operand = Operand::new(numbers);
    operand.resize(values.len() / inputs, inputs);
    fill(isa, &mut operand, |row, to| to.copy_from_slice(&values[row * inputs..][..inputs]));
    operand
}

/// `[rows, outputs]`: products, and the sums of their terms' magnitudes.
fn expected(values: &[f32], weights: &[f32], inputs: usize) -> Vec<(f64, f64)> {
    let dot = |row: &[f32], weights: &[f32]| {
        let terms = row.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(*b));
        terms.fold((0., 0.), |(sum, all), term| (sum + term, all + term.abs()))
    };
    values.chunks(inputs).flat_map(|row| weights.chunks(inputs).map(move |weights| dot(row, weights))).collect()
}

const STORAGES: [Storage; 4] = [Storage::F32, Storage::Bf16, Storage::F16, Storage::I8];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn products_are_those_of_plain_arithmetic(shape in shapes(), seed in 0..u64::MAX) {
        let Shape { rows, inputs, outputs } = shape;
        let (values, weights) = (numbers(seed, rows * inputs), numbers(seed ^ 7, outputs * inputs));
        let bias = numbers(seed ^ 9, outputs);
        let expected = expected(&values, &weights, inputs);
        let stored = bytes(&weights);
        for storage in STORAGES {
            for isa in Isa::available() {
                let kind = storage.numbers(isa);
                let source = [Source::new(Stored::F32, &stored, inputs)];
                let packed = Weights::pack(isa, storage, Layout::Straight, &source);
                let linear = Linear::new(isa, packed, Some(bias.clone()), Activation::None);
                let left = operand(isa, kind, &values, inputs);
                let mut set = vec![f32::NAN; rows * outputs];
                linear.run(&left, Into::Set(&mut set));
                let mut added = vec![1.; rows * outputs];
                linear.run(&left, Into::Add(&mut added));
                for (place, (sum, all)) in expected.iter().enumerate() {
                    let wanted = sum + f64::from(bias[place % outputs]);
                    let apart = (f64::from(set[place]) - wanted).abs();
                    let bound = tolerance(storage) * (all + 1.);
                    prop_assert!(apart <= bound, "{storage:?} {kind:?} {isa:?} {shape:?} at {place}: {apart} > {bound}");
                    prop_assert!((added[place] - set[place] - 1.).abs() <= 1e-4 * (1. + set[place].abs()));
                }
                // As the left side of another product: what a step of it is worth, times the steps.
                let mut next = Operand::new(kind);
                linear.run(&left, Into::Operand(&mut next));
                let again = operand(isa, kind, &set, outputs);
                prop_assert_eq!(&next.groups, &again.groups);
                prop_assert_eq!(&next.scales, &again.scales);
            }
        }
    }

    #[test]
    fn gated_weights_give_the_gated_values(shape in shapes(), seed in 0..u64::MAX) {
        let Shape { rows, inputs, outputs } = shape;
        let values = numbers(seed, rows * inputs);
        let (gates, ups) = (numbers(seed ^ 7, outputs * inputs), numbers(seed ^ 8, outputs * inputs));
        let (gate_sums, up_sums) = (expected(&values, &gates, inputs), expected(&values, &ups, inputs));
        let stored = [bytes(&gates), bytes(&ups)];
        for storage in STORAGES {
            for isa in Isa::available() {
                let kind = storage.numbers(isa);
                let sources = [0, 1].map(|i| Source::new(Stored::F32, &stored[i], inputs));
                let packed = Weights::pack(isa, storage, Layout::Gated, &sources);
                let linear = Linear::new(isa, packed, None, Activation::SwiGlu);
                let mut found = vec![f32::NAN; rows * outputs];
                linear.run(&operand(isa, kind, &values, inputs), Into::Set(&mut found));
                for (place, ((gate, all_gate), (up, all_up))) in gate_sums.iter().zip(&up_sums).enumerate() {
                    let wanted = gate / (1. + (-gate).exp()) * up;
                    let t = tolerance(storage);
                    let bound = 2. * t * ((all_gate + 1.) * (up.abs() + 1.) + (all_up + 1.) * (gate.abs() + 1.));
                    prop_assert!((f64::from(found[place]) - wanted).abs() <= bound, "{storage:?} {isa:?} {shape:?}");
                }
            }
        }
    }

    #[test]
    fn attention_is_the_softmax_of_all_scores(
        own in 1..40usize, shared in 0..30usize, other in 1..1500usize, group in 1..4usize, half in 1..40usize,
        causal: bool, seed in 0..u64::MAX,
    ) {
        let heads = Heads { query: 2 * group, key_value: 2, width: 2 * half };
        let total = shared + own + other;
        let queries = numbers(seed, total * heads.queries());
        let keys_values = numbers(seed ^ 3, total * heads.keys_values());
        let seen = |keys: usize| if causal { 1 } else { keys };
        let mut spans = vec![
            Span { queries: shared..shared + own, shared: 0..shared, own: shared..shared + own, seen: seen(own) },
            Span { queries: shared + own..total, shared: 0..0, own: shared + own..total, seen: seen(other) },
        ];
        if other > 200 {
            // Many keys, and few queries: the last ones alone, of which each sees another number of keys.
            let last = own.min(20);
            let seen = if causal { other + 1 - last } else { other };
            spans[1] = Span { queries: total - last..total, seen, ..spans[1].clone() };
            // The many keys are common to all of one more.
            spans.push(Span { queries: 0..1, shared: shared + own..total, own: shared..shared + own, seen: own });
        }
        let rows = |values, stride| Rows { values, stride, offset: 0 };
        let both = Isa::available().into_iter().flat_map(|isa| [(isa, Numbers::F32), (isa, Numbers::Bf16)]);
        for (isa, kind) in both {
            let attention = Attention::new(isa, kind, heads);
            let (mut mixed, mut out) = (Vec::new(), Operand::new(Numbers::F32));
            let (q, kv) = (rows(&queries, heads.queries()), rows(&keys_values, heads.keys_values()));
            attention.run(q, kv, &spans, &mut mixed, &mut out);
            let found: Vec<f32> = out.groups.iter().map(|bits| f32::from_bits(*bits)).collect();
            let wanted = plain_attention(&queries, &keys_values, &spans, heads);
            prop_assert_eq!(found.len(), wanted.len());
            let bound = if kind == Numbers::F32 { 2e-6 } else { 2e-2 };
            for (found, wanted) in found.iter().zip(&wanted) {
                prop_assert!((f64::from(*found) - wanted).abs() <= bound, "{attention:?}: {found} {wanted}");
            }
        }
    }
}

/// Attention by its formula, in f64.
fn plain_attention(queries: &[f32], keys_values: &[f32], spans: &[Span], heads: Heads) -> Vec<f64> {
    let mut out = Vec::new();
    let key = |row: usize, head: usize| &keys_values[row * heads.keys_values() + head * heads.width..][..heads.width];
    for span in spans {
        for (number, query) in span.queries.clone().enumerate() {
            let own = span.own.clone().take(span.seen + number);
            let rows: Vec<usize> = span.shared.clone().chain(own).collect();
            for head in 0..heads.query {
                let q = &queries[query * heads.queries() + head * heads.width..][..heads.width];
                let serving = head / (heads.query / heads.key_value);
                let score = |row: &usize| {
                    let dot: f64 = q.iter().zip(key(*row, serving)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    (dot / (heads.width as f64).sqrt()).exp()
                };
                let weights: Vec<f64> = rows.iter().map(score).collect();
                let total: f64 = weights.iter().sum();
                out.extend((0..heads.width).map(|place| {
                    let values = rows.iter().map(|row| f64::from(key(*row, heads.key_value + serving)[place]));
                    values.zip(&weights).map(|(value, weight)| value * weight).sum::<f64>() / total
                }));
            }
        }
    }
    out
}

#[test]
fn few_rows_go_by_columns_with_the_same_result() {
    let (inputs, outputs) = (300, 1000);
    let (values, weights) = (numbers(1, 3 * inputs), numbers(2, outputs * inputs));
    let stored = bytes(&weights);
    let isa = Isa::detect();
    let packed = Weights::pack(isa, Storage::F32, Layout::Straight, &[Source::new(Stored::F32, &stored, inputs)]);
    let linear = Linear::new(isa, packed, None, Activation::GeluTanh);
    let left = operand(isa, Numbers::F32, &values, inputs);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut out = vec![f32::NAN; 3 * outputs];
        let mut next = Operand::new(Numbers::F32);
        pool.install(|| {
            linear.run(&left, Into::Set(&mut out));
            linear.run(&left, Into::Operand(&mut next));
        });
        assert!(next.groups.iter().zip(&out).all(|(bits, value)| *bits == value.to_bits()));
        out
    };
    assert_eq!(run(1), run(8));
}

#[test]
fn what_is_not_a_number_stays_one() {
    let isa = Isa::detect();
    for storage in STORAGES {
        let stored = bytes(&numbers(3, 40 * 20));
        let packed = Weights::pack(isa, storage, Layout::Straight, &[Source::new(Stored::F32, &stored, 20)]);
        let linear = Linear::new(isa, packed, None, Activation::None);
        for bad in [f32::NAN, f32::INFINITY] {
            let mut values = numbers(4, 2 * 20);
            values[25] = bad;
            let mut out = vec![0.; 2 * 40];
            linear.run(&operand(isa, storage.numbers(isa), &values, 20), Into::Set(&mut out));
            assert!(out[..40].iter().all(|v| v.is_finite()), "{storage:?}");
            assert!(out[40..].iter().any(|v| !v.is_finite()), "{storage:?}: {bad} is gone");
        }
    }
}

#[test]
fn a_weight_that_is_not_a_number_is_not_hidden() {
    for isa in Isa::available() {
        for storage in STORAGES {
            for bad in [f32::NAN, f32::INFINITY, f32::from_bits(u32::MAX)] {
                let mut weights = numbers(3, 3 * 20);
                weights[25] = bad;
                let stored = bytes(&weights);
                let source = [Source::new(Stored::F32, &stored, 20)];
                let packed = Weights::pack(isa, storage, Layout::Straight, &source);
                let linear = Linear::new(isa, packed, None, Activation::None);
                let mut out = vec![0.; 3];
                let left = operand(isa, storage.numbers(isa), &numbers(4, 20), 20);
                linear.run(&left, Into::Set(&mut out));
                assert!(!out[1].is_finite(), "{storage:?} {isa:?}: {bad} is gone, {out:?}");
                assert!(out[0].is_finite() && out[2].is_finite(), "{storage:?} {isa:?}: {out:?}");
            }
        }
    }
}

#[test]
fn norms_follow_their_formulas() {
    for width in [1, 15, 16, 33, 1152] {
        let (values, weight, bias) = (numbers(5, width), numbers(6, width), numbers(7, width));
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / width as f64;
        let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / width as f64;
        let square = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / width as f64;
        let (mut layer, mut rms) = (vec![0.; width], vec![0.; width]);
        Norm::Layer { weight: weight.clone(), bias: bias.clone(), eps: 1e-6 }.row(&values, &mut layer);
        Norm::Rms { weight: weight.clone(), eps: 1e-6 }.row(&values, &mut rms);
        for i in 0..width {
            let (v, w) = (f64::from(values[i]), f64::from(weight[i]));
            let expected = (v - mean) / (variance + 1e-6).sqrt() * w + f64::from(bias[i]);
            assert!((f64::from(layer[i]) - expected).abs() < 2e-5);
            assert!((f64::from(rms[i]) - v / (square + 1e-6).sqrt() * w).abs() < 2e-5);
        }
    }
}
