//! How many queries of a user run at once, and how many wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Caller;

/// How many queries a user may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryLimits {
    /// So many run at once; `None`: any number.
    pub running: Option<usize>,
    /// So many wait, in the order in which they came; the next one is refused. `None`: any number.
    pub queued: Option<usize>,
}

/// A user has as many queries as they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "you have {running} queries that run and {queued} that wait, which is as many as you may: wait until one has ended, or \
     cancel one"
)]
pub(crate) struct TooMany {
    running: usize,
    queued: usize,
}

/// The places of all users.
#[derive(Debug)]
pub(super) struct Places {
    limits: QueryLimits,
    users: Mutex<HashMap<Caller, Arc<OfUser>>>,
    waiting: AtomicUsize,
    waited: AtomicU64,
}

#[derive(Debug)]
struct OfUser {
    free: Arc<Semaphore>,
    queued: AtomicUsize,
}

/// A query's place among its user's; it is free for the next one when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new(limits: QueryLimits) -> Self {
        Self { limits, users: Mutex::default(), waiting: AtomicUsize::new(0), waited: AtomicU64::new(0) }
    }

    /// A place, when there is one. Dropped before, it waits no more.
    pub(super) async fn take(&self, caller: &Caller) -> Result<Place, TooMany> {
        let Some(running) = self.limits.running else { return Ok(Place { _permit: None }) };
        let user = {
            let mut users = self.users.lock();
            let new = || Arc::new(OfUser { free: Arc::new(Semaphore::new(running)), queued: AtomicUsize::new(0) });
            Arc::clone(users.entry(caller.clone()).or_insert_with(new))
        };
        if let Ok(permit) = Arc::clone(&user.free).try_acquire_owned() {
            return Ok(Place { _permit: Some(permit) });
        }
        let queued = self.limits.queued.unwrap_or(usize::MAX);
        let _waits = Waits::begin(self, &user, queued).ok_or(TooMany { running, queued })?;
        // It is never closed.
        let permit = Arc::clone(&user.free).acquire_owned().await.ok();
        Ok(Place { _permit: permit })
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn waited(&self) -> u64 {
        self.waited.load(Ordering::Relaxed)
    }
}

/// A query that waits.
struct Waits<'a> {
    places: &'a Places,
    user: &'a OfUser,
}

impl<'a> Waits<'a> {
    fn begin(places: &'a Places, user: &'a OfUser, most: usize) -> Option<Self> {
        let one_more = |queued: usize| (queued < most).then_some(queued + 1);
        user.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        places.waiting.fetch_add(1, Ordering::Relaxed);
        places.waited.fetch_add(1, Ordering::Relaxed);
        Some(Self { places, user })
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.user.queued.fetch_sub(1, Ordering::Relaxed);
        self.places.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    fn user(name: &str) -> Caller {
        Caller::User(name.into())
    }

    #[tokio::test]
    async fn what_is_beyond_waits_in_order_and_then_is_refused() {
        let places = Places::new(QueryLimits { running: Some(1), queued: Some(2) });
        let (ada, eve) = (user("ada"), user("eve"));
        let first = places.take(&ada).await.unwrap();
        let (mut second, mut third) = (Box::pin(places.take(&ada)), Box::pin(places.take(&ada)));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert_eq!(places.take(&ada).await.unwrap_err(), TooMany { running: 1, queued: 2 });
        assert!(places.take(&eve).now_or_never().is_some());
        assert_eq!((places.waiting(), places.waited()), (2, 2));
        drop(first);
        assert!((&mut third).now_or_never().is_none());
        let second = second.await.unwrap();
        drop(second);
        tokio::time::timeout(Duration::from_secs(5), third).await.unwrap().unwrap();
        assert_eq!(places.waiting(), 0);
    }

    #[tokio::test]
    async fn who_no_longer_waits_gives_way() {
        let places = Places::new(QueryLimits { running: Some(1), queued: Some(1) });
        let ada = user("ada");
        let first = places.take(&ada).await.unwrap();
        {
            let mut gone = Box::pin(places.take(&ada));
            assert!((&mut gone).now_or_never().is_none());
        }
        assert_eq!(places.waiting(), 0);
        let mut second = Box::pin(places.take(&ada));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn without_limits_nobody_waits() {
        let places = Places::new(QueryLimits::default());
        let mut all = vec![];
        for _ in 0..100 {
            all.push(places.take(&Caller::Anyone).await.unwrap());
        }
        assert_eq!(places.waited(), 0);
    }
}
