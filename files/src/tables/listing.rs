//! The files of a table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::plan_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;

use super::format::{self, FileKind};
use super::location::{FilePattern, Files, TableLocation, is_hidden};
use super::named::in_file;
use crate::stores::location_of;

/// For so long a list of files is taken for right: a query asks for it several times, the next one sees what has come since.
const LISTED_FOR: Duration = Duration::from_secs(1);

/// The files of a table, in the order of their names, and what they are.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) kind: FileKind,
    pub(super) files: Arc<[ObjectMeta]>,
}

/// Lists a table's files, and remembers the list for a moment.
#[derive(Debug)]
pub(super) struct Listing {
    location: TableLocation,
    /// What all files are taken for, if it has been said.
    kind: Option<FileKind>,
    last: Mutex<Option<(Instant, Listed)>>,
}

impl Listing {
    /// Lists the files at `location`. Without a `kind` their names tell it.
    pub(super) fn new(location: TableLocation, kind: Option<FileKind>) -> Self {
        Self { location, kind, last: Mutex::default() }
    }

    /// Where the files lie.
    pub(super) fn location(&self) -> &TableLocation {
        &self.location
    }

    /// The files as they are now. That there are none is an error.
    pub(super) async fn files(&self, store: &dyn ObjectStore) -> Result<Listed> {
        self.files_if_any(store).await?.ok_or_else(|| self.nothing())
    }

    /// The files as they are now; `None`: there are none.
    pub(super) async fn files_if_any(&self, store: &dyn ObjectStore) -> Result<Option<Listed>> {
        if let Some((when, listed)) = self.last.lock().clone()
            && when.elapsed() < LISTED_FOR
        {
            return Ok(Some(listed));
        }
        let mut files = self.list(store).await?;
        // What has no bytes has no rows: object stores keep such files in the place of folders.
        if files.iter().any(|file| file.size > 0) {
            files.retain(|file| file.size > 0);
        }
        files.sort_by(|a, b| a.location.cmp(&b.location));
        if files.is_empty() {
            return Ok(None);
        }
        let (kind, files) = self.of_one_kind(files)?;
        let listed = Listed { kind, files: files.into() };
        *self.last.lock() = Some((Instant::now(), listed.clone()));
        Ok(Some(listed))
    }

    async fn list(&self, store: &dyn ObjectStore) -> Result<Vec<ObjectMeta>> {
        match self.location.files() {
            Files::Path(path) => match self.head(store, path).await? {
                Some(file) => Ok(vec![file]),
                None => self.folder(store, path).await,
            },
            Files::Folder(path) => self.folder(store, path).await,
            Files::Pattern { folder, pattern } => self.matching(store, folder, pattern).await,
            Files::Web(url) => Ok(self.head(store, &location_of(url)).await?.into_iter().collect()),
        }
    }

    async fn head(&self, store: &dyn ObjectStore, path: &Path) -> Result<Option<ObjectMeta>> {
        match store.head(path).await {
            Ok(file) => Ok(Some(file)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.refused(error)),
        }
    }

    async fn folder(&self, store: &dyn ObjectStore, folder: &Path) -> Result<Vec<ObjectMeta>> {
        let mut files = self.all_below(store, folder).await?;
        files.retain(|file| {
            let parts = file.location.prefix_match(folder);
            parts.is_some_and(|mut parts| !parts.any(|part| is_hidden(part.as_ref())))
        });
        Ok(files)
    }

    async fn matching(&self, store: &dyn ObjectStore, folder: &Path, pattern: &FilePattern) -> Result<Vec<ObjectMeta>> {
        let mut files = match pattern.is_flat() {
            true => self.in_folder(store, folder).await?,
            false => self.all_below(store, folder).await?,
        };
        files.retain(|file| {
            let parts = file.location.prefix_match(folder);
            parts.is_some_and(|parts| pattern.matches(parts.collect::<Path>().as_ref()))
        });
        Ok(files)
    }

    async fn in_folder(&self, store: &dyn ObjectStore, folder: &Path) -> Result<Vec<ObjectMeta>> {
        match store.list_with_delimiter(Some(folder)).await {
            Ok(listed) => Ok(listed.objects),
            Err(object_store::Error::NotFound { .. }) => Ok(vec![]),
            Err(error) => Err(self.refused(error)),
        }
    }

    async fn all_below(&self, store: &dyn ObjectStore, folder: &Path) -> Result<Vec<ObjectMeta>> {
        match store.list(Some(folder)).try_collect().await {
            Ok(files) => Ok(files),
            Err(object_store::Error::NotFound { .. }) => Ok(vec![]),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// The kind that all files of the table have, and those that have it.
    fn of_one_kind(&self, files: Vec<ObjectMeta>) -> Result<(FileKind, Vec<ObjectMeta>)> {
        let name = self.location.name();
        let Some(first) = files.first() else { return Err(self.nothing()) };
        let is_alone = files.len() == 1 && !matches!(self.location.files(), Files::Folder(_));
        if let Some(kind) = &self.kind {
            // Jobs write files without an extension.
            let is_meant = |file: &ObjectMeta| match kind_of(file) {
                Some(found) => found.is_same(kind),
                None => file.location.filename().is_none_or(|name| !name.contains('.')),
            };
            let (same, others): (Vec<_>, Vec<_>) = files.into_iter().partition(is_meant);
            return Ok((*kind, if same.is_empty() { others } else { same }));
        }
        let kinds: Vec<(FileKind, &ObjectMeta)> =
            files.iter().filter_map(|file| Some((kind_of(file)?, file))).collect();
        let Some((kind, example)) = kinds.first() else {
            return Err(plan_datafusion_err!(
                "cannot tell the format of {}; the extension must be one of {}, or CREATE EXTERNAL TABLE says what it is",
                if is_alone { name } else { first.location.as_ref() },
                format::KNOWN
            ));
        };
        // A README beside the data of a folder is left out; a pattern means every file that it matches.
        if matches!(self.location.files(), Files::Pattern { .. })
            && let Some(stranger) = files.iter().find(|file| kind_of(file).is_none())
        {
            return Err(plan_datafusion_err!(
                "{name} matches {}, which is not a table; the extension must be one of {}",
                stranger.location,
                format::KNOWN
            ));
        }
        if let Some((_, other)) = kinds.iter().find(|(other, _)| !other.is_same(kind)) {
            return Err(plan_datafusion_err!(
                "{name} holds files of different formats, such as {} and {}; name one format with a pattern",
                example.location,
                other.location
            ));
        }
        let kind = *kind;
        Ok((kind, files.into_iter().filter(|file| kind_of(file).is_some()).collect()))
    }

    fn nothing(&self) -> DataFusionError {
        let name = self.location.name();
        match self.location.files() {
            Files::Pattern { .. } => plan_datafusion_err!("no file matches {name}"),
            Files::Folder(path) if is_there(path, self.location.store().as_str()) => {
                plan_datafusion_err!("{name} is an empty folder")
            }
            _ => no_such(name),
        }
    }

    fn refused(&self, error: object_store::Error) -> DataFusionError {
        in_file(self.location.name(), error)
    }
}

fn kind_of(file: &ObjectMeta) -> Option<FileKind> {
    FileKind::of(&crate::stores::written_name(&file.location))
}

/// Whether a folder is there, as far as that can be told: an object store has none.
fn is_there(path: &Path, store: &str) -> bool {
    !store.starts_with("file:") || std::path::Path::new(&format!("/{path}")).is_dir()
}

fn no_such(name: &str) -> DataFusionError {
    plan_datafusion_err!("no such file or folder: {name}")
}
