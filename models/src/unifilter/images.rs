//! The images that were prepared last, by their encoded bytes: another text over the same image costs no second decoding
//! and no second run of the vision tower.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::PreparedImage;

/// Bytes that the kept images may take, their embeddings included.
const BYTES: usize = 128 << 20;

/// What makes two images the same: their bytes, and the limit that they passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    content: [u8; 32],
    max_pixels: u64,
}

/// A place for one image. Whoever holds its lock prepares the image; others of the same image wait for that.
type Slot = Arc<Mutex<Option<Arc<PreparedImage>>>>;

/// The images used last.
#[derive(Debug)]
pub(super) struct Images {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    slots: HashMap<Key, (Slot, u64)>,
    /// Keys by the time of their last use.
    used: BTreeMap<u64, Key>,
    clock: u64,
}

impl Images {
    /// A place for as many images of `image_bytes` (pixels and embeddings) as the bound allows, one at least.
    pub(super) fn new(image_bytes: usize) -> Self {
        Self { most: (BYTES / image_bytes.max(1)).max(1), kept: Mutex::default() }
    }

    /// The image of these encoded bytes: a kept one, or what `prepare` gives. A failure is not kept.
    pub(super) fn get_or_prepare<E>(
        &self,
        encoded: &[u8],
        max_pixels: u64,
        prepare: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Arc<PreparedImage>, E> {
        let key = Key { content: *blake3::hash(encoded).as_bytes(), max_pixels };
        let slot = self.kept.lock().slot(key, self.most);
        let mut image = slot.lock();
        if let Some(image) = &*image {
            return Ok(Arc::clone(image));
        }
        match prepare() {
            Ok(pixels) => Ok(Arc::clone(image.insert(Arc::new(PreparedImage::new(pixels))))),
            Err(error) => {
                self.kept.lock().forget(&key);
                Err(error)
            }
        }
    }
}

impl Kept {
    /// The slot of `key`, now the one used last; the one not used for longest makes way for a new one.
    fn slot(&mut self, key: Key, most: usize) -> Slot {
        self.clock += 1;
        let (slot, used) = self.slots.entry(key).or_insert_with(|| (Slot::default(), 0));
        let slot = Arc::clone(slot);
        self.used.remove(used);
        *used = self.clock;
        self.used.insert(self.clock, key);
        while self.slots.len() > most {
            let Some((_, oldest)) = self.used.pop_first() else { break };
            self.slots.remove(&oldest);
        }
        slot
    }

    fn forget(&mut self, key: &Key) {
        if let Some((_, used)) = self.slots.remove(key) {
            self.used.remove(&used);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn get(images: &Images, encoded: &[u8], prepared: &AtomicUsize) -> Arc<PreparedImage> {
        let image = images.get_or_prepare(encoded, 100, || {
            prepared.fetch_add(1, Ordering::SeqCst);
            Ok::<_, ()>(encoded.to_vec())
        });
        image.unwrap()
    }

    #[test]
    fn the_same_bytes_are_prepared_once_by_all_threads() {
        let (images, prepared, begin) = (Images::new(1 << 20), AtomicUsize::new(0), Barrier::new(4));
        let found = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        begin.wait();
                        get(&images, b"a", &prepared)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(found.iter().all(|image| Arc::ptr_eq(image, &found[0])));
        assert_eq!(prepared.load(Ordering::SeqCst), 1);
        assert_eq!(get(&images, b"b", &prepared).pixels(), b"b");
        assert_eq!(prepared.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn the_image_not_used_for_longest_makes_way() {
        let (images, prepared) = (Images::new(BYTES / 2), AtomicUsize::new(0));
        for (encoded, expected) in [(b"a", 1), (b"b", 2), (b"a", 2), (b"c", 3), (b"a", 3), (b"b", 4)] {
            get(&images, encoded, &prepared);
            assert_eq!(prepared.load(Ordering::SeqCst), expected, "{}", char::from(encoded[0]));
        }
        let kept = images.kept.lock();
        assert_eq!((kept.slots.len(), kept.used.len()), (2, 2));
    }

    #[test]
    fn a_failure_is_not_kept_and_another_limit_is_another_image() {
        let (images, prepared) = (Images::new(1), AtomicUsize::new(0));
        assert_eq!(images.get_or_prepare(b"a", 100, || Err("bad")).unwrap_err(), "bad");
        assert!(images.kept.lock().slots.is_empty());
        let first = get(&images, b"a", &prepared);
        let other = images.get_or_prepare(b"a", 99, || Err("too many pixels"));
        assert!(other.is_err() && Arc::ptr_eq(&first, &get(&images, b"a", &prepared)));
    }
}
