//! Bytes that are put aside on disk until they are written: the images of a corpus are larger than memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A file without a name, that is gone when the process is.
#[derive(Debug)]
pub(crate) struct Spool {
    file: Mutex<File>,
    end: u64,
}

/// Where bytes lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blob {
    offset: u64,
    length: usize,
}

impl Spool {
    /// Makes one in a folder.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: Mutex::new(tempfile::tempfile_in(folder)?), end: 0 })
    }

    /// Puts bytes at its end.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<Blob> {
        let file = self.file.get_mut().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.end))?;
        file.write_all(bytes)?;
        let blob = Blob { offset: self.end, length: bytes.len() };
        self.end += bytes.len() as u64;
        Ok(blob)
    }

    /// Reads bytes back.
    pub(crate) fn read(&self, blob: Blob) -> io::Result<Vec<u8>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(blob.offset))?;
        let mut bytes = vec![0; blob.length];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_aside_is_read_back_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(folder.path()).unwrap();
        let blobs = [&b"one"[..], b"", b"three"].map(|bytes| spool.push(bytes).unwrap());
        assert_eq!(spool.read(blobs[2]).unwrap(), b"three");
        let last = spool.push(b"four").unwrap();
        assert_eq!([blobs[0], blobs[1], last].map(|b| spool.read(b).unwrap()), [&b"one"[..], b"", b"four"]);
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}
