//! Places: what a rule names, and what is asked for.

use std::ffi::OsString;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use object_store::path::Path as StorePath;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use url::{Position, Url};

const GLOB: [char; 5] = ['*', '?', '[', '{', '\\'];
const EXPECTED: &str = "expected an absolute path such as /data/shared, or a URL such as s3://bucket/folder/; all that lies below it is meant";

/// A place that a rule names, with all that lies below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    text: String,
    lies: Lies,
}

/// Where something lies.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lies {
    /// On this machine.
    Here(PathBuf),
    /// In a store or on a server: `scheme://authority`, and the parts of the path there.
    There { origin: String, parts: Vec<String> },
    /// On any server that is asked by this scheme.
    Anywhere(String),
}

impl Place {
    /// A place of a rule: an absolute path or a URL; `https://` and `http://` are all servers.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = |reason: &str| Err(format!("{text}: {reason}"));
        if text.contains(['*', '?']) {
            return refused(&format!("a place is no pattern; {EXPECTED}"));
        }
        Self::of(text).map_or_else(|| refused(EXPECTED), Ok)
    }

    fn of(text: &str) -> Option<Self> {
        let is_path = Path::new(text).is_absolute();
        let lies = match text.strip_suffix("://") {
            Some(scheme @ ("http" | "https")) => Lies::Anywhere(scheme.into()),
            _ if is_path || text.contains("://") => lies(text)?,
            _ => return None,
        };
        Some(Self { text: text.into(), lies })
    }

    /// The place where a table's files lie: those of a pattern in its folder.
    pub fn of_table(name: &str) -> Option<Self> {
        let text = folder_of_pattern(name);
        let lies = match lies(text)? {
            Lies::Here(path) => Lies::Here(std::path::absolute(path).ok()?),
            lies => lies,
        };
        let text = match &lies {
            Lies::Here(path) => path.to_str()?.to_string(),
            _ => text.to_string(),
        };
        Some(Self { text, lies })
    }

    /// The host of a web server where it lies.
    pub(super) fn web_host(&self) -> Option<String> {
        let url = Url::parse(&self.text).ok()?;
        let is_web = matches!(url.scheme(), "http" | "https");
        is_web.then(|| url.host_str().map(|host| host.trim_matches(['[', ']']).to_string())).flatten()
    }

    /// Whether what was asked for lies here, when links are followed.
    pub(super) fn holds(&self, asked: &Asked) -> bool {
        match (&self.lies, asked) {
            (Lies::Here(rule), Asked::Here(paths)) => {
                resolved(rule).is_some_and(|rule| paths.iter().all(|path| path.starts_with(&rule)))
            }
            (Lies::There { origin, parts }, Asked::There { origin: asked, parts: below, .. }) => {
                origin == asked && below.starts_with(parts)
            }
            (Lies::Anywhere(scheme), Asked::There { scheme: asked, .. }) => scheme == asked,
            _ => false,
        }
    }

    /// Whether a file that was found by the name of this place lies here, whatever links lead to it.
    pub(super) fn has(&self, found: &Location<'_>) -> bool {
        match (&self.lies, found) {
            (Lies::Here(rule), Location::Here(path)) => {
                path.starts_with(cleaned(rule)) || resolved(rule).is_some_and(|rule| path.starts_with(rule))
            }
            (_, Location::There(asked)) => self.holds(asked),
            _ => false,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::of(&text).ok_or(text)
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.text
    }
}

/// What a query asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A path, as all who may open it would follow it.
    Here(Vec<PathBuf>),
    /// A URL.
    There { scheme: String, origin: String, parts: Vec<String> },
}

impl Asked {
    /// What a name means that is no pattern; `None` if that cannot be told.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match lies(name)? {
            Lies::Here(path) => {
                // A table's URL has `..` taken out of it before any link is followed; the system follows links first.
                let mut paths = vec![resolved(&path)?];
                if path.components().any(|part| part == Component::ParentDir) {
                    paths.push(resolved(&cleaned(&std::path::absolute(&path).ok()?))?);
                }
                Self::Here(paths)
            }
            Lies::There { origin, parts } => {
                let scheme = origin.split_once("://")?.0.to_string();
                Self::There { scheme, origin, parts }
            }
            Lies::Anywhere(_) => return None,
        })
    }

    /// What a name means that may be a pattern: the folder of all that it may match.
    pub(super) fn of_pattern(name: &str) -> Option<Self> {
        let folder = folder_of_pattern(name);
        Self::of(if folder.is_empty() { "." } else { folder })
    }
}

/// Where a file lies that was found in a store.
#[derive(Debug)]
pub(super) enum Location<'a> {
    /// On this machine.
    Here(PathBuf),
    /// In a store or on a server.
    There(&'a Asked),
}

/// A file in a store: its path on this machine, or what it is asked by.
pub(super) fn located(store: &str, path: &str) -> Option<Result<PathBuf, Asked>> {
    let url = Url::parse(store).ok()?;
    if url.scheme() == "file" {
        let path = Path::new("/").join(path);
        return is_plain(path.to_str()?.split('/')).then_some(Ok(path));
    }
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(str::to_string).collect();
    let (scheme, origin) = (url.scheme().to_string(), url[..Position::BeforePath].to_string());
    is_plain(parts.iter().map(String::as_str)).then_some(Err(Asked::There { scheme, origin, parts }))
}

/// Where a name says that something lies, as those do who open it: an absolute path, else a URL, else a relative path.
fn lies(name: &str) -> Option<Lies> {
    if Path::new(name).is_absolute() {
        return Some(Lies::Here(name.into()));
    }
    if let Some(rest) = name.strip_prefix("~/") {
        return Some(Lies::Here(std::env::home_dir()?.join(rest)));
    }
    let url = match Url::parse(name) {
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) if !name.contains("://") => return Some(Lies::Here(name.into())),
        Err(_) => return None,
    };
    // What a URL's parser would take out of the path, it need not have.
    let after = name.split_once(':').map(|(_, rest)| rest).unwrap_or_default();
    let path = after.split(['?', '#']).next().unwrap_or_default();
    if path.split(['/', '\\']).any(is_dots) {
        return None;
    }
    if url.scheme() == "file" {
        return Some(Lies::Here(url.to_file_path().ok()?));
    }
    if !name.contains("://") || url.host_str().is_none_or(str::is_empty) {
        return None;
    }
    let origin = url[..Position::BeforePath].to_string();
    let parts = parts(&url)?;
    is_plain(parts.iter().map(String::as_str)).then_some(Lies::There { origin, parts })
}

/// The parts of a URL's path, as the store or the server reads them.
fn parts(url: &Url) -> Option<Vec<String>> {
    if !matches!(url.scheme(), "http" | "https") {
        let path = StorePath::from_url_path(url.path()).ok()?;
        return Some(path.parts().map(|part| part.as_ref().to_string()).collect());
    }
    // A path that begins with two slashes is another than one that begins with one.
    let path = url.path().strip_prefix('/').unwrap_or_default().trim_end_matches('/');
    if path.is_empty() {
        return Some(vec![]);
    }
    Some(path.split('/').map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect())
}

/// Whether no part of a path leads elsewhere.
fn is_plain<'a>(mut parts: impl Iterator<Item = &'a str>) -> bool {
    parts.all(|part| !part.split(['/', '\\']).any(is_dots))
}

/// Whether a part of a path is `.` or `..`, however it is written.
fn is_dots(part: &str) -> bool {
    let part = part.to_ascii_lowercase().replace("%2e", ".");
    part == "." || part == ".."
}

/// The folder of all that a pattern may match; what is no pattern, as it is.
fn folder_of_pattern(name: &str) -> &str {
    let is_http = name.starts_with("http://") || name.starts_with("https://");
    let start = name.find("://").map_or(0, |at| at + 3);
    match name.get(start..).and_then(|rest| rest.find(GLOB)).filter(|_| !is_http) {
        None => name,
        Some(special) => {
            let before = name.get(..start + special).unwrap_or_default();
            before.rfind('/').and_then(|slash| before.get(..=slash)).unwrap_or_default()
        }
    }
}

/// A path without its `.` and `..`, no link followed.
fn cleaned(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut cleaned, part| {
        match part {
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::CurDir => {}
            part => cleaned.push(part),
        }
        cleaned
    })
}

/// The path with all links followed, as far as it exists. `None` if where it leads cannot be told.
pub(super) fn resolved(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let mut missing: Vec<OsString> = vec![];
    let mut existing = path.as_path();
    loop {
        if let Ok(real) = existing.canonicalize() {
            return Some(missing.into_iter().rev().fold(real, |path, part| path.join(part)));
        }
        // A link to what is not there may lead anywhere.
        if existing.is_symlink() {
            return None;
        }
        missing.push(existing.file_name()?.to_os_string());
        existing = existing.parent()?;
    }
}
