//! Chat completions as OpenAI, vLLM, SGLang and Ollama have them: images as data URLs, answers by a JSON schema.
//!
//! Not every endpoint takes a schema. One that refuses a request with a schema and takes it without is asked without from then on.

use std::sync::atomic::Ordering;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::http::secret_header;
use super::{Api, Failure, Reply, Secret, texts_within, tokens};
use crate::prompt::{Prompt, TOOL, request, schema};
use crate::question::Piece;

pub(super) const PATH: &str = "/chat/completions";

pub(super) fn headers(key: Option<&Secret>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        secret_header(&mut headers, "authorization", &format!("Bearer {}", key.get()));
    }
    headers
}

pub(super) async fn ask(api: &Api, prompt: &Prompt, pieces: &[Piece], idempotency: &str) -> Result<Reply, Failure> {
    if !api.is_plain.load(Ordering::Relaxed) {
        match api.client.post(PATH, &body(api, prompt, pieces, false), Some(idempotency)).await {
            Ok(answer) => return Ok(reply(&answer)),
            Err(Failure::Refused { status: 400 | 422 | 501, reason }) => {
                log::debug!("asking without a schema: {reason}");
                let plain = format!("{idempotency}-plain");
                let answer = api.client.post(PATH, &body(api, prompt, pieces, true), Some(&plain)).await?;
                if !api.is_plain.swap(true, Ordering::Relaxed) {
                    log::warn!("the endpoint takes no JSON schema ({reason}); asking for JSON in words");
                }
                return Ok(reply(&answer));
            }
            Err(failure) => return Err(failure),
        }
    }
    let answer = api.client.post(PATH, &body(api, prompt, pieces, true), Some(idempotency)).await?;
    Ok(reply(&answer))
}

fn body(api: &Api, prompt: &Prompt, pieces: &[Piece], is_plain: bool) -> Value {
    let mut content: Vec<Value> = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => json!({"type": "text", "text": text}),
            Piece::Image { media, data } => {
                json!({"type": "image_url", "image_url": {"url": format!("data:{media};base64,{data}")}})
            }
        })
        .collect();
    content.push(json!({"type": "text", "text": request(prompt.kind, is_plain)}));
    // OpenAI's own newer models refuse the name that all other servers know.
    let longest = if api.settings.endpoint.is_none() { "max_completion_tokens" } else { "max_tokens" };
    let mut body = json!({
        "model": api.settings.model,
        longest: api.settings.answer_tokens,
        "seed": api.settings.seed,
        "messages": [{"role": "system", "content": prompt.text}, {"role": "user", "content": content}],
    });
    if !is_plain {
        body["response_format"] =
            json!({"type": "json_schema", "json_schema": {"name": TOOL, "strict": true, "schema": schema()}});
    }
    body
}

fn reply(answer: &Value) -> Reply {
    let usage = answer.get("usage").unwrap_or(&Value::Null);
    let choice = answer.pointer("/choices/0").unwrap_or(&Value::Null);
    let said = choice.pointer("/message/content").and_then(Value::as_str);
    let texts = match (said, choice.get("finish_reason").and_then(Value::as_str)) {
        (_, Some("length")) => Err("the answer was cut off: it is longer than --answer-tokens".into()),
        (_, Some("content_filter")) => Err("the provider's filter held the answer back".into()),
        (Some(said), _) => texts_within(said),
        (None, _) => Err("the answer has no text".into()),
    };
    Reply { texts, input_tokens: tokens(usage, "prompt_tokens"), output_tokens: tokens(usage, "completion_tokens") }
}
