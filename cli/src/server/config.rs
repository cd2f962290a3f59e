//! The configuration of servers: a file, environment variables and flags, in this order of growing weight.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tamis_cluster::access::{AccessRules, Secret, UserEntry};
use tamis_cluster::queries::QueryLimits;

use crate::error::CommandError;
use crate::log::LogFormat;
use crate::values::model_key;

/// `tamis.toml`. Every key may be left out; flags and environment variables of the same names come before it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the server listens: ADDRESS:PORT.
    pub(crate) bind: Option<String>,
    /// The scheduler of an executor: a URL.
    pub(crate) scheduler: Option<String>,
    /// The name or address under which an executor is found by the others.
    pub(crate) advertise: Option<String>,
    /// How many tasks an executor runs at once.
    pub(crate) slots: Option<usize>,
    /// Bytes that sorts, joins and aggregates of an executor may take before they spill.
    pub(crate) memory: Option<usize>,
    /// Where an executor keeps results until they are fetched.
    pub(crate) work_dir: Option<PathBuf>,
    /// Seconds after which results that nobody fetches are removed.
    pub(crate) keep_results: Option<u64>,
    /// Seconds that running queries or tasks have to end when the process is asked to end.
    pub(crate) drain: Option<u64>,
    /// Seconds after which a user has to log in again.
    pub(crate) session: Option<u64>,
    /// Whether to listen at an address that others reach though nobody is asked for credentials.
    pub(crate) insecure: Option<bool>,
    /// How logs are written: text or json.
    pub(crate) log_format: Option<LogFormat>,
    /// Tables by name: a path, a pattern or a URL.
    pub(crate) tables: BTreeMap<String, String>,
    /// Models by name: a folder, a URL or a hub id; `unifilter` replaces the default model.
    pub(crate) models: BTreeMap<String, String>,
    /// Session options by key.
    pub(crate) options: BTreeMap<String, toml::Value>,
    /// What opens object stores, by the names that the environment has for it, such as AWS_ENDPOINT.
    pub(crate) stores: BTreeMap<String, String>,
    /// What the processes of the cluster know of each other.
    pub(crate) cluster: ClusterConfig,
    /// Certificates.
    pub(crate) tls: TlsConfig,
    /// How many queries a user may have.
    pub(crate) limits: LimitsConfig,
    /// What users may reach.
    pub(crate) access: Option<AccessRules>,
    /// Who may use the server.
    pub(crate) users: Vec<UserEntry>,
}

/// `[cluster]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClusterConfig {
    /// What all processes of the cluster know.
    pub(crate) secret: Option<Secret>,
}

/// The secret is never written.
impl Serialize for ClusterConfig {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown: BTreeMap<&str, &str> = self.secret.iter().map(|_| ("secret", HIDDEN)).collect();
        shown.serialize(serializer)
    }
}

/// `[tls]`: PEM files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsConfig {
    /// The certificate chain that the process shows.
    pub(crate) certificate: Option<PathBuf>,
    /// Its key.
    pub(crate) key: Option<PathBuf>,
    /// The certificate of the authority that has signed those of the cluster's processes.
    pub(crate) authority: Option<PathBuf>,
}

/// `[limits]`: how many queries a user may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsConfig {
    /// How many run at once.
    pub(crate) running: Option<usize>,
    /// How many wait.
    pub(crate) queued: Option<usize>,
}

/// What holds where there are users and nothing else is said.
const OF_A_USER: QueryLimits = QueryLimits { running: Some(8), queued: Some(100) };

impl LimitsConfig {
    /// The limits that hold, where there are users or not.
    pub(crate) fn limits(self, has_users: bool) -> Result<QueryLimits, CommandError> {
        if self.running == Some(0) {
            return Err(CommandError::Usage("limits.running: 0: a user may have one query at least".into()));
        }
        let usual = if has_users { OF_A_USER } else { QueryLimits::default() };
        Ok(QueryLimits { running: self.running.or(usual.running), queued: self.queued.or(usual.queued) })
    }
}

/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

impl Config {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, CommandError> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|e| CommandError::Usage(format!("reading the configuration {shown}: {e}")))?;
        toml::from_str(&text).map_err(|error| {
            // Not the error's own text, which has the line in it: a secret may stand there.
            let line = error.span().map(|span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1);
            let place = line.map(|line| format!(", line {line}")).unwrap_or_default();
            CommandError::Usage(format!("the configuration {shown}{place}: {}", error.message().trim()))
        })
    }

    /// The configuration as a file, without what is secret.
    pub(crate) fn shown(&self) -> Result<String, CommandError> {
        let mut shown = self.clone();
        for (key, value) in &mut shown.stores {
            if is_secret(key) {
                *value = HIDDEN.into();
            }
        }
        for user in &mut shown.users {
            user.password = user.password.take().map(|_| HIDDEN.into());
            user.tokens.iter_mut().for_each(|token| *token = HIDDEN.into());
        }
        toml::to_string_pretty(&shown).map_err(|e| CommandError::Usage(format!("writing the configuration: {e}")))
    }

    /// The session options that this stands for, in the order in which they are set.
    pub(crate) fn session_options(&self) -> Vec<(String, String)> {
        let models = self.models.iter().map(|(name, place)| (model_key(name), place.clone()));
        let options = self.options.iter().map(|(key, value)| {
            let value = match value {
                toml::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (key.clone(), value)
        });
        models.chain(options).collect()
    }
}

/// Whether a store's setting is one that opens it.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["secret", "key", "token", "password", "sas"].iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_shown_without_its_secrets() {
        let text = r#"
            bind = "127.0.0.1:50050"
            keep_results = 60
            [tables]
            corpus = "s3://corpora/*.parquet"
            [models]
            strict = "/models/strict"
            [options]
            "tamis.scoring.prefetch" = 7
            "tamis.scoring.device" = "cpu"
            [stores]
            AWS_ENDPOINT = "http://127.0.0.1:9000"
            AWS_SECRET_ACCESS_KEY = "sesame"
            [cluster]
            secret = "open-sesame-open-sesame"
            [limits]
            running = 2
            [access]
            read = ["s3://corpora/public/"]
            models = "any"
            [[access.grants]]
            groups = ["curators"]
            read = ["s3://corpora/"]
            [[users]]
            name = "ada"
            password = "$argon2id$x"
            groups = ["curators"]
            role = "admin"
        "#;
        let config: Config = toml::from_str(text).unwrap();
        let options = config.session_options();
        assert!(options.contains(&("tamis.scoring.prefetch".into(), "7".into())), "{options:?}");
        assert!(options.contains(&("tamis.model.strict".into(), "/models/strict".into())), "{options:?}");
        let shown = config.shown().unwrap();
        assert!(shown.contains("127.0.0.1:9000") && shown.contains("ada"), "{shown}");
        assert!(!shown.contains("sesame") && !shown.contains("argon2"), "{shown}");
        assert_eq!(config.limits.limits(true).unwrap(), QueryLimits { running: Some(2), queued: Some(100) });
        // What is shown can be read again.
        let again: Config = toml::from_str(&shown.replace("\"(hidden)\"", "\"open-sesame-open-sesame\"")).unwrap();
        assert_eq!(again.access, config.access);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        for text in ["blind = \"x\"", "[access]\nblind = 1", "[[access.grants]]\nblind = 1", "[limits]\nblind = 1"] {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains("blind"), "{error}");
        }
        assert!(LimitsConfig { running: Some(0), queued: None }.limits(true).is_err());
        assert_eq!(LimitsConfig::default().limits(false).unwrap(), QueryLimits::default());
    }
}
