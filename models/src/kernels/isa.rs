//! What the CPU at hand can do.

use std::sync::OnceLock;

/// A family of vector instructions, with what it has for short numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    /// Whatever the target has: no detection, no `unsafe`.
    Plain,
    /// All of AVX-512 in plain Rust: what a CPU without it tests the wide tiles with.
    #[cfg(test)]
    Wide,
    /// AMX in plain Rust, for the same reason.
    #[cfg(test)]
    Tiles,
    /// AVX2 with FMA: 8 lanes.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL): 16 lanes.
    Avx512 {
        /// `vdpbf16ps`: products of two pairs of bf16, added in f32.
        bf16: bool,
        /// `vpdpbusd`: products of four pairs of bytes, added in i32.
        vnni: bool,
        /// AMX: matrices of 16 rows in registers, multiplied in bf16 and bytes.
        amx: bool,
    },
}

impl Isa {
    /// The best that this CPU has.
    pub(crate) fn detect() -> Self {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| Self::available().last().copied().unwrap_or(Self::Plain))
    }

    /// All that this CPU has, the best one last.
    pub(crate) fn available() -> Vec<Self> {
        let mut found = vec![Self::Plain];
        #[cfg(test)]
        found.extend([Self::Wide, Self::Tiles]);
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if has_avx2 {
                found.push(Self::Avx2);
            }
            if has_avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                let (bf16, vnni) = (is_x86_feature_detected!("avx512bf16"), is_x86_feature_detected!("avx512vnni"));
                found.push(Self::Avx512 { bf16: false, vnni: false, amx: false });
                if bf16 || vnni {
                    found.push(Self::Avx512 { bf16, vnni, amx: false });
                }
                if bf16 && vnni && super::amx::is_available() {
                    found.push(Self::Avx512 { bf16, vnni, amx: true });
                }
            }
        }
        found
    }

    /// Whether it multiplies pairs of bf16.
    pub(crate) fn has_bf16(self) -> bool {
        match self {
            Self::Plain | Self::Avx2 => false,
            #[cfg(test)]
            Self::Wide | Self::Tiles => true,
            Self::Avx512 { bf16, .. } => bf16,
        }
    }

    /// Whether it multiplies fours of bytes.
    pub(crate) fn has_bytes(self) -> bool {
        match self {
            Self::Plain | Self::Avx2 => false,
            #[cfg(test)]
            Self::Wide | Self::Tiles => true,
            Self::Avx512 { vnni, .. } => vnni,
        }
    }

    /// Whether it multiplies and adds in one instruction.
    pub(super) fn fuses(self) -> bool {
        matches!(self, Self::Avx2 | Self::Avx512 { .. })
    }

    /// Runs `f` compiled for this family: what is inlined into it is vectorised with its instructions.
    #[inline]
    #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calls of functions that want a CPU feature"))]
    pub(crate) fn vectorise<R>(self, f: impl FnOnce() -> R) -> R {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma")]
            fn avx2<R>(f: impl FnOnce() -> R) -> R {
                f()
            }

            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512<R>(f: impl FnOnce() -> R) -> R {
                f()
            }

            match self {
                Self::Plain => f(),
                #[cfg(test)]
                Self::Wide | Self::Tiles => f(),
                // SAFETY: these variants exist only where the features were found (`available`).
                Self::Avx2 => unsafe { avx2(f) },
                // SAFETY: as above.
                Self::Avx512 { .. } => unsafe { avx512(f) },
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        f()
    }
}
