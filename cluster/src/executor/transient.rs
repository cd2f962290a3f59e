//! Which errors may be gone at the next attempt.

use std::error::Error;
use std::io;

use datafusion::error::DataFusionError;

/// The error, as one that Ballista tries again if trying again may help: what an object store or the network did.
///
/// Ballista runs a task again, four times in all, if its error is one of input or output, and fails the query at once for
/// any other.
pub(super) fn transient(error: DataFusionError) -> DataFusionError {
    if matches!(error.find_root(), DataFusionError::IoError(_)) {
        // Wrapped in others it would not be recognised.
        return DataFusionError::IoError(io::Error::other(error.to_string()));
    }
    match is_transient(&error) {
        true => DataFusionError::IoError(io::Error::other(error.to_string())),
        false => error,
    }
}

fn is_transient(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<object_store::Error>() {
            return is_transient_store(error);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return is_transient_io(error);
        }
        cause = error.source();
    }
    false
}

/// What the store has said no to stays so; what did not come through may come through.
fn is_transient_store(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    matches!(error, E::Generic { .. } | E::JoinError { .. })
}

fn is_transient_io(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    !matches!(
        error.kind(),
        K::NotFound
            | K::PermissionDenied
            | K::InvalidInput
            | K::Unsupported
            | K::StorageFull
            | K::QuotaExceeded
            | K::ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(source: &str) -> DataFusionError {
        let error = object_store::Error::Generic { store: "S3", source: source.into() };
        DataFusionError::ObjectStore(Box::new(error))
    }

    #[test]
    fn what_did_not_come_through_is_tried_again() {
        for error in [store("503 slow down"), store("connection reset").context("reading a.parquet")] {
            let text = error.to_string();
            let again = transient(error);
            assert!(matches!(again, DataFusionError::IoError(_)), "{again:?}");
            assert!(again.to_string().contains(&text), "{again}");
        }
    }

    #[test]
    fn what_stays_so_fails_at_once() {
        let missing = object_store::Error::NotFound { path: "a".into(), source: "gone".into() };
        let errors = [
            DataFusionError::ObjectStore(Box::new(missing)),
            DataFusionError::Execution("division by zero".into()),
            DataFusionError::External(Box::new(io::Error::from(io::ErrorKind::StorageFull))),
        ];
        for error in errors {
            assert!(!matches!(transient(error), DataFusionError::IoError(_)));
        }
    }
}
