//! Where a cache lies: a folder or a prefix in an object store, through one interface.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datafusion::arrow::buffer::Buffer;
use futures::TryStreamExt;
use memmap2::Mmap;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig};
use url::Url;

use super::error::CacheError;
use super::name::{SegmentName, VERSION, is_model_folder};

/// The option's value that remembers nothing.
const OFF: &str = "off";

/// One request to a store may take so long, retries included: others wait behind it.
const REQUEST: Duration = Duration::from_secs(30);

/// A folder or a prefix in an object store that holds a cache.
#[derive(Debug, Clone)]
pub struct Place {
    name: String,
    store: Arc<dyn ObjectStore>,
    base: Path,
    folder: Option<PathBuf>,
}

/// A segment that a listing has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) model: String,
    pub(super) name: SegmentName,
    pub(super) bytes: u64,
}

impl Place {
    /// Reads what a user has given as `tamis.cache.path`; `None` for `off`. Nothing is made or asked yet.
    pub fn parse(text: &str) -> Result<Option<Self>, CacheError> {
        if text.eq_ignore_ascii_case(OFF) {
            return Ok(None);
        }
        let refused = |reason: String| CacheError::Place { place: text.to_string(), reason };
        let url = match text.contains("://") {
            true => Some(Url::parse(text).map_err(|e| refused(e.to_string()))?),
            false => None,
        };
        let folder = match &url {
            None => home(text),
            Some(url) if url.scheme() == "file" => {
                url.to_file_path().map_err(|()| refused("not a folder's URL".into()))?
            }
            Some(url) => return Self::remote(text, url).map(Some),
        };
        let folder = resolved(&folder).map_err(|e| refused(e.to_string()))?;
        let base = Path::from_absolute_path(&folder).map_err(|e| refused(e.to_string()))?;
        let name = folder.display().to_string();
        Ok(Some(Self { name, store: Arc::new(LocalFileSystem::new()), base, folder: Some(folder) }))
    }

    fn remote(text: &str, url: &Url) -> Result<Self, CacheError> {
        let refused = |reason: String| CacheError::Place { place: text.to_string(), reason };
        let made = |source: object_store::Error| refused(source.to_string());
        if url.host_str().is_none_or(str::is_empty) {
            return Err(refused("it names no bucket".into()));
        }
        let store = open_store(url).ok_or_else(|| refused(format!("{}:// cannot hold a cache", url.scheme())))?;
        let store = store.map_err(made)?;
        let (_, base) = object_store::ObjectStoreScheme::parse(url).map_err(|e| refused(e.to_string()))?;
        Ok(Self { name: text.trim_end_matches('/').to_string(), store, base, folder: None })
    }

    /// The place in full: an absolute path or a URL.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a folder of this machine.
    pub(super) fn is_local(&self) -> bool {
        self.folder.is_some()
    }

    /// The segments of one model, or of all.
    pub(super) async fn list(&self, model: Option<&str>) -> Result<Vec<Listed>, CacheError> {
        let mut base = self.base.clone().join(VERSION);
        if let Some(model) = model {
            base = base.join(model);
        }
        let found: Vec<ObjectMeta> = self.wait("listing", self.store.list(Some(&base)).try_collect()).await?;
        Ok(found.iter().filter_map(|meta| self.listed(meta)).collect())
    }

    fn listed(&self, meta: &ObjectMeta) -> Option<Listed> {
        let mut parts = meta.location.prefix_match(&self.base)?;
        let (_version, model, file) = (parts.next()?, parts.next()?, parts.next()?);
        let is_ours = is_model_folder(model.as_ref()) && parts.next().is_none();
        let name = SegmentName::parse(file.as_ref())?;
        is_ours.then(|| Listed { model: model.as_ref().to_string(), name, bytes: meta.size })
    }

    /// A segment's content: mapped into memory if it is a file, fetched otherwise.
    pub(super) async fn read(&self, model: &str, name: &SegmentName) -> Result<Buffer, CacheError> {
        let Some(path) = self.file(model, name) else {
            let path = self.path(model, name);
            let content = async { self.store.get(&path).await?.bytes().await };
            return Ok(Buffer::from(self.wait("reading a segment", content).await?));
        };
        map(&path).map_err(|source| CacheError::Read { path, source })
    }

    /// The last bytes of a segment, and its size.
    pub(super) async fn read_tail(&self, segment: &Listed, most: u64) -> Result<Bytes, CacheError> {
        // A store refuses a range of nothing.
        if segment.bytes == 0 {
            return Ok(Bytes::new());
        }
        let path = self.path(&segment.model, &segment.name);
        let range = segment.bytes.saturating_sub(most)..segment.bytes;
        self.wait("reading a segment", self.store.get_range(&path, range)).await
    }

    /// Writes a segment: it appears whole under its name or not at all.
    pub(super) async fn write(&self, model: &str, name: &SegmentName, content: Bytes) -> Result<(), CacheError> {
        let path = self.path(model, name);
        self.wait("writing a segment", self.store.put(&path, content.into())).await.map(drop)
    }

    /// Removes a segment; one that is gone already is no error.
    pub(super) async fn remove(&self, model: &str, name: &SegmentName) -> Result<(), CacheError> {
        match self.wait("removing a segment", self.store.delete(&self.path(model, name))).await {
            Err(error) if error.is_gone() => Ok(()),
            other => other,
        }
    }

    /// Removes what writers that were killed have left beside the segments, and folders that are empty. In a store there
    /// is neither.
    pub(super) fn tidy(&self, is_stale: impl Fn(Duration) -> bool) {
        let Some(folder) = &self.folder else { return };
        let version = folder.join(VERSION);
        let Ok(models) = std::fs::read_dir(&version) else { return };
        for model in models.flatten().filter(|m| m.file_name().to_str().is_some_and(is_model_folder)) {
            for file in std::fs::read_dir(model.path()).into_iter().flatten().flatten() {
                let name = file.file_name();
                let staged = name.to_str().and_then(|n| n.rsplit_once('#')).and_then(|(n, _)| SegmentName::parse(n));
                let age = file.metadata().and_then(|m| m.modified()).map(|time| time.elapsed().unwrap_or_default());
                if staged.is_some() && age.is_ok_and(&is_stale) {
                    // Should it fail, the next one to tidy tries again.
                    let _ = std::fs::remove_file(file.path());
                }
            }
            // Fails for a folder that is not empty, as it should.
            let _ = std::fs::remove_dir(model.path());
        }
        let _ = std::fs::remove_dir(version);
    }

    fn path(&self, model: &str, name: &SegmentName) -> Path {
        self.base.clone().join(VERSION).join(model).join(name.to_string())
    }

    fn file(&self, model: &str, name: &SegmentName) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(VERSION).join(model).join(name.to_string()))
    }

    async fn wait<T>(
        &self,
        action: &'static str,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, CacheError> {
        match tokio::time::timeout(REQUEST, request).await {
            Ok(result) => result.map_err(|source| CacheError::Store { place: self.name.clone(), action, source }),
            Err(_) => Err(CacheError::Slow { place: self.name.clone(), action, seconds: REQUEST.as_secs() }),
        }
    }
}

#[expect(unsafe_code, reason = "mapping a file is what makes a lookup read a few pages and not the file")]
fn map(path: &std::path::Path) -> std::io::Result<Buffer> {
    let file = std::fs::File::open(path)?;
    // SAFETY: the mapping is read only, and segments are never changed in place: they are written under another name and
    // renamed, and a file that is removed stays until its last mapping goes. Who truncates one by hand makes readers fault.
    let map = unsafe { Mmap::map(&file)? };
    Ok(Buffer::from(Bytes::from_owner(map)))
}

/// The folder without links and dots, as far as it exists: it has one name before and after it is made.
fn resolved(folder: &std::path::Path) -> std::io::Result<PathBuf> {
    let absolute = std::path::absolute(folder)?;
    for above in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), absolute.strip_prefix(above)) {
            return Ok(real.components().chain(rest.components()).collect());
        }
    }
    Ok(absolute)
}

fn home(text: &str) -> PathBuf {
    match text.strip_prefix("~/").zip(std::env::home_dir()) {
        Some((rest, home)) => home.join(rest),
        None => PathBuf::from(text),
    }
}

/// The store of a URL, configured by the environment. `None` if the scheme is none that can list and overwrite.
///
/// Retries are few: a cache that does not answer must not hold up the query that asks it.
fn open_store(url: &Url) -> Option<object_store::Result<Arc<dyn ObjectStore>>> {
    let retry = RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(10), ..RetryConfig::default() };
    let (timeout, connect) = (ClientConfigKey::Timeout, ClientConfigKey::ConnectTimeout);
    Some(match url.scheme() {
        "s3" | "s3a" => AmazonS3Builder::from_env()
            .with_url(url.as_str())
            .with_config(AmazonS3ConfigKey::Client(timeout), "30 seconds")
            .with_config(AmazonS3ConfigKey::Client(connect), "5 seconds")
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as _),
        "gs" | "gcs" => GoogleCloudStorageBuilder::from_env()
            .with_url(url.as_str())
            .with_config(GoogleConfigKey::Client(timeout), "30 seconds")
            .with_config(GoogleConfigKey::Client(connect), "5 seconds")
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as _),
        "az" | "azure" | "adl" | "abfs" | "abfss" => MicrosoftAzureBuilder::from_env()
            .with_url(url.as_str())
            .with_config(AzureConfigKey::Client(timeout), "30 seconds")
            .with_config(AzureConfigKey::Client(connect), "5 seconds")
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as _),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn places_are_told_apart() {
        assert!(Place::parse("off").unwrap().is_none() && Place::parse("OFF").unwrap().is_none());
        assert!(Place::parse("some/folder").unwrap().unwrap().is_local());
        assert_eq!(Place::parse("file:///tmp").unwrap().unwrap().name(), "/tmp");
        assert!(!Place::parse("gs://bucket/scores/").unwrap().unwrap().is_local());
        for refused in ["https://host/x", "ftp://host/x", "s3://"] {
            let error = Place::parse(refused).unwrap_err().to_string();
            assert!(error.contains(refused), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_listed_and_read_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        // A name that a URL has to encode, and that does not exist yet.
        let path = folder.path().join("a b%20ü#1").join("scores");
        let place = Place::parse(path.to_str().unwrap()).unwrap().unwrap();
        let model = "0123456789abcdef0123456789abcdef";
        let name = SegmentName::new(7, b"content");
        runtime().block_on(async {
            assert_eq!(place.list(None).await.unwrap(), []);
            assert!(place.read(model, &name).await.unwrap_err().is_gone());
            place.write(model, &name, Bytes::from_static(b"content")).await.unwrap();
            std::fs::write(path.join("v1/README.md"), "foreign").unwrap();
            std::fs::write(path.join("v1").join(model).join("foreign.arrow"), "foreign").unwrap();
            let listed = place.list(Some(model)).await.unwrap();
            assert_eq!(listed, [Listed { model: model.into(), name: name.clone(), bytes: 7 }]);
            assert_eq!(place.list(None).await.unwrap(), listed);
            assert_eq!(place.read(model, &name).await.unwrap().as_slice(), b"content");
            assert_eq!(place.read_tail(&listed[0], 3).await.unwrap(), "ent");
            place.remove(model, &name).await.unwrap();
            place.remove(model, &name).await.unwrap();
            assert_eq!(place.list(None).await.unwrap(), []);
        });
    }

    #[test]
    fn tidying_removes_what_a_killed_writer_left_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::parse(folder.path().to_str().unwrap()).unwrap().unwrap();
        let model = folder.path().join("v1/0123456789abcdef0123456789abcdef");
        std::fs::create_dir_all(&model).unwrap();
        let name = SegmentName::new(7, b"content").to_string();
        let kept = [model.join(&name), model.join("notes#1"), folder.path().join(format!("{name}#1"))];
        for path in kept.iter().chain([&model.join(format!("{name}#1"))]) {
            std::fs::write(path, "x").unwrap();
        }
        place.tidy(|_| false);
        assert!(model.join(format!("{name}#1")).exists());
        place.tidy(|_| true);
        assert!(!model.join(format!("{name}#1")).exists());
        assert!(kept.iter().all(|path| path.exists()));
    }
}
