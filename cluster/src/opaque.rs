//! Values that the compiler does not look through.

use std::ops::Deref;
use std::sync::Arc;

/// A shared value that is known to be good for several threads.
///
/// Whether a future may move between threads hangs on all that it borrows. A session leads to every plan node and expression, in
/// circles: the compiler takes six seconds to look through it, and looks again for each async method of a trait. Behind a trait
/// object it need not.
pub(crate) struct Opaque<T: 'static>(Arc<dyn Holds<T>>);

trait Holds<T>: Send + Sync {
    fn value(&self) -> &T;
}

impl<T: Send + Sync> Holds<T> for T {
    fn value(&self) -> &T {
        self
    }
}

impl<T: Send + Sync> Opaque<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: Send + Sync> From<Arc<T>> for Opaque<T> {
    fn from(value: Arc<T>) -> Self {
        Self(value)
    }
}

impl<T> Clone for Opaque<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Opaque<T> {
    type Target = T;

    fn deref(&self) -> &T {
        (*self.0).value()
    }
}

impl<T> std::fmt::Debug for Opaque<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opaque").finish_non_exhaustive()
    }
}
