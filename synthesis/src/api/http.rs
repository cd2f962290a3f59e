//! Requests, and what a failure means.

use std::time::{Duration, SystemTime};

use futures::StreamExt;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use super::Secret;
use crate::SynthesisError;

/// An answer with more bytes is none.
const MAX_BYTES: usize = 16 << 20;
/// A server that takes longer to be connected to is taken for gone.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes a second that any connection sends.
const SLOWEST: u64 = 250_000;
/// How much of a refusal is shown.
const SHOWN: usize = 300;

/// Why a request has no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It may succeed later, after a time if the server says which. Where the server has not said so itself, it may have
    /// taken the request.
    Later { reason: String, after: Option<Duration>, is_said: bool },
    /// This one is refused; another may be answered.
    Refused { status: u16, reason: String },
    /// All are refused.
    All { reason: String },
}

impl Failure {
    pub(crate) fn later(reason: impl Into<String>) -> Self {
        Self::Later { reason: reason.into(), after: None, is_said: false }
    }
}

/// Asks one API.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    endpoint: String,
    headers: HeaderMap,
    key: Option<Secret>,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(
        endpoint: String,
        headers: HeaderMap,
        key: Option<Secret>,
        timeout: Duration,
    ) -> Result<Self, SynthesisError> {
        // A key is sent to the address that was named, and nowhere else.
        let http = reqwest::Client::builder()
            .user_agent(concat!("tamis/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .build()
            .map_err(SynthesisError::Client)?;
        Ok(Self { http, endpoint, headers, key, timeout })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    /// Sends JSON and reads JSON.
    pub(super) async fn post(&self, path: &str, body: &Value, idempotency: Option<&str>) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).map_err(|e| Failure::later(e.to_string()))?;
        // What is large takes a while to be sent.
        let sending = Duration::from_secs(body.len() as u64 / SLOWEST);
        self.json(Method::POST, path, Some((body, idempotency)), self.timeout + sending).await
    }

    /// Reads JSON.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(Method::GET, path, None, self.timeout).await
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<(Vec<u8>, Option<&str>)>,
        timeout: Duration,
    ) -> Result<Value, Failure> {
        let whole = async {
            let response = self.send(method, path, body).await?;
            let bytes = self.read(response).await?;
            // What is no JSON is no answer of such an API: a proxy's page, or half an answer.
            serde_json::from_slice(&bytes).map_err(|e| Failure::later(format!("the answer is not JSON: {e}")))
        };
        match tokio::time::timeout(timeout, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::later(format!("no answer within {} seconds", timeout.as_secs_f32()))),
        }
    }

    /// Sends a request; an answer that is not 2xx is a failure.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(Vec<u8>, Option<&str>)>,
    ) -> Result<Response, Failure> {
        let mut request = self.http.request(method, self.url(path)).headers(self.headers.clone());
        if let Some((body, idempotency)) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
            if let Some(key) = idempotency {
                request = request.header("idempotency-key", key);
            }
        }
        let response = request.send().await.map_err(|e| Failure::later(described(&e)))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(self.failure(status, response).await),
        }
    }

    async fn read(&self, response: Response) -> Result<Vec<u8>, Failure> {
        let mut stream = response.bytes_stream();
        let mut bytes = vec![];
        while let Some(part) = stream.next().await {
            bytes.extend_from_slice(&part.map_err(|e| Failure::later(described(&e)))?);
            if bytes.len() > MAX_BYTES {
                return Err(Failure::later(format!("the answer has more than {MAX_BYTES} bytes")));
            }
        }
        Ok(bytes)
    }

    async fn failure(&self, status: StatusCode, response: Response) -> Failure {
        let after = retry_after(response.headers());
        let body = self.read(response).await.unwrap_or_default();
        let said = message(&body);
        let reason = self.hidden(&format!("{status}{}{said}", if said.is_empty() { "" } else { ": " }));
        match status.as_u16() {
            408 | 409 | 425 | 429 | 529 | 500 | 502 | 503 | 504 => Failure::Later { reason, after, is_said: true },
            401..=405 => Failure::All { reason },
            300..=399 => {
                Failure::All { reason: format!("{reason}; redirects are not followed, name the address itself") }
            }
            status => Failure::Refused { status, reason },
        }
    }

    fn hidden(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_string(), |key| key.hidden_in(text))
    }
}

/// A header whose value is not shown.
pub(super) fn secret_header(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(mut value) = HeaderValue::from_str(value) {
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// How long the server wants to be left alone.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let milliseconds =
        headers.get("retry-after-ms").and_then(|v| v.to_str().ok()?.parse().ok()).map(Duration::from_millis);
    let value = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = value.and_then(|v| v.trim().parse::<f64>().ok()).filter(|s| s.is_finite() && *s >= 0.0 && *s < 1e6);
    let date = value.and_then(|value| httpdate::parse_http_date(value).ok());
    let until = date.map(|date| date.duration_since(SystemTime::now()).unwrap_or_default());
    milliseconds.or(seconds.map(Duration::from_secs_f64)).or(until)
}

/// What a refusal says, briefly.
fn message(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let said = json.as_ref().and_then(|json| {
        let places = ["/error/message", "/message", "/detail", "/error"];
        places.iter().find_map(|place| json.pointer(place).and_then(Value::as_str))
    });
    let text = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_string);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

/// An error and what caused it.
fn described(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_in_all_forms() {
        let of = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            retry_after(&headers)
        };
        assert_eq!(of("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(of("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(of("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        for none in ["soon", "-1", "inf"] {
            assert_eq!(of("retry-after", none), None, "{none}");
        }
    }

    #[test]
    fn a_refusal_is_shown_briefly() {
        assert_eq!(message(br#"{"error": {"message": "no\n such model"}}"#), "no such model");
        assert_eq!(message(b"<html> busy"), "<html> busy");
        assert_eq!(message("ä".repeat(999).as_bytes()).chars().count(), SHOWN + 3);
    }
}
