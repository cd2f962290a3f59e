//! Results: printed as they come, or written to a file.

mod binary;
mod file;
mod print;
mod table;
mod text;

pub use binary::BinaryForm;
pub use file::FileOutput;
pub use print::{PrintFormat, Printer};
