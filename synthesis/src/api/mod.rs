//! Models behind an API: what is sent, what comes back, and what to make of a refusal.

mod anthropic;
mod batches;
mod http;
mod openai;
mod secret;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::Value;

pub(crate) use batches::{Batch, Line};
pub(crate) use http::Failure;
pub use secret::Secret;

use crate::SynthesisError;
use crate::prompt::{FIELDS, Prompt};
use crate::question::Piece;
use crate::validation::Texts;
use http::Client;

/// Whose API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Anthropic's Messages API.
    Anthropic,
    /// Chat completions as OpenAI has them.
    OpenAi,
}

impl Provider {
    /// How it is called in the column `provider`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
        }
    }

    /// The environment variable with the key.
    pub fn key_variable(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
        }
    }

    /// Where the API is, unless told otherwise.
    fn endpoint(self) -> &'static str {
        match self {
            Self::Anthropic => "https://api.anthropic.com",
            Self::OpenAi => "https://api.openai.com/v1",
        }
    }
}

/// How an API is asked.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Whose it is.
    pub provider: Provider,
    /// Where it is, if not where the provider has it.
    pub endpoint: Option<String>,
    /// The model.
    pub model: String,
    /// The key.
    pub key: Option<Secret>,
    /// The longest answer, in tokens.
    pub answer_tokens: u32,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Sent where the API takes one.
    pub seed: u64,
}

/// An API that can be asked.
#[derive(Debug)]
pub(crate) struct Api {
    settings: ApiSettings,
    client: Client,
    /// Chat completions: this endpoint takes no schema.
    is_plain: AtomicBool,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The texts, or why they cannot be used.
    pub(crate) texts: Result<Texts, String>,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
}

impl Api {
    pub(crate) fn new(settings: ApiSettings) -> Result<Self, SynthesisError> {
        let provider = settings.provider;
        // Servers of one's own mostly want no key.
        let needs_key = provider == Provider::Anthropic || settings.endpoint.is_none();
        if needs_key && settings.key.is_none() {
            return Err(SynthesisError::NoKey { provider: provider.name(), variable: provider.key_variable() });
        }
        let endpoint = settings.endpoint.as_deref().unwrap_or(provider.endpoint()).trim_end_matches('/').to_string();
        let url = reqwest::Url::parse(&endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if url.is_none() {
            return Err(SynthesisError::Usage(format!("--endpoint {endpoint}: expected a URL of http or https")));
        }
        let headers = match provider {
            Provider::Anthropic => anthropic::headers(settings.key.as_ref()),
            Provider::OpenAi => openai::headers(settings.key.as_ref()),
        };
        let client = Client::new(endpoint, headers, settings.key.clone(), settings.timeout)?;
        Ok(Self { settings, client, is_plain: AtomicBool::new(false) })
    }

    /// The URL that requests go to.
    pub(crate) fn url(&self) -> String {
        let path = match self.settings.provider {
            Provider::Anthropic => anthropic::PATH,
            Provider::OpenAi => openai::PATH,
        };
        self.client.url(path)
    }

    /// Asks once.
    pub(crate) async fn ask(&self, prompt: &Prompt, pieces: &[Piece], idempotency: &str) -> Result<Reply, Failure> {
        match self.settings.provider {
            Provider::Anthropic => {
                let body = anthropic::body(&self.settings, prompt, pieces);
                let answer = self.client.post(anthropic::PATH, &body, Some(idempotency)).await?;
                Ok(anthropic::reply(&answer))
            }
            Provider::OpenAi => openai::ask(self, prompt, pieces, idempotency).await,
        }
    }
}

/// The four texts of an answer in JSON.
fn texts(answer: &Value) -> Result<Texts, String> {
    let mut texts = Texts::default();
    for (text, field) in texts.iter_mut().zip(FIELDS) {
        match answer.get(field) {
            Some(Value::String(found)) => *text = found.trim().to_string(),
            Some(_) => return Err(format!("{field} of the answer is no text")),
            None => return Err(format!("the answer has no {field}")),
        }
    }
    Ok(texts)
}

/// The texts of an answer that has JSON somewhere in it.
fn texts_within(answer: &str) -> Result<Texts, String> {
    let inner = answer.find('{').zip(answer.rfind('}')).filter(|(from, to)| from < to);
    let (from, to) = inner.ok_or("the answer is not JSON")?;
    texts(&serde_json::from_str(&answer[from..=to]).map_err(|e| format!("the answer is not JSON: {e}"))?)
}

fn tokens(usage: &Value, field: &str) -> u64 {
    usage.get(field).and_then(Value::as_u64).unwrap_or_default()
}
