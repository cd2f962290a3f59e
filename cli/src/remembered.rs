//! Where the command's sessions remember scores.

use tamis_models::checkpoint::cache_folder;

/// The session option that says where.
const OPTION: &str = "tamis.cache.path";

/// Where they do unless `tamis.cache.path` says otherwise: `$XDG_CACHE_HOME/tamis/scores` or `~/.cache/tamis/scores`.
pub(crate) fn default_path() -> Option<String> {
    Some(cache_folder()?.join("scores").to_str()?.to_string())
}

/// The same as a session option, to stand in front of all that the user has said.
pub(crate) fn option() -> Option<(String, String)> {
    Some((OPTION.to_string(), default_path()?))
}
