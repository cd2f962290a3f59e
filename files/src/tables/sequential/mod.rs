//! Files that are read from their beginning to their end: CSV, TSV, JSON and Arrow, compressed or not.
//!
//! One thread reads a file's bytes, decompresses them ([`read`]) and cuts the text into blocks of whole records
//! ([`records`]); blocks are decoded side by side ([`csv`], [`json`]) and come out in order. A file is not cut at positions
//! of bytes, as DataFusion does it: whether a line break ends a record of a CSV file is not known in its middle.
//!
//! A value that does not fit its column's type is an error that names the file, the line and the column ([`error`]). Types
//! are found by looking at the whole of small files and at samples of large ones ([`infer`]).

mod arrow;
mod csv;
mod error;
mod exact;
mod form;
mod infer;
mod invalid;
mod json;
mod opener;
mod pool;
mod read;
mod records;
mod source;

pub(super) use form::{Form, FormMessage};
pub(super) use infer::{Inference, infer};
pub(super) use source::SequentialSource;
