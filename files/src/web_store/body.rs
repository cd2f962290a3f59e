//! The bytes of a part of a file.

use std::ops::Range;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http::Method;
use http::header::ETAG;
use object_store::{GetRange, Result};
use tamis_udfs::web::{Body, WebError};
use url::Url;

use super::error::{changed, refused, unfit};
use super::file::{PAUSES, WebFile};
use super::headers;

/// The bytes `range` of a body that begins with the file's first byte.
pub(super) fn cut(url: Url, body: Body, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    let state = (body, 0_u64);
    stream::try_unfold(state, move |(mut body, mut at)| {
        let (url, range) = (url.clone(), range.clone());
        async move {
            while at < range.end {
                let Some(bytes) = body.try_next().await.map_err(|e| refused(&url, e))? else {
                    return Err(unfit(&url, format!("it ends after {at} bytes of {}", range.end)));
                };
                let length = bytes.len() as u64;
                let wanted = range.start.saturating_sub(at).min(length)..(range.end - at).min(length);
                at += length;
                if !wanted.is_empty() {
                    // Both ends are at most the length.
                    return Ok(Some((bytes.slice(wanted.start as usize..wanted.end as usize), (body, at))));
                }
            }
            Ok(None)
        }
    })
    .boxed()
}

/// The bytes `range` of a body that has just those. Where the connection breaks, the rest is asked for, if the server can tell
/// that it is still the same file.
pub(super) fn resumed(
    file: WebFile,
    body: Body,
    range: Range<u64>,
    e_tag: Option<String>,
) -> BoxStream<'static, Result<Bytes>> {
    let state = Resumed { file, body, rest: range, e_tag, resumptions: 0 };
    stream::try_unfold(state, |mut state| async move {
        while state.rest.start < state.rest.end {
            match state.body.try_next().await {
                Ok(Some(bytes)) => {
                    state.rest.start += bytes.len() as u64;
                    return Ok(Some((bytes, state)));
                }
                Ok(None) => return Err(unfit(&state.file.url, "the server has sent too few bytes")),
                Err(error) => state.resume(error).await?,
            }
        }
        // What has been counted or announced is not what the server must send.
        match (state.rest.start > state.rest.end, state.body.try_next().await) {
            (true, _) | (false, Ok(Some(_))) => Err(changed(&state.file.url)),
            (false, Ok(None) | Err(_)) => Ok(None),
        }
    })
    .boxed()
}

/// A body that may break.
struct Resumed {
    file: WebFile,
    body: Body,
    rest: Range<u64>,
    e_tag: Option<String>,
    resumptions: usize,
}

impl Resumed {
    /// Asks for the rest.
    async fn resume(&mut self, error: WebError) -> Result<()> {
        let url = &self.file.url;
        let tag = self.e_tag.as_deref().filter(|tag| !tag.starts_with("W/"));
        let (Some(tag), Some(pause), true) = (tag, PAUSES.get(self.resumptions), error.is_transient()) else {
            return Err(refused(url, error));
        };
        self.resumptions += 1;
        log::debug!("asking for the rest in {pause:?}: {error}");
        tokio::time::sleep(*pause).await;
        let answer = self.file.send(Method::GET, Some(&GetRange::Bounded(self.rest.clone()))).await;
        let answer = answer.map_err(|e| refused(url, e))?;
        if answer.header(ETAG) != Some(tag) {
            return Err(changed(url));
        }
        match headers::part(&answer) {
            Some(part) if part.range == self.rest && !headers::is_encoded(&answer, url) => {
                self.body = answer.raw();
                Ok(())
            }
            _ => Err(refused(url, error)),
        }
    }
}
