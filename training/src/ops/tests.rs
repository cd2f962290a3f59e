//! Each operation's own form against its composition, results and gradients.

use candle_core::{D, DType, Device, Result, Tensor, Var};

use super::attention::Groups;
use super::*;

/// The largest difference of two tensors, relative to the second one's largest value.
fn difference(a: &Tensor, b: &Tensor) -> f64 {
    let most = |x: &Tensor| x.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_dtype(DType::F64).unwrap();
    let (a, b) = (a.to_dtype(DType::F64).unwrap(), b.to_dtype(DType::F64).unwrap());
    let scale: f64 = most(&b).to_scalar().unwrap();
    most(&(a - b).unwrap()).to_scalar::<f64>().unwrap() / scale.max(1e-9)
}

/// Compares an operation in f32, where it is ours, with the same in f64, where it is composed.
fn same(shapes: &[&[usize]], operation: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let random = |shape: &&[usize]| Tensor::randn(0f64, 1., *shape, &Device::Cpu).unwrap();
    let values: Vec<Tensor> = shapes.iter().map(random).collect();
    let run = |dtype: DType| {
        let inputs: Vec<Var> = values.iter().map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap()).collect();
        let tensors: Vec<Tensor> = inputs.iter().map(|x| x.as_tensor().clone()).collect();
        let y = operation(&tensors).unwrap();
        // Weights that differ, so that a gradient in the wrong place is seen.
        let count = y.elem_count();
        let weights: Vec<f64> = (0..count).map(|i| ((i * 37 % 101) as f64 - 50.) / 50.).collect();
        let weights = Tensor::from_vec(weights, y.shape(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let gradients = (&y * weights).unwrap().sum_all().unwrap().backward().unwrap();
        let of = inputs.iter().map(|x| gradients.get(x).expect("a gradient").clone()).collect::<Vec<_>>();
        (y, of)
    };
    let (ours, composed) = (run(DType::F32), run(DType::F64));
    assert!(difference(&ours.0, &composed.0) < 2e-6, "results differ by {}", difference(&ours.0, &composed.0));
    for (number, (a, b)) in ours.1.iter().zip(&composed.1).enumerate() {
        assert!(difference(a, b) < 5e-6, "gradients of input {number} differ by {}", difference(a, b));
    }
}

#[test]
fn linear_maps() {
    same(&[&[5, 7, 33], &[20, 33], &[20]], |x| linear(&x[0], &x[1], Some(&x[2])));
    same(&[&[130, 16], &[3, 16]], |x| linear(&x[0], &x[1], None));
}

#[test]
fn norms() {
    // The composed ones compute in f32 whatever they are given, which is what is compared here.
    same(&[&[70, 33], &[33], &[33]], |x| layer_norm(&x[0], &x[1], &x[2], 1e-6));
    same(&[&[3, 40, 48], &[48]], |x| rms_norm(&x[0], &x[1], 1e-6));
}

#[test]
fn activations() {
    same(&[&[9, 50]], |x| gelu_tanh(&x[0]));
    same(&[&[9, 50]], |x| gelu_erf(&x[0]));
    same(&[&[9, 50], &[9, 50]], |x| swiglu(&x[0], &x[1]));
}

#[test]
fn rotations() {
    let positions: Vec<u32> = (0..90).map(|i| i * 7 % 40).collect();
    let rotation = Rotation::new(&positions, 8, 1e4);
    same(&[&[90, 24]], |x| rotate(&x[0], &rotation));
}

#[test]
fn attention_over_whole_sequences() {
    same(&[&[3 * 21, 32], &[3 * 21, 32], &[3 * 21, 32]], |x| attention(&x[0], &x[1], &x[2], &Groups::whole(3, 21), 8));
}

#[test]
fn causal_attention_with_a_shared_beginning() {
    let groups = Groups::new([(5, vec![3, 20, 1]), (0, vec![7]), (9, vec![])], true);
    let rows = 5 + 24 + 7 + 9;
    same(&[&[rows, 48], &[rows, 16], &[rows, 16]], |x| attention(&x[0], &x[1], &x[2], &groups, 8));
}

/// Long sequences go in blocks of rows, and their weights are not kept.
#[test]
fn long_attention_goes_in_blocks() {
    let rows = 700;
    same(&[&[3 * rows, 32], &[3 * rows, 32], &[3 * rows, 32]], |x| {
        attention(&x[0], &x[1], &x[2], &Groups::whole(3, rows), 4)
    });
    let groups = Groups::new([(300, vec![200, 90]), (0, vec![400])], true);
    same(&[&[990, 16], &[990, 8], &[990, 8]], |x| attention(&x[0], &x[1], &x[2], &groups, 8));
}

/// A beginning that is shared gives what sequences of their own give.
#[test]
fn a_shared_beginning_is_each_sequence_s_own() -> Result<()> {
    let (beginning, rests) = (4, [3usize, 6]);
    let x = Tensor::randn(0f32, 1., (beginning + 9, 16), &Device::Cpu)?;
    let shared = attention(&x, &x, &x, &Groups::new([(beginning, rests.to_vec())], true), 8)?;
    let mut start = beginning;
    for rest in rests {
        let own = Tensor::cat(&[x.narrow(0, 0, beginning)?, x.narrow(0, start, rest)?], 0)?;
        let own = attention(&own, &own, &own, &Groups::new([(0, vec![beginning + rest])], true), 8)?;
        let (own, shared) = (own.narrow(0, beginning, rest)?, shared.narrow(0, start, rest)?);
        assert!(difference(&own, &shared) < 1e-6);
        start += rest;
    }
    let sums = shared.sum(D::Minus1)?;
    assert_eq!(sums.dims(), [13]);
    Ok(())
}

#[test]
fn cross_entropies() {
    let targets: Vec<u32> = (0..40).map(|i| i * 7 % 19).collect();
    same(&[&[40, 19]], |x| cross_entropy(&x[0], &targets)?.to_dtype(x[0].dtype()));
}
