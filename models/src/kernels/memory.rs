//! Memory for weights: whole huge pages where the system has them, so that walking through a matrix misses no address
//! translation. Measured on two cores with AVX2: products are 5 to 10 % faster than from pages of 4 KiB.

use memmap2::MmapMut;

/// Words that are zero at first.
#[derive(Debug)]
pub(super) enum Words {
    Mapped(MmapMut),
    Owned(Vec<u32>),
}

/// Less than this is not worth a mapping of its own.
const HUGE_PAGE: usize = 2 << 20;

impl Words {
    pub(super) fn zeroed(count: usize) -> Self {
        let bytes = count * size_of::<u32>();
        if bytes >= HUGE_PAGE
            && let Ok(map) = MmapMut::map_anon(bytes)
        {
            // Advice: where it is not taken, pages are small.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
            return Self::Mapped(map);
        }
        Self::Owned(vec![0; count])
    }

    pub(super) fn all(&self) -> &[u32] {
        match self {
            Self::Mapped(map) => bytemuck::cast_slice(map),
            Self::Owned(words) => words,
        }
    }

    pub(super) fn all_mut(&mut self) -> &mut [u32] {
        match self {
            Self::Mapped(map) => bytemuck::cast_slice_mut(map),
            Self::Owned(words) => words,
        }
    }
}
