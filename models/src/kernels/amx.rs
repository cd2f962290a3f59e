//! AMX: registers that hold sixteen rows of sixty-four bytes, and instructions that multiply them.
//!
//! Intel, "Intel Architecture Instruction Set Extensions", chapter 3. Rust has no stable intrinsics for it, so the loop is in assembly.
//! Four registers hold the sums, [32, 32]; two hold rows of the left side, sixteen groups each; two hold sixteen groups of the
//! right side for sixteen columns each, which lie as they do in a panel.
#![expect(unsafe_code, reason = "instructions on pointers, and a system call")]

use std::arch::asm;
use std::cell::Cell;

/// Rows of the left side.
pub(super) const ROWS: usize = 32;
/// Columns of the right side.
pub(super) const COLUMNS: usize = 32;
/// Groups that a register holds of a row.
pub(super) const STEP: usize = 16;

/// Whether the CPU has AMX for bf16 and bytes, the system lets this process use it, and it multiplies as it should. The last is
/// asked because few of the machines that build and test this have it.
pub(super) fn is_available() -> bool {
    use std::arch::x86_64::__cpuid_count;
    /// AMX-BF16, AMX-TILE, AMX-INT8.
    const WANTED: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    // Leaf 7 exists on every CPU with AVX-512, which the caller has seen.
    __cpuid_count(7, 0).edx & WANTED == WANTED && is_permitted() && is_right()
}

/// Whether products of small whole numbers, which all numbers hold exactly, are what they should be.
fn is_right() -> bool {
    const GROUPS: usize = 2 * STEP;
    let number = |place: usize| (place * 7 + place / 5) % 15;
    // Rows of `GROUPS * per` numbers on the left, unsigned; columns of as many on the right, signed.
    let check = |per: usize, run: Product, word: fn(i32) -> u32| {
        let left = |row: usize, n: usize| number(row * 31 + n) as i32;
        let right = |column: usize, n: usize| number(column * 17 + n + 3) as i32 - 7;
        let join = |value: &dyn Fn(usize) -> i32, group: usize| {
            (0..per).fold(0, |joined, n| joined | word(value(group * per + n)) << (n * 32 / per))
        };
        let mut packed = vec![0; GROUPS * ROWS];
        for (place, word) in packed.iter_mut().enumerate() {
            let (step, row, group) = (place / (ROWS * STEP), place / STEP % ROWS, place % STEP);
            *word = join(&|n| left(row, n), step * STEP + group);
        }
        let panel: Vec<u32> =
            (0..GROUPS * COLUMNS).map(|place| join(&|n| right(place % COLUMNS, n), place / COLUMNS)).collect();
        let mut out = vec![1_f32; ROWS * COLUMNS];
        // SAFETY: the CPU has the instructions and the system permits them; the sides and `out` have the sizes that are asked for.
        unsafe { run(GROUPS, packed.as_ptr(), panel.as_ptr(), std::ptr::null(), true, out.as_mut_ptr()) };
        out.iter().enumerate().all(|(place, found)| {
            let (row, column) = (place / COLUMNS, place % COLUMNS);
            let sum: i32 = (0..GROUPS * per).map(|n| left(row, n) * right(column, n)).sum();
            *found == sum as f32 + 1.
        })
    };
    let is_right = check(2, bf16, |n| (n as f32).to_bits() >> 16) && check(4, bytes, |n| u32::from(n as u8));
    if !is_right {
        log::warn!("this CPU's AMX does not multiply as it should; it is not used");
    }
    is_right
}

/// [`bf16`] or [`bytes`].
type Product = unsafe fn(usize, *const u32, *const u32, *const i32, bool, *mut f32);

/// Asks Linux for the registers' room in what it saves of a thread ("Dynamically enabled XSTATE features").
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    // SAFETY: the call has no pointers; where it is unknown it fails.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// What the registers hold: `ldtilecfg`'s operand.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_a_row: [u16; 16],
    rows: [u8; 16],
}

/// Every register whole.
static CONFIG: Config = Config {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes_a_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Configures the thread's registers, once: the system keeps them for it.
///
/// # Safety
///
/// [`is_available`].
#[inline]
unsafe fn configure() {
    thread_local! {
        static IS_DONE: Cell<bool> = const { Cell::new(false) };
    }
    if !IS_DONE.replace(true) {
        // SAFETY: the caller's; the operand is 64 bytes in the form that the instruction wants.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(nostack, preserves_flags)) }
    }
}

/// `groups / 16` steps of `$multiply`; sums begin at zero, or at what `out` holds.
macro_rules! multiply {
    ($multiply:literal, $groups:expr, $left:expr, $right:expr, $adds:expr, $out:expr) => {
        asm!(
            "test {adds:e}, {adds:e}",
            "jz 2f",
            "tileloadd tmm0, [{out} + {wide}*1]",
            "tileloadd tmm1, [{out} + {wide}*1 + 64]",
            "tileloadd tmm2, [{out} + {wide}*1 + 2048]",
            "tileloadd tmm3, [{out} + {wide}*1 + 2112]",
            "jmp 3f",
            "2:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "3:",
            "test {steps}, {steps}",
            "jz 5f",
            "4:",
            "tileloadd tmm6, [{right} + {wide}*1]",
            "tileloadd tmm4, [{left} + {line}*1]",
            concat!($multiply, " tmm0, tmm4, tmm6"),
            "tileloadd tmm7, [{right} + {wide}*1 + 64]",
            concat!($multiply, " tmm1, tmm4, tmm7"),
            "tileloadd tmm5, [{left} + {line}*1 + 1024]",
            concat!($multiply, " tmm2, tmm5, tmm6"),
            concat!($multiply, " tmm3, tmm5, tmm7"),
            "add {left}, 2048",
            "add {right}, 2048",
            "dec {steps}",
            "jnz 4b",
            "5:",
            "tilestored [{out} + {wide}*1], tmm0",
            "tilestored [{out} + {wide}*1 + 64], tmm1",
            "tilestored [{out} + {wide}*1 + 2048], tmm2",
            "tilestored [{out} + {wide}*1 + 2112], tmm3",
            adds = in(reg) u32::from($adds),
            steps = inout(reg) $groups / STEP => _,
            left = inout(reg) $left => _,
            right = inout(reg) $right => _,
            out = in(reg) $out,
            // Bytes between rows.
            wide = in(reg) COLUMNS * 4,
            line = in(reg) STEP * 4,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// Two bf16 a group, added in f32 (`tdpbf16ps`).
///
/// # Safety
///
/// [`is_available`]; `groups` is a multiple of [`STEP`]; `left` is good for `groups * ROWS` groups, `right` for `groups * COLUMNS`, `out`
/// for `ROWS * COLUMNS` sums. `start` is null: sums in f32 have none.
pub(super) unsafe fn bf16(
    groups: usize,
    left: *const u32,
    right: *const u32,
    start: *const i32,
    adds: bool,
    out: *mut f32,
) {
    debug_assert!(start.is_null());
    // SAFETY: the caller's.
    unsafe {
        configure();
        multiply!("tdpbf16ps", groups, left, right, adds, out);
    }
}

/// Four bytes a group, unsigned on the left, added in i32 (`tdpbusd`).
///
/// # Safety
///
/// As [`bf16`]; `start`, unless null, is good for `COLUMNS` numbers.
pub(super) unsafe fn bytes(
    groups: usize,
    left: *const u32,
    right: *const u32,
    start: *const i32,
    adds: bool,
    out: *mut f32,
) {
    let mut sums = [[0_i32; COLUMNS]; ROWS];
    // SAFETY: the caller's; `sums` has room for all.
    unsafe {
        let has_start = !start.is_null();
        if has_start {
            let start = start.cast::<[i32; COLUMNS]>().read_unaligned();
            sums.fill(start);
        }
        configure();
        multiply!("tdpbusd", groups, left, right, has_start, sums.as_mut_ptr());
        let out = std::slice::from_raw_parts_mut(out, ROWS * COLUMNS);
        for (out, sum) in out.iter_mut().zip(sums.as_flattened()) {
            *out = if adds { *out + *sum as f32 } else { *sum as f32 };
        }
    }
}
