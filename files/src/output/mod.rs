//! Results as text, and results written to files.

mod binary;
mod file;
mod text;

pub use binary::{BinaryForm, text_batch, text_schema};
pub use file::{FileOutput, WriteError};
pub use text::{TextEncoder, TextKind};
