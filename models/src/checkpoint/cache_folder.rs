//! Where this user's caches lie.

use std::path::PathBuf;

/// The folder for what can be made again: `$XDG_CACHE_HOME/tamis`, or `~/.cache/tamis`. `None` if neither is known.
pub fn cache_folder() -> Option<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()) {
        Some(base) => PathBuf::from(base),
        None => std::env::home_dir()?.join(".cache"),
    };
    Some(base.join("tamis"))
}
