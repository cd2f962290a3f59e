//! Errors of reading that name the file.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use object_store::path::Path;
use tamis_udfs::shown;
use url::Url;

use crate::describe::describe;
use crate::stores::url_of;

/// What went wrong with a file.
#[derive(Debug)]
pub(crate) struct FileError {
    file: String,
    source: DataFusionError,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reading {}: {}", self.file, describe(&self.source).1)
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// The error of reading a file, with the file's name if it has none yet.
pub(super) fn in_file(file: &str, error: impl Into<DataFusionError>) -> DataFusionError {
    let source = error.into();
    let mut cause: Option<&(dyn Error + 'static)> = Some(&source);
    while let Some(error) = cause {
        if error.is::<FileError>() {
            return source;
        }
        cause = error.source();
    }
    DataFusionError::External(Box::new(FileError { file: file.to_string(), source }))
}

/// A file's name as a person writes it: a path, or the URL of its store with what follows.
pub(super) fn file_name(store: &ObjectStoreUrl, location: &Path) -> String {
    let origin: &Url = store.as_ref();
    match origin.scheme() {
        "file" => format!("/{location}"),
        "http" | "https" => shown::name(url_of(origin, location).as_str()).into_owned(),
        _ => format!("{}{location}", store.as_str()),
    }
}

/// Opens files as `inner` does; errors name them.
pub(super) fn name_opened(inner: Arc<dyn FileOpener>, store: &ObjectStoreUrl) -> Arc<dyn FileOpener> {
    Arc::new(NamedOpener { inner, store: store.clone() })
}

struct NamedOpener {
    inner: Arc<dyn FileOpener>,
    store: ObjectStoreUrl,
}

impl FileOpener for NamedOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let name = file_name(&self.store, &file.object_meta.location);
        let opened = self.inner.open(file).map_err(|e| in_file(&name, e))?;
        Ok(Box::pin(async move {
            let batches = opened.await.map_err(|e| in_file(&name, e))?;
            Ok(batches.map(move |batch| batch.map_err(|e| in_file(&name, e))).boxed())
        }))
    }
}

/// What knows more of an error than who met it.
pub(super) trait Explain: std::fmt::Debug + Send + Sync {
    /// The error to give in the place of one that was met in a file; `None`: that one.
    fn explain<'a>(
        &'a self,
        file: &'a PartitionedFile,
        error: &DataFusionError,
    ) -> BoxFuture<'a, Option<DataFusionError>>;
}

/// Reads files as `inner` does; errors name them.
pub(super) fn name_files(
    inner: Box<dyn Morselizer>,
    store: &ObjectStoreUrl,
    explain: Arc<dyn Explain>,
) -> Box<dyn Morselizer> {
    Box::new(NamedMorselizer { inner, store: store.clone(), explain })
}

#[derive(Debug)]
struct NamedMorselizer {
    inner: Box<dyn Morselizer>,
    store: ObjectStoreUrl,
    explain: Arc<dyn Explain>,
}

/// A file, for errors.
#[derive(Debug, Clone)]
struct Named {
    name: String,
    file: Arc<PartitionedFile>,
    explain: Arc<dyn Explain>,
}

impl Morselizer for NamedMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let name = file_name(&self.store, &file.object_meta.location);
        let named = Named { name, file: Arc::new(file.clone()), explain: Arc::clone(&self.explain) };
        let inner = self.inner.plan_file(file).map_err(|e| in_file(&named.name, e))?;
        Ok(Box::new(NamedPlanner { inner, named }))
    }
}

#[derive(Debug)]
struct NamedPlanner {
    inner: Box<dyn MorselPlanner>,
    named: Named,
}

impl NamedPlanner {
    fn over(inner: Box<dyn MorselPlanner>, named: &Named) -> Box<dyn MorselPlanner> {
        Box::new(Self { inner, named: named.clone() })
    }
}

impl MorselPlanner for NamedPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { inner, named } = *self;
        let Some(mut plan) = inner.plan().map_err(|e| in_file(&named.name, e))? else { return Ok(None) };
        let morsels = plan.take_morsels().into_iter();
        let morsels = morsels.map(|inner| Box::new(NamedMorsel { inner, named: named.clone() }) as Box<dyn Morsel>);
        let planners = plan.take_ready_planners().into_iter().map(|inner| Self::over(inner, &named)).collect();
        let mut whole = MorselPlan::new().with_morsels(morsels.collect()).with_planners(planners);
        if let Some(pending) = plan.take_pending_planner() {
            whole.set_pending_planner(async move {
                let inner = pending.into_future().await.map_err(|e| in_file(&named.name, e))?;
                Ok(Self::over(inner, &named))
            });
        }
        Ok(Some(whole))
    }
}

#[derive(Debug)]
struct NamedMorsel {
    inner: Box<dyn Morsel>,
    named: Named,
}

impl Morsel for NamedMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { inner, named } = *self;
        let named = Arc::new(named);
        let batches = inner.into_stream().then(move |batch| {
            let named = Arc::clone(&named);
            async move {
                let Err(error) = batch else { return batch };
                let explained = named.explain.explain(&named.file, &error).await;
                Err(in_file(&named.name, explained.unwrap_or(error)))
            }
        });
        batches.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_once() {
        let broken = || DataFusionError::Execution("it is broken".into());
        let named = in_file("/a/b.csv", broken());
        assert_eq!(describe(&named).1, "reading /a/b.csv: it is broken");
        let again = in_file("/c.csv", named.context("further out"));
        assert_eq!(describe(&again).1, "reading /a/b.csv: it is broken");
        assert!(matches!(again.find_root(), DataFusionError::Execution(_)));
    }

    #[test]
    fn names_are_paths_and_urls() {
        let s3 = ObjectStoreUrl::parse("s3://bucket").unwrap();
        assert_eq!(file_name(&s3, &Path::from("a/b.csv")), "s3://bucket/a/b.csv");
        assert_eq!(file_name(&ObjectStoreUrl::local_filesystem(), &Path::from("a/b.csv")), "/a/b.csv");
    }
}
