//! Users, as the configuration knows them.

use std::collections::HashMap;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

use super::rules::Role;
use crate::secret::{SecretError, random_bytes};

/// What stands before a token's hash.
const TOKEN_HASH: &str = "blake3:";
/// A token that is shorter could be guessed.
const LEAST_TOKEN: usize = 32;

/// How the credentials of a Basic authorization are written. Some clients leave out what fills them up.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why the configuration of users or of the cluster's secret was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// There is no secret to be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A user has nothing to log in with, or two are of one name.
    #[error("user {name}: {reason}")]
    User {
        /// The user's name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A rule about what users may reach cannot be used.
    #[error("{key}: {reason}")]
    Rule {
        /// The rule's key in the configuration.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A password could not be hashed.
    #[error("hashing the password: {0}")]
    Hash(String),
}

/// A user in the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserEntry {
    /// The name.
    pub name: String,
    /// The password's hash, as `tamis user password` prints it.
    #[serde(default)]
    pub password: Option<String>,
    /// The hashes of the user's tokens, as `tamis user token` prints them.
    #[serde(default)]
    pub tokens: Vec<String>,
    /// The groups that the user is of: grants may be for a group.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What the user may do with the queries of others.
    #[serde(default)]
    pub role: Role,
}

/// The users of a server.
#[derive(Debug, Default)]
pub(super) struct Users {
    passwords: HashMap<String, String>,
    /// Names by the hashes of tokens.
    tokens: HashMap<blake3::Hash, String>,
    /// What the password of an unknown user is compared with: it takes as long as that of a known one.
    decoy: Option<String>,
}

impl Users {
    pub(super) fn new(entries: &[UserEntry]) -> Result<Self, AccessError> {
        let mut users = Self::default();
        for UserEntry { name, password, tokens, .. } in entries {
            let wrong = |reason| AccessError::User { name: name.clone(), reason };
            if name.is_empty() || name.contains(':') {
                return Err(wrong("a name must not be empty and must not contain a colon"));
            }
            if password.is_none() && tokens.is_empty() {
                return Err(wrong("there is neither a password nor a token; see `tamis user --help`"));
            }
            if let Some(hash) = password {
                let parsed = PasswordHash::new(hash);
                if parsed.map_or(true, |parsed| parsed.algorithm.as_str() != "argon2id") {
                    return Err(wrong("the password is no argon2id hash; make one with `tamis user password`"));
                }
                if users.passwords.insert(name.clone(), hash.clone()).is_some() {
                    return Err(wrong("there are two of this name"));
                }
            }
            for token in tokens {
                let hash = token.strip_prefix(TOKEN_HASH).and_then(|hex| blake3::Hash::from_hex(hex).ok());
                let hash = hash.ok_or_else(|| wrong("a token is no hash of one; make one with `tamis user token`"))?;
                users.tokens.insert(hash, name.clone());
            }
        }
        if !users.passwords.is_empty() {
            users.decoy = Some(hash_password("nobody's password")?);
        }
        Ok(users)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.passwords.is_empty() && self.tokens.is_empty()
    }

    /// The user of this name and password.
    pub(super) fn by_password(&self, name: &str, password: &str) -> Option<&str> {
        let known = self.passwords.get_key_value(name);
        let hash = known.map(|(_, hash)| hash).or(self.decoy.as_ref())?;
        let is_right = Argon2::default().verify_password(password.as_bytes(), &PasswordHash::new(hash).ok()?).is_ok();
        known.filter(|_| is_right).map(|(name, _)| name.as_str())
    }

    /// The user that a token belongs to.
    pub(super) fn by_token(&self, token: &str) -> Option<&str> {
        if token.len() < LEAST_TOKEN {
            return None;
        }
        self.tokens.get(&blake3::hash(token.as_bytes())).map(String::as_str)
    }
}

/// The name and the password that stand in the credentials of a Basic authorization.
pub(super) fn name_and_password(credentials: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASIC.decode(credentials).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_string(), password.to_string()))
}

/// The hash of a password: argon2id with a salt of its own.
pub fn hash_password(password: &str) -> Result<String, AccessError> {
    let failed = |e: String| AccessError::Hash(e);
    let salt = SaltString::encode_b64(&random_bytes::<16>()?).map_err(|e| failed(e.to_string()))?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    Ok(hash.map_err(|e| failed(e.to_string()))?.to_string())
}

/// The hash of a token. A token is random and long, so that a fast hash will do.
pub fn hash_token(token: &str) -> String {
    format!("{TOKEN_HASH}{}", blake3::hash(token.as_bytes()).to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_user_is_said() {
        let user = |name: &str, password: Option<&str>, tokens: &[&str]| UserEntry {
            name: name.into(),
            password: password.map(Into::into),
            tokens: tokens.iter().map(|token| token.to_string()).collect(),
            ..UserEntry::default()
        };
        for (user, expected) in [
            (user("", None, &[]), "must not be empty"),
            (user("a:b", None, &[]), "colon"),
            (user("ada", None, &[]), "neither a password nor a token"),
            (user("ada", Some("engine"), &[]), "no argon2id hash"),
            (user("ada", None, &["engine"]), "no hash of one"),
        ] {
            let error = Users::new(&[user]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
