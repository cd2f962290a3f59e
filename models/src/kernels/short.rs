//! Short numbers: conversions that the compiler can vectorise, each without a branch.

/// The nearest bf16, ties to even, in the lower half of a word.
#[inline(always)]
pub(super) fn to_bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    // Rounding would carry what is not a number over into zero.
    if value.is_nan() { 0x7fc0 } else { bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16 }
}

/// The nearest f16 in the lower half of a word.
#[inline(always)]
pub(super) fn to_f16(value: f32) -> u32 {
    u32::from(half::f16::from_f32(value).to_bits())
}

/// The value of an f16 in the lower half of a word.
#[inline(always)]
pub(super) fn from_f16(half: u32) -> f32 {
    // Its exponent and fraction moved to f32's places, and 2^112 to make up for the difference of the two biases. That
    // is right for subnormal numbers too.
    let magnitude = f32::from_bits((half & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    // The largest exponent stands for what is not finite, there as here.
    let special = if half & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | special | (half & 0x8000) << 16)
}

/// Bits of the nearest signed byte of `value`, which is within +-127.
#[inline(always)]
pub(super) fn to_i8(value: f32) -> u32 {
    // The lowest byte of 1.5 * 2^23 + value is value's.
    (value + 12_582_912.).to_bits() & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_comes_back() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (from_f16(u32::from(bits)), half::f16::from_bits(bits).to_f32());
            let is_same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(is_same, "{bits:#x}: {found}, expected {expected}");
        }
    }

    #[test]
    fn bf16_rounds_as_the_crate_half_does() {
        for bits in (0..u32::MAX).step_by(65_537 / 3) {
            let value = f32::from_bits(bits);
            if value.is_finite() {
                assert_eq!(to_bf16(value), u32::from(half::bf16::from_f32(value).to_bits()), "{value}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_is_none_in_bf16() {
        for bits in [0x7fc0_0000, 0xffc0_0000, 0x7fff_ffff, u32::MAX, 0x7f80_0001] {
            assert!(f32::from_bits(to_bf16(f32::from_bits(bits)) << 16).is_nan(), "{bits:#x}");
        }
        assert_eq!(to_bf16(f32::INFINITY) << 16, f32::INFINITY.to_bits());
    }

    #[test]
    fn bytes_round_to_even() {
        for (value, expected) in [(0.5, 0), (1.5, 2), (-0.5, 0), (-1.5, -2), (126.6, 127), (-127., -127)] {
            assert_eq!(to_i8(value) as u8 as i8, expected);
        }
    }
}
