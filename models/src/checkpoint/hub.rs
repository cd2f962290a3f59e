//! Checkpoints on a Hugging Face hub, through hf-hub, in the cache that Hugging Face's own libraries share.
//!
//! The environment says where: `HF_HUB_CACHE`, `HF_HOME`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`.

use std::cmp::Reverse;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use hf_hub::api::tokio::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use super::blocking::block_on;
use crate::LoadError;

/// What of a repository a model is made of, in the order in which it is fetched.
const EXTENSIONS: [&str; 3] = ["json", "txt", "safetensors"];
/// How often a download is tried. What has come of it is kept from one time to the next.
const ATTEMPTS: u32 = 8;
/// How long the second one waits ...
const WAIT: Duration = Duration::from_millis(500);
/// ... and the last ones; in between each waits twice as long as the one before.
const LONGEST_WAIT: Duration = Duration::from_secs(16);

/// The folder of a repository's main revision in the local cache, if it is there whole. Asks no network.
pub(super) fn cached(id: &str) -> Option<PathBuf> {
    let config = cache().and_then(|cache| cache.model(id.to_string()).get("config.json"));
    config.and_then(|config| Some(config.parent()?.to_path_buf())).filter(|folder| is_whole(folder))
}

/// The folder of a repository's main revision, from the cache or else downloaded into it.
pub(super) fn fetch(id: &str) -> Result<PathBuf, LoadError> {
    if let Some(folder) = cached(id) {
        return Ok(folder);
    }
    let cache = cache().ok_or_else(|| LoadError::Fetch {
        model: id.into(),
        action: "finding the hub's cache".into(),
        source: "neither HF_HUB_CACHE, HF_HOME nor a home directory is known".into(),
        hint: "set HF_HOME to a folder".into(),
    })?;
    let place = cache.path().display().to_string();
    if variable("HF_HUB_OFFLINE").is_some_and(|v| !matches!(v.as_str(), "0" | "false")) {
        return Err(LoadError::MissingFile {
            model: id.into(),
            file: "config.json".into(),
            looked_in: format!("the hub's cache {place}"),
            hint: "HF_HUB_OFFLINE is set; unset it or fill the cache with `hf download` on a machine with a network"
                .into(),
        });
    }
    let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
    let endpoint = endpoint.trim_end_matches('/');
    log::info!("fetching model {id} from {endpoint} into {place}");
    let failed = |doing: &str, source: Box<dyn std::error::Error + Send + Sync>| {
        let hint = hint(source.downcast_ref());
        let action = format!("{doing} hub id {id} from {endpoint} (it is not in the cache {place})");
        LoadError::Fetch { model: id.into(), action, hint, source }
    };
    let attempt = || {
        let builder = ApiBuilder::from_cache(cache.clone()).with_progress(false).with_endpoint(endpoint.into());
        let api = builder.with_token(token()).build().map_err(|e| failed("setting up a client for", e.into()))?;
        // Each attempt has a runtime of its own: with it end the parts of files that are still on their way.
        block_on(async { Ok(download(&api, &cache, id).await) }, |source| failed("fetching", source))
    };
    let mut wait = WAIT;
    let mut attempts = 1;
    let mut is_waiting = false;
    loop {
        match attempt()? {
            // Another process downloads the same file; that may take as long as it takes. Each attempt has waited five seconds.
            Err(ApiError::LockAcquisition(lock)) => {
                if !is_waiting {
                    log::info!(
                        "fetching model {id}: waiting for another process that downloads it ({})",
                        lock.display()
                    );
                }
                is_waiting = true;
            }
            Err(error) if attempts < most_attempts(&error) => {
                log::info!("fetching model {id}: {error}; trying again");
                std::thread::sleep(wait);
                wait = (wait * 2).min(LONGEST_WAIT);
                attempts += 1;
            }
            done => return done.map_err(|e| failed("fetching", e.into())),
        }
    }
}

/// Brings all files of the main revision into the cache, and then notes there which revision that is.
async fn download(api: &Api, cache: &Cache, id: &str) -> Result<PathBuf, ApiError> {
    let info = api.model(id.to_string()).info().await?;
    if !info.sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(std::io::Error::other(format!("the hub names a revision {:?}", info.sha)).into());
    }
    // Files of one revision, though the main one may change meanwhile.
    let revision = api.repo(Repo::with_revision(id.to_string(), RepoType::Model, info.sha.clone()));
    let mut files: Vec<String> = info.siblings.into_iter().map(|file| file.rfilename).collect();
    files.retain(|file| kind(file).is_some());
    // Weights last, and last of all those of the repository's own folder: where they are, the rest is.
    files.sort_by_key(|file| (kind(file), Reverse(file.matches('/').count())));
    for file in &files {
        match revision.get(file).await {
            // No part of it can be asked for: it is empty.
            Err(ApiError::RequestError(error)) if error.status().is_some_and(|status| status.as_u16() == 416) => {}
            got => drop(got?),
        }
    }
    let main = cache.model(id.to_string());
    main.create_ref(&info.sha)?;
    Ok(main.pointer_path(&info.sha))
}

/// How often it is tried after such a failure: often if it may be one of the network or of a server that is busy.
fn most_attempts(error: &ApiError) -> u32 {
    match error {
        // There may be no network at all.
        ApiError::RequestError(error) if error.is_connect() => 2,
        ApiError::RequestError(error) => {
            let may_pass = error.status().is_none_or(|status| status.is_server_error() || status.as_u16() == 429);
            if may_pass { ATTEMPTS } else { 1 }
        }
        // What stands where a part of the file should is a server's excuse.
        ApiError::MissingHeader(_) => ATTEMPTS,
        _ => 1,
    }
}

/// The place in [`EXTENSIONS`] of a file that a model may need. A name comes from the network: it stays below its folder.
fn kind(file: &str) -> Option<usize> {
    let path = Path::new(file);
    let is_below = path.components().all(|part| matches!(part, Component::Normal(_)));
    let extension = path.extension()?;
    EXTENSIONS.iter().position(|known| is_below && extension == *known)
}

/// A variable of the environment that is there and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Hugging Face's own folder.
fn home() -> Option<PathBuf> {
    let cache = || variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cache")));
    variable("HF_HOME").map(PathBuf::from).or_else(|| Some(cache()?.join("huggingface")))
}

fn cache() -> Option<Cache> {
    let named = variable("HF_HUB_CACHE").map(PathBuf::from);
    named.or_else(|| Some(home()?.join("hub"))).map(Cache::new)
}

fn token() -> Option<String> {
    let file = || {
        std::fs::read_to_string(variable("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(home()?.join("token")))?)
            .ok()
    };
    let token = variable("HF_TOKEN").or_else(file)?;
    Some(token.trim().to_string()).filter(|token| !token.is_empty())
}

fn hint(error: Option<&ApiError>) -> String {
    let status = match error {
        Some(ApiError::RequestError(error)) => error.status().map(|status| status.as_u16()),
        _ => None,
    };
    match status {
        Some(401 | 403) => {
            "look at the id's spelling; a private or gated repository needs HF_TOKEN, a token that may read it, and its \
             licence accepted on the hub"
                .into()
        }
        Some(404) => "look at the id's spelling; private repositories need HF_TOKEN".into(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_model_below_its_folder_are_fetched() {
        assert_eq!(kind("config.json"), Some(0));
        assert_eq!(kind("tower/model.safetensors"), Some(2));
        for file in ["pytorch_model.bin", "README.md", "../x.json", "/etc/x.json", "a/../../x.txt", "json"] {
            assert_eq!(kind(file), None, "{file}");
        }
    }
}
