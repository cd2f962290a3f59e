//! Tables that lie in files, and results written to them: formats, object stores, and how their errors read.
//!
//! A session that reads files is set up by [`options`], [`runtime`] and [`FileTables::install`](tables::FileTables::install);
//! then `FROM 'data/*.parquet'` is a table.

pub mod describe;
mod environment;
pub mod output;
mod stores;
pub mod tables;
#[cfg(test)]
mod test_session;
mod web_store;

pub use environment::{options, runtime, runtime_within};
