//! The innermost product: a few packed rows by a few packed columns, with all sums in registers.
#![expect(unsafe_code, reason = "calls of functions that want a CPU feature, on pointers into checked slices")]

use super::dot::{Dot, plain};
use super::isa::Isa;

/// What the groups of a product hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// One f32.
    F32,
    /// Two bf16.
    Bf16,
    /// Two i16.
    I16,
    /// Four bytes, those of the left side unsigned.
    U8I8,
}

impl Numbers {
    /// Numbers in a group.
    pub(crate) fn per_group(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 | Self::I16 => 2,
            Self::U8I8 => 4,
        }
    }
}

/// `groups`, left as [`Tile::step`] says, right [groups, columns], starting values [columns] or null, whether to add to what is
/// there, out [rows, columns].
type Run = unsafe fn(usize, *const u32, *const u32, *const i32, bool, *mut f32);

/// A product of `rows` by `columns` for one family of instructions and one kind of number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    rows: usize,
    columns: usize,
    step: usize,
    run: Run,
}

/// Room for the largest tile's sums.
pub(crate) const MOST: usize = 32 * 32;

/// A tile's function, compiled for the CPU features that its instructions want.
macro_rules! tile {
    ($features:literal, $dot:ty, $rows:literal x $vectors:literal) => {{
        #[target_feature(enable = $features)]
        unsafe fn run(
            groups: usize,
            left: *const u32,
            right: *const u32,
            start: *const i32,
            adds: bool,
            out: *mut f32,
        ) {
            // SAFETY: the caller's.
            unsafe { multiply::<$dot, $rows, $vectors, 1>(groups, left, right, start, adds, out) }
        }
        Tile { rows: $rows, columns: $vectors * <$dot>::LANES, step: 1, run }
    }};
    ($dot:ty, $rows:literal x $vectors:literal) => {
        tile!($dot, $rows x $vectors, 1)
    };
    ($dot:ty, $rows:literal x $vectors:literal, $step:literal) => {
        Tile { rows: $rows, columns: $vectors * <$dot>::LANES, step: $step, run: multiply::<$dot, $rows, $vectors, $step> }
    };
}

impl Tile {
    /// The family's best tile for these numbers; the plain one if it has no instruction for them.
    pub(crate) fn new(isa: Isa, numbers: Numbers) -> Self {
        #[cfg(target_arch = "x86_64")]
        use super::{
            amx,
            dot::{avx2, avx512},
        };
        match (isa, numbers) {
            #[cfg(test)]
            (Isa::Tiles, Numbers::Bf16) => tile!(plain::Plain<plain::Bf16, 16>, 32 x 2, 16),
            #[cfg(test)]
            (Isa::Tiles, Numbers::U8I8) => tile!(plain::Plain<plain::U8I8, 16>, 32 x 2, 16),
            #[cfg(test)]
            (Isa::Wide | Isa::Tiles, numbers) => Self::wide(numbers),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Numbers::F32) => tile!("avx2,fma", avx2::F32, 6 x 2),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Numbers::I16) => tile!("avx2,fma", avx2::I16, 6 x 2),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512 { amx: true, .. }, Numbers::Bf16) => Self::amx(amx::bf16),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512 { amx: true, .. }, Numbers::U8I8) => Self::amx(amx::bytes),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512 { .. }, Numbers::F32) => tile!("avx512f,avx512bw,avx512dq,avx512vl", avx512::F32, 14 x 2),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512 { .. }, Numbers::I16) => tile!("avx512f,avx512bw,avx512dq,avx512vl", avx512::I16, 14 x 2),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512 { bf16: true, .. }, Numbers::Bf16) => {
                tile!("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16", avx512::Bf16, 14 x 2)
            }
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512 { vnni: true, .. }, Numbers::U8I8) => {
                tile!("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni", avx512::U8I8, 14 x 2)
            }
            _ => Self::plain(numbers),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn amx(run: Run) -> Self {
        use super::amx::{COLUMNS, ROWS, STEP};
        Self { rows: ROWS, columns: COLUMNS, step: STEP, run }
    }

    /// The tile that every CPU has.
    fn plain(numbers: Numbers) -> Self {
        match numbers {
            Numbers::F32 => tile!(plain::Plain<plain::F32, 8>, 4 x 1),
            Numbers::Bf16 => tile!(plain::Plain<plain::Bf16, 8>, 4 x 1),
            Numbers::I16 => tile!(plain::Plain<plain::I16, 8>, 4 x 1),
            Numbers::U8I8 => tile!(plain::Plain<plain::U8I8, 8>, 4 x 1),
        }
    }

    #[cfg(test)]
    fn wide(numbers: Numbers) -> Self {
        match numbers {
            Numbers::F32 => tile!(plain::Plain<plain::F32, 16>, 14 x 2),
            Numbers::Bf16 => tile!(plain::Plain<plain::Bf16, 16>, 14 x 2),
            Numbers::I16 => tile!(plain::Plain<plain::I16, 16>, 14 x 2),
            Numbers::U8I8 => tile!(plain::Plain<plain::U8I8, 16>, 14 x 2),
        }
    }

    /// Rows of the left side.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the right side.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Groups of a row that lie together in the left side: [groups / step, rows, step]. Their number is a multiple of it.
    pub(crate) fn step(&self) -> usize {
        self.step
    }

    /// Where a group of a row lies in the left side.
    #[inline(always)]
    pub(crate) fn place(&self, row: usize, group: usize) -> usize {
        (group / self.step * self.rows + row) * self.step + group % self.step
    }

    /// Packs a tile's left side; what `row` gives may end early, and zeros follow.
    pub(crate) fn pack<'a>(&self, packed: &mut [u32], row: impl Fn(usize) -> &'a [u32]) {
        match (self.step, self.rows) {
            (1, 4) => turn::<4>(packed, row),
            (1, 6) => turn::<6>(packed, row),
            (1, 14) => turn::<14>(packed, row),
            (step, rows) => {
                for (number, groups) in (0..rows).map(|number| (number, row(number))) {
                    let mut groups = groups.chunks(step);
                    for packed in packed.chunks_exact_mut(rows * step) {
                        let (groups, place) = (groups.next().unwrap_or_default(), &mut packed[number * step..][..step]);
                        place[..groups.len()].copy_from_slice(groups);
                        place[groups.len()..].fill(0);
                    }
                }
            }
        }
    }

    /// `out = left * right`: left [groups, rows] in steps, right [groups, columns], both packed group by group; out [rows,
    /// columns]. With `start`, the sums begin at these whole numbers [columns].
    #[inline]
    pub(crate) fn multiply(&self, left: &[u32], right: &[u32], start: Option<&[i32]>, out: &mut [f32]) {
        self.run(left, right, start, false, out);
    }

    /// `out += left * right`.
    #[inline]
    pub(crate) fn add_product(&self, left: &[u32], right: &[u32], out: &mut [f32]) {
        self.run(left, right, None, true, out);
    }

    #[inline]
    fn run(&self, left: &[u32], right: &[u32], start: Option<&[i32]>, adds: bool, out: &mut [f32]) {
        let groups = right.len() / self.columns;
        assert!(groups.is_multiple_of(self.step), "groups come in whole steps");
        assert!(left.len() == groups * self.rows && right.len() == groups * self.columns, "packed sides are of a size");
        assert!(out.len() >= self.rows * self.columns, "there is room for all sums");
        assert!(start.is_none_or(|start| start.len() >= self.columns), "each column has its start");
        let start = start.map_or(std::ptr::null(), <[i32]>::as_ptr);
        // SAFETY: `new` chose a function whose instructions the CPU has; the slices were checked above.
        unsafe { (self.run)(groups, left.as_ptr(), right.as_ptr(), start, adds, out.as_mut_ptr()) }
    }
}

/// Rows of groups as groups of rows.
fn turn<'a, const ROWS: usize>(packed: &mut [u32], row: impl Fn(usize) -> &'a [u32]) {
    let rows: [&[u32]; ROWS] = std::array::from_fn(row);
    let packed = packed.as_chunks_mut::<ROWS>().0;
    let all = rows.iter().map(|row| row.len()).min().unwrap_or(0).min(packed.len());
    let (whole, rest) = packed.split_at_mut(all);
    let whole_rows = rows.map(|row| &row[..whole.len()]);
    for (group, to) in whole.iter_mut().enumerate() {
        *to = std::array::from_fn(|row| whole_rows[row][group]);
    }
    for (group, to) in rest.iter_mut().enumerate() {
        *to = std::array::from_fn(|row| rows[row].get(all + group).copied().unwrap_or(0));
    }
}

/// Asks for words that are wanted soon to be brought to the second cache level.
#[inline]
pub(crate) fn prefetch(words: &[u32]) {
    #[cfg(target_arch = "x86_64")]
    for line in words.chunks(16) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint reads nothing, and the address is a slice's.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = words;
}

/// Adds the products of one step, and goes on to the next one.
///
/// # Safety
///
/// As [`multiply`], for one step.
#[inline(always)]
unsafe fn step<D: Dot, const ROWS: usize, const VECTORS: usize, const STEP: usize>(
    sums: &mut [[D::Sums; VECTORS]; ROWS],
    left: &mut *const u32,
    right: &mut *const u32,
) {
    // SAFETY: the caller's.
    unsafe {
        for place in 0..STEP {
            let columns: [D::Groups; VECTORS] = std::array::from_fn(|vector| D::load(right.add(vector * D::LANES)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let group = D::splat(left.add(row * STEP + place));
                for (sums, columns) in sums.iter_mut().zip(columns) {
                    *sums = D::dot(*sums, group, columns);
                }
            }
            *right = right.add(VECTORS * D::LANES);
        }
        *left = left.add(ROWS * STEP);
    }
}

/// # Safety
///
/// The CPU has `D`'s instructions; `groups` is a multiple of `STEP`; `left` is good for `groups * ROWS` groups, `right` for `groups * VECTORS * LANES`,
/// `start`, unless null, for `VECTORS * LANES` numbers, `out` for `ROWS * VECTORS * LANES`.
#[inline(always)]
unsafe fn multiply<D: Dot, const ROWS: usize, const VECTORS: usize, const STEP: usize>(
    groups: usize,
    mut left: *const u32,
    mut right: *const u32,
    start: *const i32,
    adds: bool,
    out: *mut f32,
) {
    // SAFETY: every offset below is within what the caller promises.
    unsafe {
        let mut sums = [[D::zero(); VECTORS]; ROWS];
        if !start.is_null() {
            for row in &mut sums {
                for (vector, sums) in row.iter_mut().enumerate() {
                    *sums = D::start(start.add(vector * D::LANES));
                }
            }
        }
        let steps = groups / STEP;
        // With one short step alone, the loop's speed hung on where it begins in memory, and was up to a fifth lower.
        let rounds = if STEP == 1 { steps / 4 } else { 0 };
        for _ in 0..rounds {
            step::<D, ROWS, VECTORS, STEP>(&mut sums, &mut left, &mut right);
            step::<D, ROWS, VECTORS, STEP>(&mut sums, &mut left, &mut right);
            step::<D, ROWS, VECTORS, STEP>(&mut sums, &mut left, &mut right);
            step::<D, ROWS, VECTORS, STEP>(&mut sums, &mut left, &mut right);
        }
        for _ in 4 * rounds..steps {
            step::<D, ROWS, VECTORS, STEP>(&mut sums, &mut left, &mut right);
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (vector, sums) in sums.into_iter().enumerate() {
                let to = out.add((row * VECTORS + vector) * D::LANES);
                if adds { D::store_sum(sums, to) } else { D::store(sums, to) }
            }
        }
    }
}

/// Operations a second of one tile whose sides lie in the first cache level: no product can be faster.
pub(crate) fn peak(isa: Isa, numbers: Numbers) -> f64 {
    const GROUPS: usize = 128;
    let tile = Tile::new(isa, numbers);
    let (left, right) = (vec![0; GROUPS * tile.rows], vec![0; GROUPS * tile.columns]);
    let mut out = vec![0f32; tile.rows * tile.columns];
    let operations = 2 * numbers.per_group() * GROUPS * out.len();
    let repeats = 20_000_000 / (GROUPS * out.len()) + 1;
    let begun = std::time::Instant::now();
    for _ in 0..repeats {
        tile.multiply(std::hint::black_box(&left), &right, None, &mut out);
    }
    (repeats * operations) as f64 / begun.elapsed().as_secs_f64()
}
