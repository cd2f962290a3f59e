//! What a server answered.

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::{BoxStream, StreamExt};
use http::header::{AsHeaderName, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use super::WebError;
use super::decode::{Encoding, decode};

/// The bytes of a body as they come.
pub type Body = BoxStream<'static, Result<Bytes, WebError>>;

/// So much of a refusal's body is looked at for a line that says why.
const HINT_BYTES: usize = 4 << 10;

/// So many characters of that line are shown.
const HINT_CHARS: usize = 200;

/// An answer of 2xx, whose body has not been read.
#[derive(Debug)]
pub struct Answer {
    response: reqwest::Response,
}

impl Answer {
    /// The answer, if it is one of 2xx.
    pub(super) async fn new(response: reqwest::Response) -> Result<Self, WebError> {
        let status = response.status();
        match status.is_success() {
            true => Ok(Self { response }),
            false => Err(WebError::Status { status, hint: hint(response).await }),
        }
    }

    /// The status, one of 2xx.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header that the answer has, if it is text.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        text_of(self.response.headers(), name)
    }

    /// The Content-Encoding of the body, if it has one.
    pub fn encoding(&self) -> Option<&str> {
        Encoding::name(self.response.headers())
    }

    /// The length of the body as it is sent, as far as the server tells.
    pub fn length(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH)?.trim().parse().ok()
    }

    /// The body as it is sent, still encoded.
    pub fn raw(self) -> Body {
        self.response.bytes_stream().map_err(WebError::from).boxed()
    }

    /// The body, decoded. It is to be called where a runtime is.
    pub fn decoded(self) -> Result<Body, WebError> {
        match Encoding::of(self.response.headers())? {
            Some(encoding) => Ok(decode(self.raw(), encoding)),
            None => Ok(self.raw()),
        }
    }
}

/// A header as text.
pub(super) fn text_of(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The first line of a refusal that is written for a reader of text: pages for browsers begin with nothing of use.
async fn hint(mut response: reqwest::Response) -> Option<String> {
    let kind = text_of(response.headers(), CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let readable = ["text/plain", "application/json", "application/xml", "text/xml", "application/problem+json"];
    if !readable.iter().any(|readable| kind.starts_with(readable)) {
        return None;
    }
    let mut body = Vec::new();
    while body.len() < HINT_BYTES {
        let Ok(Some(bytes)) = response.chunk().await else { break };
        body.extend_from_slice(&bytes);
    }
    let body = String::from_utf8_lossy(&body[..body.len().min(HINT_BYTES)]);
    let line = body.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("<?xml"))?;
    let line = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    Some(line.take(HINT_CHARS).collect())
}
