//! The files of a web server, asked for exactly as their URLs are written.

mod body;
mod error;
mod file;
mod headers;
mod location;
mod writer;

use std::fmt;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::http::HttpStore;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tamis_udfs::web::{Addresses, Client};
use url::{Position, Url};

use error::{STORE, refused};
use file::WebFile;
pub(crate) use location::{location_of, url_of, written_name};
use writer::writer;

/// The web server of one scheme, host and port.
///
/// A file whose location was made by [`location_of`] is read at exactly that URL, any other at the location as a path. Files
/// are written as object_store's own store writes them.
#[derive(Debug)]
pub(crate) struct WebStore {
    origin: Url,
    client: Client,
    writer: HttpStore,
}

impl WebStore {
    /// The server of a URL, if it may be read from.
    pub(crate) fn new(url: &Url, addresses: Addresses) -> Result<Self> {
        let refused = |error| refused(url, error);
        let client = Client::new(addresses).map_err(refused)?;
        client.check(url).map_err(refused)?;
        let origin = &url[..Position::BeforePath];
        let writer = writer(origin, &client)?;
        let origin = Url::parse(origin).map_err(|e| object_store::Error::Generic { store: STORE, source: e.into() })?;
        Ok(Self { origin, client, writer })
    }

    fn file(&self, location: &Path, options: GetOptions) -> WebFile {
        WebFile::new(self.client.clone(), url_of(&self.origin, location), location.clone(), options)
    }

    fn cannot_list(&self, prefix: Option<&Path>) -> object_store::Error {
        let url = prefix.map_or_else(|| self.origin.clone(), |prefix| url_of(&self.origin, prefix));
        let message = format!("{url}: a web server cannot list files; name each file");
        object_store::Error::NotSupported { source: message.into() }
    }
}

impl fmt::Display for WebStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebStore({})", &self.origin[Position::BeforeHost..Position::BeforePath])
    }
}

#[async_trait]
impl ObjectStore for WebStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let file = self.file(location, options);
        if !head {
            return file.get().await;
        }
        let meta = file.meta().await?;
        let payload = GetResultPayload::Stream(stream::empty().boxed());
        Ok(GetResult { payload, range: 0..meta.size, meta, attributes: Default::default() })
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.writer.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.writer.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.writer.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter([Err(self.cannot_list(prefix))]).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        Err(self.cannot_list(prefix))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.writer.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests;
