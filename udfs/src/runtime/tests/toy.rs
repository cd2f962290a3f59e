//! A model whose rows say in their text what shall happen to them.
//!
//! A text is `NUMBER[:POSITIONS] [what to do]`; the score is the number. An empty text (the runtime's own probe) is 0.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tamis_models::{Limits, LoadError, ModelError, Prepared, PreparedImage, Sample, SampleError, Scored, Scorer};

use crate::runtime::model::ModelHandle;

/// A row as the device saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) number: usize,
    pub(super) positions: usize,
}

#[derive(Debug, Default)]
struct Progress {
    loading: usize,
    begun: usize,
    prepared: usize,
    scoring: usize,
}

#[derive(Debug, Default)]
pub(super) struct Toy {
    batches: Mutex<Vec<Vec<Seen>>>,
    progress: Mutex<Progress>,
    progressed: Condvar,
    device: Mutex<()>,
    preparing: Mutex<()>,
    loading: Mutex<()>,
    unloadable: AtomicBool,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    broken: AtomicBool,
    miscounts: AtomicBool,
}

impl Toy {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The toy as a model that is not loaded.
    pub(super) fn model(self: &Arc<Self>) -> Arc<ModelHandle> {
        let toy = self.clone();
        Arc::new(ModelHandle::new("toy".to_string(), Box::new(move || toy.load())).unwrap())
    }

    fn load(self: &Arc<Self>) -> Result<Arc<dyn Scorer>, LoadError> {
        self.note(|progress| progress.loading += 1);
        drop(self.loading.lock());
        match self.unloadable.load(SeqCst) {
            true => Err(LoadError::Changed),
            false => Ok(self.clone()),
        }
    }

    /// How often a load has begun.
    pub(super) fn loads(&self) -> usize {
        self.progress.lock().loading
    }

    /// Loads wait until the guard is dropped.
    pub(super) fn hold_loading(&self) -> MutexGuard<'_, ()> {
        self.loading.lock()
    }

    pub(super) fn break_loading(&self, broken: bool) {
        self.unloadable.store(broken, SeqCst);
    }

    /// Waits until a load has begun.
    pub(super) fn wait_until_loading(&self) {
        self.wait(|progress| progress.loading > 0);
    }

    /// The batches that the device was given, failed ones included.
    pub(super) fn batches(&self) -> Vec<Vec<Seen>> {
        self.batches.lock().clone()
    }

    pub(super) fn prepared(&self) -> usize {
        self.progress.lock().prepared
    }

    /// How many rows the model was asked to prepare, failures included.
    pub(super) fn begun(&self) -> usize {
        self.progress.lock().begun
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.most_in_flight.load(SeqCst)
    }

    /// Forward passes wait until the guard is dropped.
    pub(super) fn hold_device(&self) -> MutexGuard<'_, ()> {
        self.device.lock()
    }

    /// Rows with "wait in prepare" wait until the guard is dropped.
    pub(super) fn hold_preparing(&self) -> MutexGuard<'_, ()> {
        self.preparing.lock()
    }

    pub(super) fn break_device(&self, broken: bool) {
        self.broken.store(broken, SeqCst);
    }

    pub(super) fn miscount(&self) {
        self.miscounts.store(true, SeqCst);
    }

    /// Waits until a forward pass has begun.
    pub(super) fn wait_until_scoring(&self) {
        self.wait(|progress| progress.scoring > 0);
    }

    /// Waits until so many rows have been prepared in all.
    pub(super) fn wait_until_prepared(&self, rows: usize) {
        self.wait(|progress| progress.prepared >= rows);
    }

    fn wait(&self, until: impl Fn(&Progress) -> bool) {
        let mut progress = self.progress.lock();
        while !until(&progress) {
            self.progressed.wait(&mut progress);
        }
    }

    fn note(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock());
        self.progressed.notify_all();
    }
}

impl Scorer for Toy {
    fn fingerprint(&self) -> Result<&str, LoadError> {
        Ok("70f")
    }

    fn prepare(&self, sample: &Sample<'_>, _: &Limits) -> Result<Prepared, SampleError> {
        self.note(|progress| progress.begun += 1);
        let (image, text) = match sample {
            Sample::Pair { image, text } => (*image, if text.is_empty() { "0" } else { text }),
            Sample::Document { .. } => return Err(SampleError::NoImage),
        };
        let (numbers, action) = text.split_once(' ').unwrap_or((text, ""));
        let (number, positions) = numbers.split_once(':').unwrap_or((numbers, "1"));
        let (Ok(mut number), Ok(positions)) = (number.parse::<u32>(), positions.parse()) else {
            return Err(SampleError::Text { reason: "no number".to_string() });
        };
        match action {
            "panic in prepare" => panic!("as the row asked"),
            "wait in prepare" => drop(self.preparing.lock()),
            "bytes of image" => number = image.len() as u32,
            _ => {}
        }
        let in_flight = self.in_flight.fetch_add(1, SeqCst) + 1;
        self.most_in_flight.fetch_max(in_flight, SeqCst);
        self.note(|progress| progress.prepared += 1);
        let image = Arc::new(PreparedImage::new(action.as_bytes().to_vec()));
        Ok(Prepared { images: vec![image], ids: vec![Some(number)], positions })
    }

    fn score(&self, batch: &[Prepared]) -> Result<Scored, ModelError> {
        self.note(|progress| progress.scoring += 1);
        drop(self.device.lock());
        let numbers: Vec<usize> = batch.iter().map(|row| row.ids[0].unwrap() as usize).collect();
        let seen = numbers.iter().zip(batch).map(|(&number, row)| Seen { number, positions: row.positions });
        self.batches.lock().push(seen.collect());
        let asks = |what: &[u8]| batch.iter().any(|row| row.images[0].pixels() == what);
        if self.broken.load(SeqCst) || asks(b"fail in score") {
            return Err(ModelError::NotFinite);
        }
        assert!(!asks(b"panic in score"), "as the row asked");
        self.in_flight.fetch_sub(batch.len(), SeqCst);
        let extra = usize::from(self.miscounts.load(SeqCst));
        let scores = numbers.iter().map(|n| *n as f32).chain(std::iter::repeat_n(0.0, extra)).collect();
        Ok(Scored { scores, images_encoded: batch.len() })
    }
}
