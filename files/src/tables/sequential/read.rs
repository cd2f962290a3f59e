//! A file's bytes as they come, decompressed.

use std::io::{self, Read};

use bytes::Bytes;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::Result;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

/// A file that is open.
pub(super) struct Opened {
    bytes: Box<dyn Read + Send>,
    compression: FileCompressionType,
}

/// Opens a file.
pub(super) async fn open(store: &dyn ObjectStore, location: &Path, compression: FileCompressionType) -> Result<Opened> {
    let bytes: Box<dyn Read + Send> = match store.get(location).await?.payload {
        GetResultPayload::File(file, _) => Box::new(file),
        GetResultPayload::Stream(stream) => {
            Box::new(StreamRead { stream, rest: Bytes::new(), runtime: Handle::current() })
        }
    };
    Ok(Opened { bytes, compression })
}

impl Opened {
    /// What was compressed, to be read on a thread that may wait. Streams of several members are read to the last.
    pub(super) fn decompressed(self) -> Result<Box<dyn Read + Send>> {
        self.compression.convert_read(self.bytes)
    }
}

/// A stream of a store, waited for.
struct StreamRead {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    rest: Bytes,
    runtime: Handle,
}

impl Read for StreamRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Some(bytes) => self.rest = bytes.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}
