//! Functions of single values, without branches, so that the compiler vectorises them; and the softmax.

/// What a layer does to its sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Nothing.
    None,
    /// `x Phi(x)` by its tanh approximation: `gelu_pytorch_tanh` (Hendrycks and Gimpel, arXiv 1606.08415).
    GeluTanh,
    /// `x Phi(x)` by the error function.
    GeluErf,
    /// `silu(gate) * value` of gated weights: SwiGLU (Shazeer, arXiv 2002.05202).
    SwiGlu,
}

impl Activation {
    /// Applies it to values in place; SwiGLU is [`swiglu`]'s. `FUSED` as [`exp2`] has it.
    #[inline(always)]
    pub(super) fn apply<const FUSED: bool>(self, values: &mut [f32]) {
        match self {
            Self::None | Self::SwiGlu => {}
            Self::GeluTanh => values.iter_mut().for_each(|x| *x = gelu_tanh::<FUSED>(*x)),
            Self::GeluErf => values.iter_mut().for_each(|x| *x = gelu_erf(*x)),
        }
    }
}

/// `gates = silu(gates) * values`.
#[inline(always)]
pub(super) fn swiglu<const FUSED: bool>(gates: &mut [f32], values: &[f32]) {
    for (gate, value) in gates.iter_mut().zip(values) {
        *gate = *gate * sigmoid::<FUSED>(*gate) * value;
    }
}

/// `2^x` of an `x` that is not above 126, to about one unit in the last place; below -126 no smaller than `2^-126`. `FUSED`
/// where the CPU multiplies and adds in one instruction.
#[inline(always)]
pub(crate) fn exp2<const FUSED: bool>(x: f32) -> f32 {
    // 1.5 * 2^23 and the exponent's bias: added to a number, it leaves that number's exponent in the lowest bits.
    const MAGIC: f32 = 12_582_912. + 127.;
    // Not `max`: what is not a number must stay so.
    let x = if x < -126. { -126. } else { x };
    let shifted = x + MAGIC;
    let r = x - (shifted - MAGIC);
    // 2^r, |r| <= 1/2: the polynomial of least relative error (Remez), 2e-9 before rounding.
    const COEFFICIENTS: [f32; 6] =
        [1.339_993_1e-3, 9.618_489e-3, 5.550_329e-2, 2.402_264_7e-1, std::f32::consts::LN_2, 1.];
    let mut p: f32 = 1.534_581_2e-4;
    for coefficient in COEFFICIENTS {
        p = multiply_add::<FUSED>(p, r, coefficient);
    }
    p * f32::from_bits(shifted.to_bits() << 23)
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `1 / (1 + e^-x)`. `FUSED` where the CPU multiplies and adds in one instruction.
#[inline(always)]
pub fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    // Beyond this, 1 + 2^y is so large that what is multiplied by its inverse is as good as nothing.
    const MOST: f32 = 126.;
    let y = x * -std::f32::consts::LOG2_E;
    1. / (1. + exp2::<FUSED>(if y > MOST { MOST } else { y }))
}

/// `x Phi(x)` by its tanh approximation. `FUSED` where the CPU multiplies and adds in one instruction.
#[inline(always)]
pub fn gelu_tanh<const FUSED: bool>(x: f32) -> f32 {
    // 0.5 x (1 + tanh(y)) = x sigmoid(2 y)
    const SQRT_8_OVER_PI: f32 = 1.595_769;
    x * sigmoid::<FUSED>(SQRT_8_OVER_PI * x * multiply_add::<FUSED>(0.044_715 * x, x, 1.))
}

/// `x Phi(x)` by the error function.
#[inline(always)]
pub fn gelu_erf(x: f32) -> f32 {
    0.5 * x * (1. + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Largest of some values; minus infinity of none. In 16 lanes: a single one is a chain that can't be vectorised.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let (whole, rest) = values.as_chunks::<16>();
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in whole {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *value);
        }
    }
    rest.iter().chain(&lanes).fold(f32::NEG_INFINITY, |most, value| larger(most, *value))
}

/// Sum of `f` of some values, in 16 lanes.
#[inline(always)]
pub(super) fn sum(values: &mut [f32], f: impl Fn(&mut f32) -> f32) -> f32 {
    let (whole, rest) = values.as_chunks_mut::<16>();
    let mut lanes = [0f32; 16];
    for chunk in whole {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f(value);
        }
    }
    rest.iter_mut().map(f).sum::<f32>() + lanes.iter().sum::<f32>()
}

/// The softmax of `values`, in place.
pub(crate) fn softmax(values: &mut [f32]) {
    let most = largest(values);
    let total = sum(values, |value| {
        *value = exp2::<false>((*value - most) * std::f32::consts::LOG2_E);
        *value
    });
    values.iter_mut().for_each(|value| *value /= total);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> impl Iterator<Item = f32> {
        (-100_000..=100_000).map(|i| i as f32 * 1e-3)
    }

    #[test]
    fn powers_of_two_are_right_to_two_units_in_the_last_place() {
        for x in grid().filter(|x| x.abs() <= 100.) {
            let expected = f64::from(x).exp2();
            for found in [exp2::<false>(x), exp2::<true>(x)] {
                let error = (f64::from(found) - expected).abs() / expected;
                assert!(error < 2.4e-7, "2^{x} = {found}, expected {expected}: {error}");
            }
        }
        assert!(
            exp2::<true>(f32::NEG_INFINITY) < 1e-37 && exp2::<true>(0.) == 1. && exp2::<true>(126.) == 126f32.exp2()
        );
    }

    #[test]
    fn a_value_that_is_not_a_number_stays_one() {
        let functions = [
            exp2::<true>,
            exp2::<false>,
            gelu_tanh::<true>,
            gelu_tanh::<false>,
            gelu_erf,
            sigmoid::<true>,
            sigmoid::<false>,
        ];
        // Whatever else its bits say.
        for bits in [0x7fc0_0000, 0xffc0_0000, 0x7fff_ffff, u32::MAX, 0x7f80_0001] {
            assert!(functions.iter().all(|f| f(f32::from_bits(bits)).is_nan()), "{bits:#x}");
        }
    }

    #[test]
    fn activations_follow_their_formulas() {
        for x in grid().step_by(7).map(|x| x / 5.) {
            let x64 = f64::from(x);
            let tanh = 0.5 * x64 * (1. + ((2. / std::f64::consts::PI).sqrt() * (x64 + 0.044715 * x64.powi(3))).tanh());
            let erf = 0.5 * x64 * (1. + libm::erf(x64 / std::f64::consts::SQRT_2));
            let close = |found: f32, expected: f64| (f64::from(found) - expected).abs() <= 3e-7 * (1. + expected.abs());
            assert!(close(gelu_erf(x), erf), "{x}: {} {erf}", gelu_erf(x));
            for gelu in [gelu_tanh::<true>, gelu_tanh::<false>] {
                assert!(close(gelu(x), tanh), "{x}: {} {tanh}", gelu(x));
            }
            for swiglu in [swiglu::<true>, swiglu::<false>] {
                let mut gate = [x];
                swiglu(&mut gate, &[3.]);
                assert!(close(gate[0], 3. * x64 / (1. + (-x64).exp())), "{x}: {}", gate[0]);
            }
        }
    }

    #[test]
    fn the_softmax_adds_up_whatever_the_length() {
        for length in [1, 2, 15, 16, 17, 100] {
            let mut values: Vec<f32> = (0..length).map(|i| ((i * 37) % 11) as f32).collect();
            let weights: Vec<f64> = values.iter().map(|v| f64::from(*v).exp()).collect();
            softmax(&mut values);
            let total: f64 = weights.iter().sum();
            for (found, weight) in values.iter().zip(&weights) {
                assert!((f64::from(*found) - weight / total).abs() < 1e-6);
            }
        }
        assert_eq!(largest(&[]), f32::NEG_INFINITY);
    }
}
