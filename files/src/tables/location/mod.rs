//! What a table's name says: files on disk, in an object store or on a web server.

mod pattern;

use std::ffi::OsStr;
use std::path::{Component, PathBuf};

use datafusion::common::plan_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use object_store::path::Path;
use url::{Position, Url};

pub(super) use pattern::{FilePattern, is_hidden};
use pattern::{first_special, unescaped};

/// Where a table's files lie.
#[derive(Debug, Clone)]
pub(super) struct TableLocation {
    /// As it was written.
    name: String,
    store: ObjectStoreUrl,
    files: Files,
}

/// Which files of a store are meant.
#[derive(Debug, Clone)]
pub(super) enum Files {
    /// A file, or the files of a folder if there is no such file.
    Path(Path),
    /// The files of a folder and of the folders in it.
    Folder(Path),
    /// Those below a folder that a pattern matches.
    Pattern {
        /// What stands before the first special character.
        folder: Path,
        /// Of paths from there.
        pattern: FilePattern,
    },
    /// What a web server answers at this URL.
    Web(Url),
}

impl TableLocation {
    /// Parses a path or URL, with a pattern in it if its store can list.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let (store, files) = match name.split_once("://") {
            None => (ObjectStoreUrl::local_filesystem(), local(name)?),
            Some(("file", _)) => {
                let url = parsed(name)?;
                let path = url.to_file_path().map_err(|()| plan_datafusion_err!("{name} names another host"))?;
                (ObjectStoreUrl::local_filesystem(), local(&path.to_string_lossy())?)
            }
            Some(("http" | "https", _)) => {
                let url = parsed(name)?;
                (ObjectStoreUrl::parse(&url[..Position::BeforePath])?, Files::Web(url))
            }
            Some((scheme, rest)) => in_store(name, scheme, rest)?,
        };
        Ok(Self { name: name.to_string(), store, files })
    }

    /// The location as it was written.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The store that the files lie in.
    pub(super) fn store(&self) -> &ObjectStoreUrl {
        &self.store
    }

    /// Which files are meant.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// The folder below which names such as `year=2024` are values of columns. In a pattern all that are written count.
    pub(super) fn partitions_below(&self) -> Path {
        match &self.files {
            Files::Path(path) | Files::Folder(path) => path.clone(),
            Files::Pattern { folder, .. } => {
                folder.parts().take_while(|part| !part.as_ref().contains('=')).collect::<Path>()
            }
            Files::Web(_) => Path::default(),
        }
    }
}

fn parsed(name: &str) -> Result<Url> {
    Url::parse(name).map_err(|e| plan_datafusion_err!("{name} is not a URL: {e}"))
}

/// Files on this machine's disks.
fn local(name: &str) -> Result<Files> {
    let written = expand_home(name);
    // What is there by this very name is meant, whatever characters it has.
    let special = if std::path::Path::new(&written).exists() { None } else { first_special(&written) };
    match special.map(|special| written[..special].rfind('/').map_or(0, |slash| slash + 1)) {
        Some(start) => {
            let folder = if start == 0 { ".".to_string() } else { unescaped(&written[..start]) };
            Ok(Files::Pattern { folder: local_path(&folder)?, pattern: FilePattern::parse(&written[start..])? })
        }
        None => {
            let plain = if std::path::Path::new(&written).exists() { written } else { unescaped(&written) };
            let path = local_path(&plain)?;
            let is_folder = plain.ends_with('/') || std::path::Path::new(&plain).is_dir();
            Ok(if is_folder { Files::Folder(path) } else { Files::Path(path) })
        }
    }
}

/// The path as the store of local files has it: absolute, without `..`.
fn local_path(name: &str) -> Result<Path> {
    let refused = |e: &dyn std::fmt::Display| plan_datafusion_err!("{name} is not a path that can be read: {e}");
    let absolute = std::path::absolute(name).map_err(|e| refused(&e))?;
    let back = absolute.components().filter(|part| *part == Component::ParentDir).count();
    let absolute = if back == 0 { absolute } else { without_parents(absolute).map_err(|e| refused(&e))? };
    Path::from_absolute_path(absolute).map_err(|e| refused(&e))
}

/// `a/../b` as the system understands it: links are followed before `..` is.
fn without_parents(path: PathBuf) -> std::io::Result<PathBuf> {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                resolved = resolved.canonicalize()?;
                resolved.pop();
            }
            other => resolved.push(AsRef::<OsStr>::as_ref(&other)),
        }
    }
    Ok(resolved)
}

/// Objects of a store that can list.
fn in_store(name: &str, scheme: &str, rest: &str) -> Result<(ObjectStoreUrl, Files)> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if first_special(bucket).is_some() {
        return Err(plan_datafusion_err!("{name}: the bucket's name cannot be a pattern"));
    }
    let store = ObjectStoreUrl::parse(format!("{scheme}://{bucket}"))?;
    let path = |key: &str| Path::from_url_path(key).map_err(|e| DataFusionError::from(object_store::Error::from(e)));
    let files = match first_special(key).map(|special| key[..special].rfind('/').map_or(0, |slash| slash + 1)) {
        Some(start) => {
            Files::Pattern { folder: path(&unescaped(&key[..start]))?, pattern: FilePattern::parse(&key[start..])? }
        }
        None if key.is_empty() || key.ends_with('/') => Files::Folder(path(&unescaped(key))?),
        None => Files::Path(path(&unescaped(key))?),
    };
    Ok((store, files))
}

/// Whether a table's name is meant as a file: `FROM captions` is a table that was not found, `FROM 'captions.parquet'`
/// is a file that does not exist.
pub fn looks_like_a_file(name: &str) -> bool {
    is_written_as_a_file(name) || std::path::Path::new(name).exists()
}

/// Whether a table's name is meant as a file, whatever files there are.
pub(super) fn is_written_as_a_file(name: &str) -> bool {
    name.contains(['/', '.', '*', '?', '~'])
}

fn expand_home(path: &str) -> String {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest).to_string_lossy().into_owned(),
        _ => path.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(name: &str) -> (String, FilePattern) {
        match TableLocation::parse(name).unwrap().files {
            Files::Pattern { folder, pattern } => (folder.to_string(), pattern),
            other => panic!("{name} is {other:?}"),
        }
    }

    #[test]
    fn patterns_begin_behind_their_folder() {
        let (folder, pattern_) = pattern("s3://bucket/a/b-*/part-?.parquet");
        assert_eq!(folder, "a");
        assert!(pattern_.matches("b-1/part-2.parquet"));
        assert_eq!(TableLocation::parse("s3://bucket/a/b*").unwrap().store().as_str(), "s3://bucket/");
        assert!(matches!(TableLocation::parse("s3://bucket/a/x.parquet").unwrap().files, Files::Path(_)));
        assert!(matches!(TableLocation::parse("s3://bucket").unwrap().files, Files::Folder(_)));
        assert!(TableLocation::parse("s3://buck*/x").is_err());
    }

    #[test]
    fn urls_of_web_servers_are_kept_as_they_are() {
        let written = "https://host/a//b%2Fc.parquet?download=1&x=*";
        match TableLocation::parse(written).unwrap().files {
            Files::Web(url) => assert_eq!(url.as_str(), written),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_may_be_called_like_a_pattern() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("a[1].csv").display().to_string();
        assert!(matches!(TableLocation::parse(&name).unwrap().files, Files::Pattern { .. }));
        std::fs::write(&name, "x\n1\n").unwrap();
        assert!(matches!(TableLocation::parse(&name).unwrap().files, Files::Path(_)));
        assert!(matches!(TableLocation::parse(&name.replace('[', "\\[")).unwrap().files, Files::Path(_)));
        assert!(matches!(TableLocation::parse(folder.path().to_str().unwrap()).unwrap().files, Files::Folder(_)));
    }

    #[test]
    fn parents_are_followed_as_the_system_does() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("a/b")).unwrap();
        let path = local_path(&base.join("a/b/../c.csv").display().to_string()).unwrap();
        assert_eq!(format!("/{path}"), base.join("a/c.csv").display().to_string());
    }

    #[test]
    fn partitions_are_looked_for_from_the_first_that_is_written() {
        let below = |name: &str| TableLocation::parse(name).unwrap().partitions_below().to_string();
        assert_eq!(below("s3://b/data/year=2024/*/x.csv"), "data");
        assert_eq!(below("s3://b/data/year=2024/"), "data/year=2024");
    }

    #[test]
    fn bare_words_are_table_names() {
        assert!(!looks_like_a_file("no_such_table"));
        assert!(looks_like_a_file("a.csv") && looks_like_a_file("s3://b/x") && looks_like_a_file("*"));
    }
}
