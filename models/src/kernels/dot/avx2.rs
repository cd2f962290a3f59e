//! AVX2 with FMA: 8 lanes.
#![expect(unsafe_code, reason = "vector instructions on pointers")]
// SAFETY of every block below: the caller has the CPU features and good pointers, as the trait asks.

use std::arch::x86_64::*;

use super::Dot;

/// One f32 a group, by `vfmadd231ps`.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct F32;

impl Dot for F32 {
    type Sums = __m256;
    type Groups = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn start(from: *const i32) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m256 {
        unsafe { _mm256_loadu_ps(from.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(group: *const u32) -> __m256 {
        unsafe { _mm256_broadcast_ss(&*group.cast()) }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m256, left: __m256, right: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(left, right, sums) }
    }

    #[inline(always)]
    unsafe fn store(sums: __m256, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, sums) }
    }

    #[inline(always)]
    unsafe fn store_sum(sums: __m256, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), sums)) }
    }
}

/// Two i16 a group, by `vpmaddwd`.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct I16;

impl Dot for I16 {
    type Sums = __m256i;
    type Groups = __m256i;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn start(from: *const i32) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(group: *const u32) -> __m256i {
        unsafe { _mm256_castps_si256(_mm256_broadcast_ss(&*group.cast())) }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m256i, left: __m256i, right: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(left, right)) }
    }

    #[inline(always)]
    unsafe fn store(sums: __m256i, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, _mm256_cvtepi32_ps(sums)) }
    }

    #[inline(always)]
    unsafe fn store_sum(sums: __m256i, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), _mm256_cvtepi32_ps(sums))) }
    }
}
