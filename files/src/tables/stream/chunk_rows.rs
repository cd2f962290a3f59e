//! Where the wanted rows of a column chunk lie.

use std::ops::Range;
use std::sync::Arc;

use datafusion::parquet::file::page_index::offset_index::PageLocation;

use super::rows::WantedRows;
use super::selection::Selected;

/// The rows of a chunk that are wanted, and what is known of its pages.
#[derive(Debug, Default)]
pub(super) struct ChunkRows {
    /// `None` if all rows are wanted, or if it is not known where a row begins.
    selected: Option<Selected>,
    /// The first row of the next page, counted by the pages so far; of a list it is found by the page's place.
    next: usize,
    /// The data pages by the file's offset index, if it has one.
    pages: Vec<PageLocation>,
    /// The rows of the row group.
    rows: usize,
    /// Whether a page of this chunk may be left out: of a list of records each chunk must have the same items.
    may_skip: bool,
}

/// What a column chunk is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChunkShape {
    pub(super) rows: usize,
    /// Whether a row may hold several values.
    pub(super) is_list: bool,
    /// Whether the column has no other leaf.
    pub(super) is_alone: bool,
}

impl ChunkRows {
    pub(super) fn new(selected: Option<&Selected>, pages: &[PageLocation], shape: ChunkShape) -> Self {
        let ChunkShape { rows, is_list, is_alone } = shape;
        // Without an index, where a row of a list begins is known only by reading on.
        let selected = selected.filter(|selected| !selected.is_all() && (!is_list || !pages.is_empty())).cloned();
        let pages = if selected.is_some() { pages.to_vec() } else { vec![] };
        Self { selected, next: 0, pages, rows, may_skip: !is_list || is_alone }
    }

    /// Every page is read, as none can be left out.
    pub(super) fn read_every_page(&mut self) {
        self.may_skip = false;
    }

    /// The bytes of `chunk` that hold wanted rows; gaps of less than `gap` are closed.
    pub(super) fn wanted_bytes(&self, chunk: Range<u64>, gap: u64) -> Arc<[Range<u64>]> {
        let (Some(selected), Some(first), true) = (&self.selected, self.pages.first(), self.may_skip) else {
            return Arc::new([chunk]);
        };
        // A dictionary stands before the first data page.
        let dictionary = chunk.start..(first.offset as u64).max(chunk.start);
        let mut ranges = vec![dictionary];
        for (index, page) in self.pages.iter().enumerate() {
            if !selected.any(self.rows_of(index)) {
                continue;
            }
            let (start, end) = (page.offset as u64, page.offset as u64 + page.compressed_page_size.max(0) as u64);
            let (start, end) = (start.max(chunk.start), end.min(chunk.end));
            match ranges.last_mut() {
                _ if start >= end => {}
                Some(last) if start <= last.end + gap => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        ranges.into_iter().filter(|range| !range.is_empty()).collect()
    }

    fn rows_of(&self, page: usize) -> Range<usize> {
        let first = |index: usize| self.pages.get(index).map_or(self.rows, |page| page.first_row_index.max(0) as usize);
        first(page)..first(page + 1)
    }

    /// The number of rows and the end of the page at `position`, if nobody wants its rows.
    pub(super) fn unwanted_page(&mut self, position: u64) -> Option<(usize, u64)> {
        let index = self.pages.binary_search_by_key(&position, |page| page.offset as u64).ok()?;
        let rows = self.rows_of(index);
        self.next = rows.start;
        if !self.may_skip || self.selected.as_ref()?.any(rows.clone()) {
            return None;
        }
        Some((rows.len(), position + self.pages[index].compressed_page_size.max(0) as u64))
    }

    /// Whether nobody wants the next `rows` rows.
    pub(super) fn are_unwanted(&self, rows: usize) -> bool {
        self.selected.as_ref().is_some_and(|selected| self.may_skip && !selected.any(self.next..self.next + rows))
    }

    /// Goes on behind `rows` rows.
    pub(super) fn pass(&mut self, rows: usize) {
        self.next += rows;
    }

    /// The wanted rows from the next one on.
    pub(super) fn wanted(&self) -> Option<WantedRows> {
        let selected = self.selected.clone()?;
        Some(WantedRows { selected, first: self.next })
    }
}
