//! Checkpoints in object stores: fetched once into a local cache, looked at again by ETag.

use std::path::{Path as FsPath, PathBuf};

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, parse_url_opts};
use tokio::io::AsyncWriteExt;
use url::Url;

use super::blocking::block_on;
use super::{PREPARATION, cache_folder};
use crate::LoadError;

const INDEX: &str = "model.safetensors.index.json";
const WEIGHTS: &str = "model.safetensors";

/// The local folder of the checkpoint at `url`, fetched or brought up to date.
/// It blocks.
pub(super) fn fetch(url: &Url) -> Result<PathBuf, LoadError> {
    let fail = |action: &str, source: Box<dyn std::error::Error + Send + Sync>| LoadError::Fetch {
        model: url.to_string(),
        action: action.to_string(),
        source,
        hint: "look at the URL and at the store's environment variables (AWS_*, GOOGLE_*, AZURE_*)".into(),
    };
    let work = async {
        // A URL that says http means it; the store would refuse it otherwise.
        let plain = (url.scheme() == "http").then(|| ("allow_http".to_string(), "true".to_string()));
        let options = std::env::vars().map(|(k, v)| (k.to_ascii_lowercase(), v)).chain(plain);
        let (store, base) = parse_url_opts(url, options).map_err(|e| fail("opening the store", e.into()))?;
        let folder = folder_of(url).ok_or_else(|| {
            fail("finding a cache folder", "neither XDG_CACHE_HOME nor a home directory is known".into())
        })?;
        let fetcher = Fetcher { store, folder: folder.clone() };
        fetcher.checkpoint(&base).await.map_err(|(action, source)| fail(&action, source))?;
        Ok(folder)
    };
    block_on(work, |source| fail("fetching", source))
}

/// The local folder of the checkpoint at `url` if it was fetched before. Asks no network: it may be out of date.
pub(super) fn cached(url: &Url) -> Option<PathBuf> {
    folder_of(url).filter(|folder| folder.join("config.json").is_file())
}

fn folder_of(url: &Url) -> Option<PathBuf> {
    let name = blake3::hash(url.as_str().trim_end_matches('/').as_bytes()).to_hex();
    Some(cache_folder()?.join("models").join(&name.as_str()[..16]))
}

type Failure = (String, Box<dyn std::error::Error + Send + Sync>);

struct Fetcher {
    store: Box<dyn ObjectStore>,
    folder: PathBuf,
}

impl Fetcher {
    /// The model's own files, then its vision tower's if that lies below them.
    async fn checkpoint(&self, base: &Path) -> Result<(), Failure> {
        if !self.file(base, "config.json").await? {
            let source = format!("no {base}/config.json there").into();
            return Err(("fetching config.json".into(), source));
        }
        self.model(base, "").await?;
        let config = std::fs::read(self.folder.join("config.json")).unwrap_or_default();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
        let Some(tower) = config.get("mm_vision_tower").and_then(|t| t.as_str()) else { return Ok(()) };
        let last = tower.rsplit('/').next().unwrap_or(tower);
        if self.file(base, &format!("{last}/config.json")).await? {
            self.model(base, &format!("{last}/")).await?;
        }
        Ok(())
    }

    async fn model(&self, base: &Path, prefix: &str) -> Result<(), Failure> {
        for name in std::iter::once(INDEX).chain(PREPARATION) {
            self.file(base, &format!("{prefix}{name}")).await?;
        }
        let index = std::fs::read(self.folder.join(prefix).join(INDEX)).unwrap_or_default();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap_or_default();
        let mut shards: Vec<&str> = index
            .get("weight_map")
            .and_then(|m| m.as_object())
            .into_iter()
            .flatten()
            .filter_map(|(_, f)| f.as_str())
            .collect();
        shards.sort_unstable();
        shards.dedup();
        if shards.is_empty() {
            shards.push(WEIGHTS);
        }
        // A shard's name comes from the network: only a plain file name may become a path here.
        for name in shards.into_iter().filter(|n| !n.contains(['/', '\\'])) {
            self.file(base, &format!("{prefix}{name}")).await?;
        }
        Ok(())
    }

    /// Brings one file up to date; whether it exists in the store.
    async fn file(&self, base: &Path, name: &str) -> Result<bool, Failure> {
        let fail = |e: Box<dyn std::error::Error + Send + Sync>| (format!("fetching {name}"), e);
        let target = self.folder.join(name);
        let path = name.split('/').fold(base.clone(), |p, part| p.join(part));
        let got = match self.store.get(&path).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => {
                remove(&target).map_err(|e| fail(e.into()))?;
                return Ok(false);
            }
            Err(e) => return Err(fail(e.into())),
        };
        let stamp = format!("{} {:?} {}", got.meta.size, got.meta.e_tag, got.meta.last_modified);
        let stamp_file = self.folder.join(format!("{name}.stamp"));
        if target.is_file() && std::fs::read_to_string(&stamp_file).is_ok_and(|s| s == stamp) {
            return Ok(true);
        }
        let io = |e: std::io::Error| fail(e.into());
        tokio::fs::create_dir_all(target.parent().unwrap_or(&self.folder)).await.map_err(io)?;
        let part = self.folder.join(format!("{name}.part-{}", std::process::id()));
        let mut out = tokio::fs::File::create(&part).await.map_err(io)?;
        let mut stream = got.into_stream();
        while let Some(chunk) = futures::StreamExt::next(&mut stream).await {
            let chunk = chunk.map_err(|e| fail(e.into()))?;
            out.write_all(&chunk).await.map_err(io)?;
        }
        out.sync_all().await.map_err(io)?;
        tokio::fs::rename(&part, &target).await.map_err(io)?;
        tokio::fs::write(&stamp_file, stamp).await.map_err(io)?;
        Ok(true)
    }
}

fn remove(path: &FsPath) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
