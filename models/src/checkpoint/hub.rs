//! Checkpoints on a Hugging Face hub, through hf-hub: its cache layout, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`,
//! `HF_ENDPOINT`, `HF_HUB_OFFLINE`.

use std::path::{Path, PathBuf};

use hf_hub::{HFClient, HFClientSync, HFError, HFRepositorySync, RepoTypeModel};

use crate::LoadError;

/// What of a repository a model is made of.
const PATTERNS: [&str; 3] = ["*.json", "*.txt", "*.safetensors"];

/// The folder of a repository's main revision in the local cache, if it is there whole. Asks no network.
pub(super) fn cached(id: &str) -> Result<Option<PathBuf>, LoadError> {
    let found = repository(&client(id)?, id)?.snapshot_download().local_files_only(true).send();
    Ok(found.ok().filter(|folder| is_whole(folder)))
}

/// The folder of a repository's main revision, from the cache or else downloaded into it.
pub(super) fn fetch(id: &str) -> Result<PathBuf, LoadError> {
    if let Some(folder) = cached(id)? {
        return Ok(folder);
    }
    let client = client(id)?;
    let place = client.cache_dir().display().to_string();
    if std::env::var("HF_HUB_OFFLINE").is_ok_and(|v| !matches!(v.as_str(), "" | "0" | "false")) {
        return Err(LoadError::MissingFile {
            model: id.into(),
            file: "config.json".into(),
            looked_in: format!("the hub's cache {place}"),
            hint: "HF_HUB_OFFLINE is set; unset it or fill the cache with `hf download` on a machine with a network"
                .into(),
        });
    }
    log::info!("fetching model {id} from {} into {place}", client.endpoint());
    let patterns = PATTERNS.map(String::from).to_vec();
    repository(&client, id)?.snapshot_download().allow_patterns(patterns).send().map_err(|source| LoadError::Fetch {
        model: id.into(),
        action: format!("fetching hub id {id} from {} (it is not in the cache {place})", client.endpoint()),
        hint: hint(&source),
        source: Box::new(source),
    })
}

fn client(id: &str) -> Result<HFClient, LoadError> {
    HFClient::builder().retry_max_attempts(2).build().map_err(|source| no_client(id, source))
}

fn repository(client: &HFClient, id: &str) -> Result<HFRepositorySync<RepoTypeModel>, LoadError> {
    let (owner, name) = id.split_once('/').unwrap_or(("", id));
    let client = HFClientSync::from_inner(client.clone()).map_err(|source| no_client(id, source))?;
    Ok(client.model(owner, name))
}

fn no_client(id: &str, source: HFError) -> LoadError {
    LoadError::Fetch {
        model: id.into(),
        action: "setting up the hub's client".into(),
        source: Box::new(source),
        hint: "look at HF_ENDPOINT, HF_HOME and HF_TOKEN".into(),
    }
}

fn hint(error: &HFError) -> String {
    match error {
        HFError::AuthRequired { .. } | HFError::Forbidden { .. } => {
            "set HF_TOKEN to a token that may read this repository, and accept its licence on the hub".into()
        }
        HFError::RepoNotFound { .. } => "look at the id's spelling; private repositories need HF_TOKEN".into(),
        _ => "is there a network? a folder, or a cache filled by `hf download` elsewhere, serves offline".into(),
    }
}

/// Whether a snapshot holds a configuration and all its weights.
fn is_whole(folder: &Path) -> bool {
    let shards = || -> Option<bool> {
        let text = std::fs::read(folder.join("model.safetensors.index.json")).ok()?;
        let index: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let map = index.get("weight_map")?.as_object()?;
        Some(map.values().all(|f| f.as_str().is_some_and(|f| folder.join(f).is_file())))
    };
    folder.join("config.json").is_file() && (folder.join("model.safetensors").is_file() || shards().unwrap_or(false))
}
