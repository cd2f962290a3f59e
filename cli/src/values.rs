//! How the values of flags are written.

use std::str::FromStr;

/// NAME=VALUE.
pub(crate) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.to_string())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

/// Checks a value with its own parser and keeps the text: it travels as a session option.
pub(crate) fn choice<T: FromStr<Err: ToString>>(text: &str) -> Result<String, String> {
    T::from_str(text).map(|_| text.to_string()).map_err(|e| e.to_string())
}

/// The session option that says where a model lies.
pub(crate) fn model_key(name: &str) -> String {
    if name == "unifilter" { "tamis.unifilter.model".into() } else { format!("tamis.model.{name}") }
}
