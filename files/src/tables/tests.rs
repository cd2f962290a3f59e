//! Real Parquet files, read by a real session.

mod data;
mod late;
mod rows;
