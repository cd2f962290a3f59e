//! A byte range of an object as a blocking reader, one block read ahead.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use datafusion::physical_plan::metrics::Count;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// How much is asked for at once, and when a page is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tables) struct Sizes {
    /// A request for bytes of the file: enough for an object store's latency not to matter.
    pub(in crate::tables) block: u64,
    /// A page of byte strings that is larger than this is cut ...
    pub(in crate::tables) cut_larger_than: usize,
    /// ... into pages whose values reach this size. One value is never cut.
    pub(in crate::tables) cut_into: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { block: 4 << 20, cut_larger_than: 8 << 20, cut_into: 4 << 20 }
    }
}

impl Sizes {
    /// Gaps that are smaller are read over: another request would cost more.
    pub(super) fn gap(&self) -> u64 {
        self.block / 16
    }
}

/// An object that blocks are read from.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    /// The runtime that the store's requests run on; the decoding threads are not part of it.
    pub(super) runtime: Handle,
    pub(super) sizes: Sizes,
    /// The bytes that were asked for.
    pub(super) scanned: Count,
}

impl Object {
    fn fetch(&self, range: Range<u64>) -> JoinHandle<object_store::Result<Bytes>> {
        self.scanned.add((range.end - range.start) as usize);
        let (store, path) = (Arc::clone(&self.store), self.path.clone());
        self.runtime.spawn(async move { store.get_range(&path, range).await })
    }
}

/// Reads a range from front to end, over parts that nobody wants. It may be used on a blocking thread only.
#[derive(Debug)]
pub(super) struct BlockReader {
    object: Object,
    block: Bytes,
    /// Where the block begins.
    at: u64,
    /// A block behind this one, already asked for, and where it begins and ends.
    ahead: Option<(Range<u64>, JoinHandle<object_store::Result<Bytes>>)>,
    /// What is worth reading ahead, in order. The rest is read when it is asked for after all.
    wanted: Arc<[Range<u64>]>,
    end: u64,
}

impl BlockReader {
    pub(super) fn new(object: &Object, range: Range<u64>) -> Self {
        let end = range.end;
        Self::with_wanted(object, range.start, end, Arc::new([range]))
    }

    /// Reads from `start` to `end`, where only `wanted` is expected to be asked for.
    pub(super) fn with_wanted(object: &Object, start: u64, end: u64, wanted: Arc<[Range<u64>]>) -> Self {
        Self { object: object.clone(), block: Bytes::new(), at: start, ahead: None, wanted, end }
    }

    /// Goes on at `position`, at or behind the current one. What lies between is not read, as far as it was not already.
    pub(super) fn seek(&mut self, position: u64) {
        let skipped = position.saturating_sub(self.at);
        let in_block = skipped.min(self.block.len() as u64);
        self.block.advance(in_block as usize);
        self.at += skipped;
    }

    /// Ends the reader before `end`.
    pub(super) fn end_at(&mut self, end: u64) {
        self.end = self.end.min(end);
    }

    /// The next bytes that are wanted at or behind `from`.
    fn next_wanted(&self, from: u64) -> Option<Range<u64>> {
        let range = self.wanted.iter().find(|range| range.end > from)?;
        let start = range.start.max(from);
        let end = range.end.min(self.end).min(start + self.object.sizes.block);
        (start < end).then_some(start..end)
    }

    fn ask(&self, range: Range<u64>) -> (Range<u64>, JoinHandle<object_store::Result<Bytes>>) {
        (range.clone(), self.object.fetch(range))
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.at >= self.end {
            return Ok(());
        }
        let current = match self.ahead.take() {
            Some(ahead) if ahead.0.contains(&self.at) => ahead,
            _ => {
                let range = match self.next_wanted(self.at) {
                    Some(range) if range.start == self.at => range,
                    next => self.at..next.map_or(self.end, |next| next.start).min(self.at + self.object.sizes.block),
                };
                self.ask(range)
            }
        };
        self.ahead = self.next_wanted(current.0.end).map(|range| self.ask(range));
        let fetched = self.object.runtime.block_on(current.1).map_err(io::Error::other)?;
        self.block = fetched.map_err(io::Error::other)?;
        let skipped = (self.at - current.0.start).min(self.block.len() as u64);
        self.block.advance(skipped as usize);
        Ok(())
    }
}

impl Read for BlockReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() {
            self.fill()?;
        }
        let count = buffer.len().min(self.block.len());
        self.block.copy_to_slice(&mut buffer[..count]);
        self.at += count as u64;
        Ok(count)
    }
}
