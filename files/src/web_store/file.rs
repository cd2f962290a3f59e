//! One file of a web server.

use std::time::Duration;

use futures::TryStreamExt;
use http::{Method, StatusCode};
use object_store::path::Path;
use object_store::{Attributes, Error, GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, Result};
use tamis_udfs::web::{Answer, Body, Client, WebError, retried};
use url::Url;

use super::error::{changed, refused, unfit};
use super::{body, headers};

/// The pauses before further attempts.
pub(super) const PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_millis(2_000),
    Duration::from_millis(6_000),
];

/// A file and the way that it is to be read.
#[derive(Debug, Clone)]
pub(super) struct WebFile {
    pub(super) url: Url,
    client: Client,
    location: Path,
    options: GetOptions,
}

impl WebFile {
    /// The file behind a URL.
    pub(super) fn new(client: Client, url: Url, location: Path, options: GetOptions) -> Self {
        Self { url, client, location, options }
    }

    /// The file's size, and what else is told of it. A server that does not answer HEAD, or not with a size, is asked for one
    /// byte; of what it sends without a size the bytes are counted.
    pub(super) async fn meta(&self) -> Result<ObjectMeta> {
        match self.send(Method::HEAD, None).await {
            Ok(answer) => match headers::size(&answer, &self.url) {
                // Programs that make their answer while they send it tell 0.
                None | Some(0) => {}
                Some(size) => return self.meta_of(&answer, size),
            },
            Err(WebError::Status { .. }) => {}
            Err(error) => return Err(refused(&self.url, error)),
        }
        let answer = self.part_or_whole(Some(&GetRange::Bounded(0..1))).await?;
        match headers::size(&answer, &self.url) {
            Some(size) => self.meta_of(&answer, size),
            None => {
                let meta = self.meta_of(&answer, 0)?;
                Ok(ObjectMeta { size: self.count(answer).await?, ..meta })
            }
        }
    }

    /// The part of the file that the options want. Of a server that does not know requests for parts it is cut from the whole.
    pub(super) async fn get(self) -> Result<GetResult> {
        if let Some(range) = &self.options.range {
            range.is_valid().map_err(|e| unfit(&self.url, e.to_string()))?;
        }
        let answer = self.part_or_whole(self.options.range.as_ref()).await?;
        match headers::part(&answer) {
            Some(part) => self.part(answer, part),
            None => self.cut(answer).await,
        }
    }

    /// The part that was asked for.
    fn part(self, answer: Answer, part: headers::Part) -> Result<GetResult> {
        let expected = self.options.range.as_ref().unwrap_or(&GetRange::Offset(0));
        let expected = expected.as_range(part.size).map_err(|e| unfit(&self.url, e.to_string()))?;
        if part.range != expected {
            return Err(unfit(&self.url, format!("asked for bytes {expected:?}, the server sent {:?}", part.range)));
        }
        let meta = self.meta_of(&answer, part.size)?;
        let payload = body::resumed(self, answer.raw(), part.range.clone(), meta.e_tag.clone());
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta,
            range: part.range,
            attributes: Attributes::new(),
        })
    }

    /// The wanted part of an answer that has the whole file.
    async fn cut(self, mut answer: Answer) -> Result<GetResult> {
        let mut meta = self.meta_of(&answer, 0)?;
        meta.size = match headers::size(&answer, &self.url) {
            Some(size) => size,
            None => {
                let size = self.count(answer).await?;
                answer = self.whole().await?;
                if self.meta_of(&answer, 0)?.e_tag != meta.e_tag {
                    return Err(changed(&self.url));
                }
                size
            }
        };
        let range = match &self.options.range {
            Some(range) => range.as_range(meta.size).map_err(|e| unfit(&self.url, e.to_string()))?,
            None => 0..meta.size,
        };
        let is_whole = range == (0..meta.size);
        let payload = match is_whole && !headers::is_encoded(&answer, &self.url) {
            true => body::resumed(self, answer.raw(), range.clone(), meta.e_tag.clone()),
            false => body::cut(self.url.clone(), self.body(answer)?, range.clone()),
        };
        Ok(GetResult { payload: GetResultPayload::Stream(payload), meta, range, attributes: Attributes::new() })
    }

    /// The answer to a request, under the options' conditions.
    pub(super) async fn send(&self, method: Method, range: Option<&GetRange>) -> Result<Answer, WebError> {
        let headers = headers::of_request(&self.options, range);
        retried(&PAUSES, || self.client.send(method.clone(), &self.url, &headers)).await
    }

    async fn whole(&self) -> Result<Answer> {
        self.send(Method::GET, None).await.map_err(|e| refused(&self.url, e))
    }

    /// The answer to a request for a part. It has the whole file if the server does not know such requests, or if what it sends
    /// cannot be placed.
    async fn part_or_whole(&self, range: Option<&GetRange>) -> Result<Answer> {
        match self.send(Method::GET, range).await {
            Ok(answer) if headers::is_lost_part(&answer, &self.url) => self.whole().await,
            Ok(answer) => Ok(answer),
            // Beyond the end of what is compressed, or of an empty file.
            Err(WebError::Status { status: StatusCode::RANGE_NOT_SATISFIABLE, .. }) => self.whole().await,
            Err(error) => Err(refused(&self.url, error)),
        }
    }

    /// What an answer tells of the file, if it is the one that the options want.
    fn meta_of(&self, answer: &Answer, size: u64) -> Result<ObjectMeta> {
        let meta = headers::meta(answer, &self.location, size);
        match (self.options.check_preconditions(&meta), &meta.e_tag) {
            (Err(Error::Precondition { .. }), Some(_)) => Err(changed(&self.url)),
            // The server has looked at the conditions, as far as it knows them.
            _ => Ok(meta),
        }
    }

    /// The file's bytes, of an answer that has them all.
    fn body(&self, answer: Answer) -> Result<Body> {
        match headers::is_encoded(&answer, &self.url) {
            true => answer.decoded().map_err(|e| refused(&self.url, e)),
            false => Ok(answer.raw()),
        }
    }

    async fn count(&self, answer: Answer) -> Result<u64> {
        let lengths = self.body(answer)?.map_ok(|bytes| bytes.len() as u64);
        let size = lengths.try_fold(0, |size, length| std::future::ready(Ok(size + length))).await;
        size.map_err(|e| refused(&self.url, e))
    }
}
