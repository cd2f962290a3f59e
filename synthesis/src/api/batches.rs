//! Anthropic's Message Batches: many requests at once, at half the price, answered within a day.

use futures::TryStreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, Failure, Reply, anthropic};
use crate::prompt::Prompt;
use crate::question::Piece;

const PATH: &str = "/v1/messages/batches";
/// A line with more bytes is none.
const MAX_LINE: usize = 16 << 20;

/// A batch, as the API describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) id: String,
    pub(crate) has_ended: bool,
    /// How many requests it has.
    pub(crate) requests: u64,
    results: Option<String>,
}

/// One line of the results.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) key: String,
    /// An answer; else why there is none, and whether asking again is of no use.
    pub(crate) result: Result<Reply, (String, bool)>,
}

impl Api {
    /// One request of a batch, to be sent with others.
    pub(crate) fn batch_request(&self, key: &str, prompt: &Prompt, pieces: &[Piece]) -> Value {
        json!({"custom_id": key, "params": anthropic::body(&self.settings, prompt, pieces)})
    }

    /// Makes a batch.
    pub(crate) async fn make_batch(&self, requests: &[Value]) -> Result<Batch, Failure> {
        let answer = self.client.post(PATH, &json!({"requests": requests}), None).await?;
        batch(&answer).ok_or_else(|| Failure::later("the answer describes no batch"))
    }

    /// How a batch stands.
    pub(crate) async fn batch(&self, id: &str) -> Result<Batch, Failure> {
        let answer = self.client.get(&format!("{PATH}/{id}")).await?;
        batch(&answer).ok_or_else(|| Failure::later("the answer describes no batch"))
    }

    /// The last batches, the newest first.
    pub(crate) async fn last_batches(&self) -> Result<Vec<Batch>, Failure> {
        let answer = self.client.get(&format!("{PATH}?limit=100")).await?;
        let listed = answer.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Ok(listed.iter().filter_map(batch).collect())
    }

    /// Reads the results of a batch, in whatever order they come, and hands each on.
    pub(crate) async fn batch_results<E>(
        &self,
        of: &Batch,
        mut take: impl FnMut(Line) -> Result<(), E>,
    ) -> Result<Result<(), E>, Failure> {
        // The key is sent to the endpoint alone, whatever address the results are said to have.
        let own =
            of.results.as_deref().and_then(|url| url.strip_prefix(&self.client.url("")).filter(|p| p.starts_with('/')));
        let path = own.map_or_else(|| format!("{PATH}/{}/results", of.id), str::to_string);
        let broken = |error: reqwest::Error| Failure::later(format!("reading results: {error}"));
        let silent = |_| Failure::later("the results do not come");
        let sent = tokio::time::timeout(self.settings.timeout, self.client.send(Method::GET, &path, None));
        let mut stream = sent.await.map_err(silent)??.bytes_stream();
        let mut rest: Vec<u8> = vec![];
        loop {
            let part = tokio::time::timeout(self.settings.timeout, stream.try_next())
                .await
                .map_err(silent)?
                .map_err(broken)?;
            let is_end = part.is_none();
            rest.extend(part.unwrap_or_default());
            if is_end && !rest.is_empty() {
                rest.push(b'\n');
            }
            let mut from = 0;
            while let Some(end) = rest[from..].iter().position(|byte| *byte == b'\n') {
                let text = &rest[from..from + end];
                from += end + 1;
                if text.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                match serde_json::from_slice(text).ok().and_then(|json| line(&json)) {
                    Some(line) => {
                        if let Err(error) = take(line) {
                            return Ok(Err(error));
                        }
                    }
                    // Read again, what is whole is not taken twice.
                    None => return Err(Failure::later("a line of the results is none")),
                }
            }
            rest.drain(..from);
            if is_end {
                return Ok(Ok(()));
            }
            if rest.len() > MAX_LINE {
                return Err(Failure::later("a line of the results has no end"));
            }
        }
    }
}

fn batch(json: &Value) -> Option<Batch> {
    let counts = json.get("request_counts").and_then(Value::as_object);
    Some(Batch {
        id: json.get("id")?.as_str()?.to_string(),
        has_ended: json.get("processing_status")?.as_str()? == "ended",
        requests: counts.map_or(0, |counts| counts.values().filter_map(Value::as_u64).sum()),
        results: json.get("results_url").and_then(Value::as_str).map(str::to_string),
    })
}

fn line(json: &Value) -> Option<Line> {
    let key = json.get("custom_id")?.as_str()?.to_string();
    let result = json.get("result")?;
    let kind = result.get("type")?.as_str()?;
    let result = match kind {
        "succeeded" => Ok(anthropic::reply(result.get("message")?)),
        "errored" => {
            let text = |place: &str| result.pointer(place).and_then(Value::as_str);
            let (kind, said) = (
                text("/error/error/type").or(text("/error/type")),
                text("/error/error/message").or(text("/error/message")),
            );
            let reason = format!("{}: {}", kind.unwrap_or("error"), said.unwrap_or("no reason given"));
            Err((reason, kind == Some("invalid_request_error") || kind == Some("invalid_request")))
        }
        other => Err((format!("the request was {other}"), false)),
    };
    Some(Line { key, result })
}
