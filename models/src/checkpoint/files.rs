//! An opened checkpoint: its files by name, wherever they lie.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::location::is_hub_id;
use super::{Location, Weights, embedded, hub, store};
use crate::LoadError;

/// The files besides config.json and the weights that scores depend on: how pictures and texts are prepared.
pub const PREPARATION: [&str; 7] = [
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
];

/// An opened checkpoint. Remote ones have been fetched into a local cache.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    model: String,
    files: Files,
}

#[derive(Debug, Clone)]
enum Files {
    Folder(PathBuf),
    /// Files built into the program whose path begins with this prefix.
    Embedded(&'static str),
}

impl Checkpoint {
    /// Opens a checkpoint, fetching it first if it lies in an object store or on a hub.
    pub fn open(location: &Location) -> Result<Self, LoadError> {
        location.check()?;
        let files = match location {
            Location::Embedded => Files::Embedded(""),
            Location::Folder(path) => Files::Folder(path.clone()),
            Location::Store(url) => Files::Folder(store::fetch(url)?),
            Location::Hub(id) => Files::Folder(hub::fetch(id)?),
        };
        Ok(Self { model: location.to_string(), files })
    }

    /// Opens a checkpoint if that takes no network; `None` if it would have to be fetched first.
    pub(crate) fn local(location: &Location) -> Result<Option<Self>, LoadError> {
        let files = match location {
            Location::Embedded => Some(Files::Embedded("")),
            Location::Folder(path) => Some(Files::Folder(path.clone())),
            Location::Store(url) => store::cached(url).map(Files::Folder),
            Location::Hub(id) => hub::cached(id).map(Files::Folder),
        };
        Ok(files.map(|files| Self { model: location.to_string(), files }))
    }

    /// The vision tower's own folder, as `mm_vision_tower` names it: inside this checkpoint, beside it, an absolute
    /// path, or a hub id. A hub is asked only if this checkpoint has no copy of the tower's weights (`has_copy`) or
    /// came from a hub itself; `None` if the copy has to serve.
    pub(crate) fn tower(&self, name: &str, has_copy: bool) -> Result<Option<Self>, LoadError> {
        let model = format!("{} (vision tower of {})", name, self.model);
        let base = match &self.files {
            Files::Embedded(_) => {
                let found = embedded::FILES.iter().find_map(|(path, _)| {
                    let (folder, file) = path.split_once('/')?;
                    (folder == name && file == "config.json").then_some(folder)
                });
                return Ok(found.map(|folder| Self { model, files: Files::Embedded(folder) }));
            }
            Files::Folder(base) => base,
        };
        let last = name.rsplit('/').next().unwrap_or(name);
        let beside = base.parent().map(|p| p.join(last));
        let folders = [Some(base.join(name)), Some(base.join(last)), beside, Some(PathBuf::from(name))];
        if let Some(found) = folders.iter().flatten().find(|p| p.join("config.json").is_file()) {
            return Ok(Some(Self { model, files: Files::Folder(found.clone()) }));
        }
        if is_hub_id(name) {
            match hub::cached(name) {
                Some(folder) => return Ok(Some(Self { model, files: Files::Folder(folder) })),
                None if !has_copy => return Ok(Some(Self { model, files: Files::Folder(hub::fetch(name)?) })),
                None => return Ok(None),
            }
        }
        if has_copy {
            return Ok(None);
        }
        let looked: Vec<_> = folders.iter().flatten().map(|p| p.display().to_string()).collect();
        Err(LoadError::MissingFile {
            model,
            file: "config.json".into(),
            looked_in: looked.join(", "),
            hint: "put the vision tower's folder beside the checkpoint or name a hub id in mm_vision_tower".into(),
        })
    }

    /// The model as the user named it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The folder where its files lie; `None` for the one that is built in.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match &self.files {
            Files::Folder(base) => Some(base),
            Files::Embedded(_) => None,
        }
    }

    /// The path that errors show for a file.
    pub fn path(&self, name: &str) -> PathBuf {
        match &self.files {
            Files::Folder(base) => base.join(name),
            Files::Embedded(prefix) => Path::new("<built in>").join(prefix).join(name),
        }
    }

    /// A file's content, or `None` if there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, LoadError> {
        match &self.files {
            Files::Folder(base) => {
                let path = base.join(name);
                match std::fs::read(&path) {
                    Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(source) => Err(LoadError::Io { path, source }),
                }
            }
            Files::Embedded(prefix) => Ok(embedded_file(prefix, name).map(Cow::Borrowed)),
        }
    }

    /// A file's content; its absence is an error.
    pub fn require(&self, name: &str) -> Result<Cow<'static, [u8]>, LoadError> {
        self.read(name)?.ok_or_else(|| self.missing(name, "the checkpoint is incomplete"))
    }

    /// A JSON file, if it is there.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, LoadError> {
        self.read(name)?
            .map(|bytes| serde_json::from_slice(&bytes))
            .transpose()
            .map_err(|source| LoadError::Json { path: self.path(name), source })
    }

    /// A JSON file; its absence is an error.
    pub fn require_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, LoadError> {
        self.json(name)?.ok_or_else(|| self.missing(name, "the checkpoint is incomplete"))
    }

    /// Maps the weights: `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    pub fn weights(&self) -> Result<Weights, LoadError> {
        #[derive(serde::Deserialize)]
        struct Index {
            weight_map: std::collections::BTreeMap<String, String>,
        }
        let index: Option<Index> = self.json("model.safetensors.index.json")?;
        let names = match index {
            Some(index) => index.weight_map.into_values().collect::<std::collections::BTreeSet<_>>(),
            None => ["model.safetensors".to_string()].into(),
        };
        let mut weights = Weights::default();
        for name in names {
            match &self.files {
                Files::Embedded(prefix) => {
                    let bytes = embedded_file(prefix, &name).ok_or_else(|| self.missing(&name, "rebuild tamis"))?;
                    weights.add_static(self.path(&name), bytes)?;
                }
                Files::Folder(base) => {
                    let path = base.join(&name);
                    if !path.is_file() {
                        return Err(self.missing(
                            &name,
                            "weights are read from safetensors files; convert pytorch_model.bin or fetch the missing shard",
                        ));
                    }
                    weights.add_file(&path)?;
                }
            }
        }
        Ok(weights)
    }

    fn missing(&self, file: &str, hint: &str) -> LoadError {
        let looked_in = match &self.files {
            Files::Folder(base) => base.display().to_string(),
            Files::Embedded(_) => "the program".into(),
        };
        LoadError::MissingFile { model: self.model.clone(), file: file.into(), looked_in, hint: hint.into() }
    }
}

fn embedded_file(prefix: &str, name: &str) -> Option<&'static [u8]> {
    let wanted = if prefix.is_empty() { name.to_string() } else { format!("{prefix}/{name}") };
    embedded::FILES.iter().find(|(path, _)| *path == wanted).map(|(_, bytes)| *bytes)
}
