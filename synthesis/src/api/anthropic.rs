//! Anthropic's Messages API: texts come as the input of a tool that the model has to use.

use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::http::secret_header;
use super::{ApiSettings, Reply, Secret, texts, tokens};
use crate::prompt::{Prompt, TOOL, request, schema};
use crate::question::Piece;

pub(super) const PATH: &str = "/v1/messages";

pub(super) fn headers(key: Option<&Secret>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    if let Some(key) = key {
        secret_header(&mut headers, "x-api-key", key.get());
    }
    headers
}

/// The body of a request; that of one in a batch is the same.
pub(super) fn body(settings: &ApiSettings, prompt: &Prompt, pieces: &[Piece]) -> Value {
    let mut content: Vec<Value> = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => json!({"type": "text", "text": text}),
            Piece::Image { media, data } => {
                json!({"type": "image", "source": {"type": "base64", "media_type": media, "data": data}})
            }
        })
        .collect();
    content.push(json!({"type": "text", "text": request(prompt.kind, false)}));
    json!({
        "model": settings.model,
        "max_tokens": settings.answer_tokens,
        "system": prompt.text,
        "messages": [{"role": "user", "content": content}],
        "tools": [{"name": TOOL, "description": "Takes the four texts.", "input_schema": schema()}],
        "tool_choice": {"type": "tool", "name": TOOL},
    })
}

/// What an answer holds.
pub(super) fn reply(message: &Value) -> Reply {
    let usage = message.get("usage").unwrap_or(&Value::Null);
    let cached = tokens(usage, "cache_creation_input_tokens") + tokens(usage, "cache_read_input_tokens");
    let content = message.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let tool = content.iter().find(|part| part.get("type").and_then(Value::as_str) == Some("tool_use"));
    let found = match (tool.and_then(|tool| tool.get("input")), message.get("stop_reason").and_then(Value::as_str)) {
        (_, Some("max_tokens")) => Err("the answer was cut off: it is longer than --answer-tokens".into()),
        (_, Some("refusal")) => Err("the model refuses".into()),
        (Some(input), _) => texts(input),
        (None, _) => Err("the answer does not use the tool".into()),
    };
    Reply {
        texts: found,
        input_tokens: tokens(usage, "input_tokens") + cached,
        output_tokens: tokens(usage, "output_tokens"),
    }
}
