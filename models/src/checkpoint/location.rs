//! Where a model lies, as users name it.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use crate::LoadError;

/// Where a model lies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Location {
    /// The small checkpoint that is built into this program.
    #[default]
    Embedded,
    /// A folder.
    Folder(PathBuf),
    /// A prefix in an object store: `s3://`, `gs://`, `az://`, `http(s)://`.
    Store(Url),
    /// A repository on a Hugging Face hub: `owner/name`.
    Hub(String),
}

impl Location {
    /// Reads a location: the word `default`, a folder, a URL, or a hub id (`owner/name`, also as `hf://owner/name`).
    ///
    /// A folder that exists wins over a hub id of the same spelling.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        if text == "default" {
            return Ok(Self::Embedded);
        }
        if let Some(id) = text.strip_prefix("hf://") {
            return Ok(Self::Hub(id.trim_end_matches('/').to_string()));
        }
        if text.contains("://") {
            let url = Url::parse(text).map_err(|e| Self::malformed(text, &e.to_string()))?;
            return match (url.scheme(), url.to_file_path()) {
                ("file", Ok(path)) => Ok(Self::Folder(path)),
                _ => Ok(Self::Store(url)),
            };
        }
        let path = match text.strip_prefix("~/").zip(std::env::home_dir()) {
            Some((rest, home)) => home.join(rest),
            None => PathBuf::from(text),
        };
        if !path.exists() && is_hub_id(text) { Ok(Self::Hub(text.to_string())) } else { Ok(Self::Folder(path)) }
    }

    /// The small checkpoint that is built into this program.
    pub fn default_model() -> Self {
        Self::Embedded
    }

    /// Looks whether a model can be there, cheaply: a folder must hold a `config.json`. Remote places are not asked.
    pub fn check(&self) -> Result<(), LoadError> {
        let Self::Folder(path) = self else { return Ok(()) };
        if path.join("config.json").is_file() {
            return Ok(());
        }
        let hint = if path.is_dir() {
            "a model's folder holds config.json, *.safetensors and the tokenizer's files"
        } else {
            "no such folder; a model is named by a folder, a URL (s3://, gs://, az://, https://) or a hub id (owner/name)"
        };
        Err(LoadError::MissingFile {
            model: self.to_string(),
            file: "config.json".into(),
            looked_in: path.display().to_string(),
            hint: hint.into(),
        })
    }

    fn malformed(text: &str, why: &str) -> LoadError {
        LoadError::MissingFile {
            model: text.into(),
            file: "config.json".into(),
            looked_in: text.into(),
            hint: format!("the URL cannot be read: {why}"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("default"),
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Store(url) => write!(f, "{url}"),
            Self::Hub(id) => f.write_str(id),
        }
    }
}

/// Whether `text` has the form `owner/name` with the characters that hubs allow.
pub(super) fn is_hub_id(text: &str) -> bool {
    let ok = |s: &str| {
        !s.is_empty()
            && !s.starts_with(['.', '-'])
            && s.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    text.split_once('/').is_some_and(|(owner, name)| ok(owner) && ok(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_told_apart() -> anyhow::Result<()> {
        assert_eq!(Location::parse("default")?, Location::Embedded);
        assert_eq!(Location::parse("hf://a/b")?, Location::Hub("a/b".into()));
        assert_eq!(Location::parse("owner/UniFilter-1.5B")?, Location::Hub("owner/UniFilter-1.5B".into()));
        assert_eq!(Location::parse("./owner/name")?, Location::Folder("./owner/name".into()));
        assert_eq!(Location::parse("file:///a/b")?, Location::Folder("/a/b".into()));
        assert!(matches!(Location::parse("s3://bucket/model")?, Location::Store(_)));
        assert_eq!(Location::parse("one-word")?, Location::Folder("one-word".into()));
        Ok(())
    }

    #[test]
    fn an_existing_folder_wins_over_a_hub_id() -> anyhow::Result<()> {
        assert_eq!(Location::parse("src/checkpoint")?, Location::Folder("src/checkpoint".into()));
        Ok(())
    }

    #[test]
    fn a_folder_without_a_model_is_told_at_once() {
        let missing = Location::Folder("no/such/folder".into()).check().unwrap_err().to_string();
        assert!(missing.contains("no such folder") && missing.contains("no/such/folder"), "{missing}");
        let empty = Location::Folder("src".into()).check().unwrap_err().to_string();
        assert!(empty.contains("no config.json in src"), "{empty}");
    }
}
