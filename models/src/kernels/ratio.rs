//! That the kernels are worth having: ratios against candle's own, on one machine in one run. A time would say nothing on
//! a machine that others use; instructions that waste their time would show here.

use std::time::Instant;

use candle_core::{Device, Tensor};

use super::*;

/// Of `REPEATS` pairs of runs, one after the other, the median of `theirs / ours`.
fn ratio(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> f64 {
    const REPEATS: usize = 9;
    let time = |run: &mut dyn FnMut()| {
        let begun = Instant::now();
        run();
        begun.elapsed().as_secs_f64()
    };
    // Once for memory and threads to be there.
    ours();
    theirs();
    let mut ratios: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let own = time(&mut ours);
            time(&mut theirs) / own
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!("{ratios:.2?}");
    ratios[REPEATS / 2]
}

#[test]
fn a_layer_is_no_slower_than_candle_s_product_alone() -> candle_core::Result<()> {
    if Isa::detect() == Isa::Plain {
        println!("this CPU has no vector instructions that are used here");
        return Ok(());
    }
    let (rows, inputs, outputs) = (729, 1152, 1152);
    let values: Vec<f32> = (0..rows * inputs).map(|i| (i % 89) as f32 * 0.01).collect();
    let weights: Vec<f32> = (0..outputs * inputs).map(|i| (i % 97) as f32 * 0.01).collect();
    let stored: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let isa = Isa::detect();
    let packed = Weights::pack(isa, Storage::F32, Layout::Straight, &[Source::new(Stored::F32, &stored, inputs)]);
    let linear = Linear::new(isa, packed, Some(vec![1.; outputs]), Activation::GeluTanh);
    let mut left = linear.operand();
    left.resize(rows, inputs);
    fill(isa, &mut left, |row, to| to.copy_from_slice(&values[row * inputs..][..inputs]));
    let mut out = vec![0.; rows * outputs];
    let a = Tensor::from_vec(values.clone(), (rows, inputs), &Device::Cpu)?;
    let b = Tensor::from_vec(weights, (outputs, inputs), &Device::Cpu)?.t()?;
    let found = ratio(|| linear.run(&left, Into::Set(&mut out)), || drop(a.matmul(&b)));
    // Measured: 1.2 to 1.5, bias and activation included on our side only.
    assert!(found > 0.95, "{found}");
    Ok(())
}

#[test]
fn attention_is_at_least_twice_as_fast_as_its_steps_in_candle() -> candle_core::Result<()> {
    if Isa::detect() == Isa::Plain {
        println!("this CPU has no vector instructions that are used here");
        return Ok(());
    }
    let heads = Heads { query: 16, key_value: 16, width: 72 };
    let (length, stride) = (729, 3 * heads.queries());
    let qkv: Vec<f32> = (0..length * stride).map(|i| (i % 83) as f32 * 0.01).collect();
    let attention = Attention::new(Isa::detect(), Numbers::F32, heads);
    let spans = [Span { queries: 0..length, shared: 0..0, own: 0..length, seen: length }];
    let (mut mixed, mut out) = (Vec::new(), Operand::new(Numbers::F32));
    let rows = |offset| Rows { values: &qkv, stride, offset };
    let tensor = Tensor::from_slice(&qkv, (length, 3, heads.query, heads.width), &Device::Cpu)?;
    let steps = || -> candle_core::Result<Tensor> {
        let part = |i: usize| tensor.narrow(1, i, 1)?.squeeze(1)?.transpose(0, 1)?.contiguous();
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let scores = (q.matmul(&k.transpose(1, 2)?.contiguous()?)? * (1. / 72f64.sqrt()))?;
        candle_nn::ops::softmax_last_dim(&scores)?.matmul(&v)
    };
    let found = ratio(|| attention.run(rows(0), rows(heads.queries()), &spans, &mut mixed, &mut out), || drop(steps()));
    assert!(found > 2., "{found}");
    Ok(())
}
