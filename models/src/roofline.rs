//! How fast this CPU can multiply at best: what a forward pass is measured against (Williams et al., "Roofline", 2009).

use std::time::Instant;

use crate::DtypeChoice;
use crate::kernels::{Isa, Numbers, peak};

/// Operations (multiplications and additions) a second of one thread that multiplies numbers of `dtype` from the first
/// cache level, for about `seconds`; and with which numbers the CPU does so. Without instructions for short numbers that is
/// f32, for bytes pairs of 16-bit numbers.
pub fn peak_of_a_thread(dtype: DtypeChoice, seconds: f64) -> (f64, &'static str) {
    let isa = Isa::detect();
    let storage = crate::device::Arithmetic::of(crate::DeviceChoice::Cpu, dtype).dtype.storage();
    let numbers = storage.numbers(isa);
    let begun = Instant::now();
    let mut best = 0f64;
    while begun.elapsed().as_secs_f64() < seconds {
        best = best.max(peak(isa, numbers));
    }
    let name = match numbers {
        Numbers::F32 => "f32",
        Numbers::Bf16 => "bf16",
        Numbers::I16 => "i16",
        Numbers::U8I8 => "u8 x i8",
    };
    (best, name)
}

/// The vector instructions that the kernels use on this CPU.
pub fn instructions() -> String {
    format!("{:?}", Isa::detect()).to_lowercase()
}
