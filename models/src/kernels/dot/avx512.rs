//! AVX-512: 16 lanes, with its dot products of bf16 and bytes where a CPU has them.
#![expect(unsafe_code, reason = "vector instructions on pointers")]
// SAFETY of every block below: the caller has the CPU features and good pointers, as the trait asks.

use std::arch::x86_64::*;

use super::Dot;

/// One f32 a group, by `vfmadd231ps`.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct F32;

/// Two bf16 a group, by `vdpbf16ps` (AVX512_BF16).
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Bf16;

/// Two i16 a group, by `vpmaddwd` (AVX512_BW).
#[derive(Clone, Copy)]
pub(in crate::kernels) struct I16;

/// Four bytes a group, unsigned on the left, by `vpdpbusd` (AVX512_VNNI).
#[derive(Clone, Copy)]
pub(in crate::kernels) struct U8I8;

/// The methods that do not depend on what a group holds.
macro_rules! groups {
    () => {
        type Groups = __m512i;
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn load(from: *const u32) -> __m512i {
            unsafe { _mm512_loadu_si512(from.cast()) }
        }

        #[inline(always)]
        unsafe fn splat(group: *const u32) -> __m512i {
            unsafe { _mm512_set1_epi32(group.cast::<i32>().read_unaligned()) }
        }
    };
}

/// The methods of sums in f32.
macro_rules! float_sums {
    () => {
        type Sums = __m512;

        #[inline(always)]
        unsafe fn zero() -> __m512 {
            unsafe { _mm512_setzero_ps() }
        }

        #[inline(always)]
        unsafe fn start(from: *const i32) -> __m512 {
            unsafe { _mm512_cvtepi32_ps(_mm512_loadu_si512(from.cast())) }
        }

        #[inline(always)]
        unsafe fn store(sums: __m512, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, sums) }
        }

        #[inline(always)]
        unsafe fn store_sum(sums: __m512, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), sums)) }
        }
    };
}

/// The methods of sums in i32.
macro_rules! whole_sums {
    () => {
        type Sums = __m512i;

        #[inline(always)]
        unsafe fn zero() -> __m512i {
            unsafe { _mm512_setzero_si512() }
        }

        #[inline(always)]
        unsafe fn start(from: *const i32) -> __m512i {
            unsafe { _mm512_loadu_si512(from.cast()) }
        }

        #[inline(always)]
        unsafe fn store(sums: __m512i, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, _mm512_cvtepi32_ps(sums)) }
        }

        #[inline(always)]
        unsafe fn store_sum(sums: __m512i, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), _mm512_cvtepi32_ps(sums))) }
        }
    };
}

impl Dot for F32 {
    groups!();
    float_sums!();

    #[inline(always)]
    unsafe fn dot(sums: __m512, left: __m512i, right: __m512i) -> __m512 {
        unsafe { _mm512_fmadd_ps(_mm512_castsi512_ps(left), _mm512_castsi512_ps(right), sums) }
    }
}

impl Dot for Bf16 {
    groups!();
    float_sums!();

    #[inline(always)]
    unsafe fn dot(sums: __m512, left: __m512i, right: __m512i) -> __m512 {
        // SAFETY: as above; the two vector types are 64 bytes of any content.
        unsafe {
            let [left, right] = [left, right].map(|groups| std::mem::transmute::<__m512i, __m512bh>(groups));
            _mm512_dpbf16_ps(sums, left, right)
        }
    }
}

impl Dot for I16 {
    groups!();
    whole_sums!();

    #[inline(always)]
    unsafe fn dot(sums: __m512i, left: __m512i, right: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(sums, _mm512_madd_epi16(left, right)) }
    }
}

impl Dot for U8I8 {
    groups!();
    whole_sums!();

    #[inline(always)]
    unsafe fn dot(sums: __m512i, left: __m512i, right: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sums, left, right) }
    }
}
