//! What all processes of a cluster know, and tokens.

use std::fmt;

use serde::Deserialize;

/// What stands before the secret in the user agent.
const AGENT: &str = "tamis-cluster/";
/// A secret that is shorter could be guessed.
const LEAST: usize = 16;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The cluster's secret is too short, or has characters that cannot stand in a header.
    #[error("the cluster's secret must have at least {least} characters, letters, digits and signs without spaces")]
    Weak {
        /// How many characters it needs.
        least: usize,
    },
    /// The system gives no random numbers.
    #[error("asking the system for random numbers: {0}")]
    Random(String),
}

/// The secret of a cluster. It is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Secret(String);

impl Secret {
    /// A secret of 16 characters at least, all of them visible ASCII without spaces: it travels in a header.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        match text.len() >= LEAST && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(text.to_string())),
            false => Err(SecretError::Weak { least: LEAST }),
        }
    }

    /// One that nobody knows.
    pub fn random() -> Result<Self, SecretError> {
        Ok(Self(random_token()?))
    }

    /// The user agent that shows the secret.
    pub(crate) fn as_user_agent(&self) -> String {
        format!("{AGENT}{}", self.0)
    }

    /// Whether a user agent shows the secret. Takes as long for a wrong one as for a nearly right one.
    pub(crate) fn is_in_user_agent(&self, agent: &[u8]) -> bool {
        let shown = agent.split(|byte| *byte == b' ').next().unwrap_or_default();
        shown.strip_prefix(AGENT.as_bytes()).is_some_and(|shown| is_same(shown, self.0.as_bytes()))
    }
}

impl TryFrom<String> for Secret {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Compares hashes: how long it takes tells nothing of what they are of.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    blake3::hash(a) == blake3::hash(b)
}

/// 32 random bytes in hexadecimal digits.
pub fn random_token() -> Result<String, SecretError> {
    Ok(random_bytes::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], SecretError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| SecretError::Random(e.to_string()))?;
    Ok(bytes)
}
