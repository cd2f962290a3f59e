//! A byte range of an object as a blocking reader, one block read ahead.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// How much is asked for at once: enough for an object store's latency not to matter.
const BLOCK: u64 = 4 << 20;

/// When and how large pages of byte strings are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// A page that is larger than this is cut ...
    pub(super) larger_than: usize,
    /// ... into pages whose values reach this size. One value is never cut.
    pub(super) into: usize,
}

impl Default for Cut {
    fn default() -> Self {
        Self { larger_than: 8 << 20, into: 4 << 20 }
    }
}

/// An object that blocks are read from.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: Path,
    /// The runtime that the store's requests run on; the decoding threads are not part of it.
    pub(super) runtime: Handle,
    pub(super) cut: Cut,
}

impl Object {
    fn fetch(&self, range: Range<u64>) -> JoinHandle<object_store::Result<Bytes>> {
        let (store, path) = (Arc::clone(&self.store), self.path.clone());
        self.runtime.spawn(async move { store.get_range(&path, range).await })
    }
}

/// Reads a range from front to end. It may be used on a blocking thread only.
#[derive(Debug)]
pub(super) struct BlockReader {
    object: Object,
    block: Bytes,
    /// The block behind this one, already asked for.
    ahead: Option<JoinHandle<object_store::Result<Bytes>>>,
    /// Where the part that nobody has asked for begins.
    next: u64,
    end: u64,
}

impl BlockReader {
    pub(super) fn new(object: &Object, range: Range<u64>) -> Self {
        Self { object: object.clone(), block: Bytes::new(), ahead: None, next: range.start, end: range.end }
    }

    fn ask(&mut self) -> Option<JoinHandle<object_store::Result<Bytes>>> {
        if self.next >= self.end {
            return None;
        }
        let range = self.next..self.end.min(self.next + BLOCK);
        self.next = range.end;
        Some(self.object.fetch(range))
    }

    fn fill(&mut self) -> io::Result<()> {
        let Some(current) = self.ahead.take().or_else(|| self.ask()) else { return Ok(()) };
        self.ahead = self.ask();
        let fetched = self.object.runtime.block_on(current).map_err(io::Error::other)?;
        self.block = fetched.map_err(io::Error::other)?;
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
        Ok(count)
    }
}
