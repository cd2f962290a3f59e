//! Reading Parquet row groups that are too large to hold in memory.
//!
//! DataFusion reads the column chunks of a whole row group before it decodes the first row, and a page is decompressed as
//! one piece. Writers check a page's size once in 1,024 values, so a row group of a thousand images is often one page of a
//! gigabyte, or one dictionary page of a gigabyte: compressed, decompressed and copied, it takes three. Here a chunk is read
//! in blocks, decompressed as a stream, and handed to the Parquet decoder in pages of a few megabytes that are cut on the
//! way ([`pages`]).
//!
//! Predicates are applied to rows: their columns are read first ([`filter`]), then the others, of which pages without a
//! row that is wanted are passed over ([`chunk_rows`]).

mod block;
mod chunk_rows;
mod codec;
mod columns;
mod filter;
mod header;
mod levels;
mod opener;
mod pages;
mod reading;
mod rows;
mod selection;
mod source;
mod texts;

pub(super) use block::Sizes;
pub(super) use codec::can_stream;
pub(super) use columns::{row_number_field, with_field};
pub(super) use opener::{RowRange, StreamOpener};
pub(super) use source::{StreamedParquet, Streaming};
pub(super) use texts::Texts;
