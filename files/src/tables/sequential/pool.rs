//! What is used again: memory that has been touched is much quicker than new memory.

use parking_lot::Mutex;

/// Things that nobody uses at the moment.
#[derive(Debug)]
pub(super) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Pool<T> {
    /// One of them, or a new one.
    pub(super) fn take<E>(&self, new: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let used = self.0.lock().pop();
        used.map_or_else(new, Ok)
    }

    /// Gives one back.
    pub(super) fn give(&self, thing: T) {
        self.0.lock().push(thing);
    }
}
