//! The instruction at the bottom of every product: a vector of small dot products, added to a vector of sums.
//!
//! Numbers travel in *groups* of 32 bits: one f32, two bf16, two i16 or four bytes. A group of the left side is given to
//! all lanes, the right side has a group of its own for each lane, and each lane adds the dot product of its two groups
//! to its sum. So one loop serves all types.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
pub(super) mod plain;

/// Dot products of groups, lane by lane.
///
/// # Safety
///
/// The methods must be called on a CPU that has the instructions which the implementing type is named for; pointers must
/// be good for `LANES` groups (loads), sums (stores) or starting values.
#[expect(unsafe_code, reason = "vector instructions on pointers")]
pub(super) trait Dot: Copy + 'static {
    /// A sum for each lane.
    type Sums: Copy;
    /// A group for each lane.
    type Groups: Copy;
    /// Lanes of a vector.
    const LANES: usize;

    /// Sums of zero.
    unsafe fn zero() -> Self::Sums;
    /// Sums that begin at these whole numbers; only where sums are whole numbers.
    unsafe fn start(from: *const i32) -> Self::Sums;
    /// One group a lane.
    unsafe fn load(from: *const u32) -> Self::Groups;
    /// The same group in all lanes.
    unsafe fn splat(group: *const u32) -> Self::Groups;
    /// `sums + left * right`.
    unsafe fn dot(sums: Self::Sums, left: Self::Groups, right: Self::Groups) -> Self::Sums;
    /// Writes the sums as f32.
    unsafe fn store(sums: Self::Sums, to: *mut f32);
    /// Adds the sums, as f32, to what is there.
    unsafe fn store_sum(sums: Self::Sums, to: *mut f32);
}
