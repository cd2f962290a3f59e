//! Arithmetic on a CPU: matrix products over packed weights, attention, norms, activations.
//!
//! Everything is chosen when the program runs, by what the CPU has ([`Isa`]): AVX-512 with or without its bf16 and 8-bit
//! dot products, AMX, AVX2, or plain Rust. The one thing that is written in vector instructions is the innermost product of a
//! few rows and columns ([`tile`], over the instructions in [`dot`]); the rest is safe code that the compiler vectorises
//! for the CPU at hand. Each instruction has a plain twin in [`dot::plain`], and each kernel is tested against it.

mod activation;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod dot;
mod isa;
mod matmul;
mod memory;
mod norm;
mod operand;
#[cfg(test)]
mod ratio;
mod rotary;
mod short;
mod source;
#[cfg(test)]
mod tests;
mod tile;
mod weights;

pub(crate) use activation::{Activation, exp2, largest, softmax};
pub use activation::{gelu_erf, gelu_tanh, sigmoid};
pub(crate) use attention::{Attention, Heads, Rows, Span};
pub(crate) use isa::Isa;
pub(crate) use matmul::{Into, Linear};
pub(crate) use norm::{Norm, fill};
pub(crate) use operand::Operand;
pub(crate) use rotary::Rotary;
pub(crate) use source::{Source, Stored};
pub(crate) use tile::{Numbers, peak};
pub(crate) use weights::{Layout, Storage, Weights};
