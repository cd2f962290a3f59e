//! Keys, which are never shown.

use std::fmt;

/// A key. It stands in no log, error or file.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The key of an environment variable, if it is set to something.
    pub fn from_environment(variable: &str) -> Option<Self> {
        std::env::var(variable).ok().map(|key| key.trim().to_string()).filter(|key| !key.is_empty()).map(Self)
    }

    #[cfg(test)]
    pub(crate) fn of(key: &str) -> Self {
        Self(key.into())
    }

    pub(super) fn get(&self) -> &str {
        &self.0
    }

    /// The text without the key: servers repeat it when they refuse it.
    pub(super) fn hidden_in(&self, text: &str) -> String {
        text.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_shown() {
        let key = Secret::of("sk-123");
        assert_eq!(format!("{key:?}"), "Secret");
        assert_eq!(key.hidden_in("no such key: sk-123!"), "no such key: [key]!");
    }
}
