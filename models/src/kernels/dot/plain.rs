//! The instructions in plain Rust: what a CPU without them runs, and what the others are tested against.
#![expect(unsafe_code, reason = "the trait's pointers")]

use super::Dot;

/// What a group holds, and how two groups are multiplied.
pub(in crate::kernels) trait Group: Copy + 'static {
    /// The type of a sum.
    type Sum: Copy + Default;

    fn dot(sum: Self::Sum, left: u32, right: u32) -> Self::Sum;
    fn start(from: i32) -> Self::Sum;
    fn to_f32(sum: Self::Sum) -> f32;
}

/// One f32.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct F32;

impl Group for F32 {
    type Sum = f32;

    #[inline(always)]
    fn dot(sum: f32, left: u32, right: u32) -> f32 {
        sum + f32::from_bits(left) * f32::from_bits(right)
    }

    fn start(from: i32) -> f32 {
        from as f32
    }

    #[inline(always)]
    fn to_f32(sum: f32) -> f32 {
        sum
    }
}

/// Two bf16, the first one in the lower half.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Bf16;

impl Group for Bf16 {
    type Sum = f32;

    #[inline(always)]
    fn dot(sum: f32, left: u32, right: u32) -> f32 {
        let [first, second] = [left << 16, left & 0xffff_0000].map(f32::from_bits);
        let [a, b] = [right << 16, right & 0xffff_0000].map(f32::from_bits);
        sum + first * a + second * b
    }

    fn start(from: i32) -> f32 {
        from as f32
    }

    #[inline(always)]
    fn to_f32(sum: f32) -> f32 {
        sum
    }
}

/// Two i16 on each side.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct I16;

impl Group for I16 {
    type Sum = i32;

    #[inline(always)]
    fn dot(sum: i32, left: u32, right: u32) -> i32 {
        let halves = |group: u32| [group as i16, (group >> 16) as i16].map(i32::from);
        let ([a, b], [c, d]) = (halves(left), halves(right));
        sum.wrapping_add(a * c).wrapping_add(b * d)
    }

    fn start(from: i32) -> i32 {
        from
    }

    #[inline(always)]
    fn to_f32(sum: i32) -> f32 {
        sum as f32
    }
}

/// Four bytes: unsigned on the left, signed on the right.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct U8I8;

impl Group for U8I8 {
    type Sum = i32;

    #[inline(always)]
    fn dot(sum: i32, left: u32, right: u32) -> i32 {
        let pairs = left.to_le_bytes().into_iter().zip(right.to_le_bytes());
        pairs.fold(sum, |sum, (a, b)| sum.wrapping_add(i32::from(a) * i32::from(b as i8)))
    }

    fn start(from: i32) -> i32 {
        from
    }

    #[inline(always)]
    fn to_f32(sum: i32) -> f32 {
        sum as f32
    }
}

/// A vector of `LANES` groups as an array.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Plain<G, const LANES: usize>(std::marker::PhantomData<G>);

impl<G: Group, const LANES: usize> Dot for Plain<G, LANES> {
    type Sums = [G::Sum; LANES];
    type Groups = [u32; LANES];
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [G::Sum::default(); LANES]
    }

    #[inline(always)]
    unsafe fn start(from: *const i32) -> Self::Sums {
        // SAFETY: the caller's pointer is good for LANES numbers.
        std::array::from_fn(|lane| G::start(unsafe { from.add(lane).read() }))
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> Self::Groups {
        // SAFETY: the caller's pointer is good for LANES groups.
        std::array::from_fn(|lane| unsafe { from.add(lane).read() })
    }

    #[inline(always)]
    unsafe fn splat(group: *const u32) -> Self::Groups {
        // SAFETY: the caller's pointer is good for one group.
        [unsafe { group.read() }; LANES]
    }

    #[inline(always)]
    unsafe fn dot(sums: Self::Sums, left: Self::Groups, right: Self::Groups) -> Self::Sums {
        std::array::from_fn(|lane| G::dot(sums[lane], left[lane], right[lane]))
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, to: *mut f32) {
        for (lane, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's pointer is good for LANES sums.
            unsafe { to.add(lane).write(G::to_f32(sum)) };
        }
    }

    #[inline(always)]
    unsafe fn store_sum(sums: Self::Sums, to: *mut f32) {
        for (lane, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's pointer is good for LANES sums.
            unsafe { *to.add(lane) += G::to_f32(sum) };
        }
    }
}
