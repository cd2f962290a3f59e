use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use tamis_models::{Limits, ModelError, Prepared, Sample, SampleError, Scored};

use super::*;

#[derive(Debug)]
struct Nothing;

impl Scorer for Nothing {
    fn fingerprint(&self) -> Result<&str, LoadError> {
        Ok("0")
    }

    fn prepare(&self, _: &Sample<'_>, _: &Limits) -> Result<Prepared, SampleError> {
        Err(SampleError::NoImage)
    }

    fn score(&self, batch: &[Prepared]) -> Result<Scored, ModelError> {
        Ok(Scored { scores: vec![0.0; batch.len()], images_encoded: 0 })
    }
}

/// A checkpoint whose files can change: their version is the fingerprint.
#[derive(Clone, Default)]
struct Files(Arc<(AtomicUsize, AtomicUsize, AtomicBool)>);

impl Files {
    fn change(&self) {
        self.0.0.fetch_add(1, SeqCst);
    }

    fn looks(&self) -> usize {
        self.0.1.load(SeqCst)
    }

    fn break_them(&self, broken: bool) {
        self.0.2.store(broken, SeqCst);
    }
}

impl Origin for Files {
    fn fingerprint(&self) -> Result<String, LoadError> {
        self.0.1.fetch_add(1, SeqCst);
        match self.0.2.load(SeqCst) {
            true => Err(missing()),
            false => Ok(self.0.0.load(SeqCst).to_string()),
        }
    }

    fn load(&self) -> Result<Arc<dyn Scorer>, LoadError> {
        Ok(Arc::new(Nothing))
    }
}

fn key(dtype: DtypeChoice) -> ModelKey {
    ModelKey { location: Location::default_model(), device: DeviceChoice::Cpu, dtype }
}

fn missing() -> LoadError {
    LoadError::MissingFile {
        model: "m".to_string(),
        file: "config.json".to_string(),
        looked_in: "there".to_string(),
        hint: "look elsewhere".to_string(),
    }
}

fn is_same(a: &Opened, b: &Opened) -> bool {
    Arc::ptr_eq(&a.model, &b.model)
}

#[test]
fn concurrent_first_users_share_one_model() {
    let (registry, files, begin) = (Registry::default(), Files::default(), Barrier::new(8));
    let open = |fingerprint| {
        begin.wait();
        registry.open(&key(DtypeChoice::F32), &files, fingerprint)
    };
    let models: Vec<_> = thread::scope(|scope| {
        let users: Vec<_> = (0..8).map(|_| scope.spawn(|| open(true))).collect();
        users.into_iter().map(|user| user.join().unwrap().unwrap()).collect()
    });
    assert!(models.iter().all(|opened| is_same(opened, &models[0]) && opened.fingerprint.as_deref() == Some("0")));
    assert!(!models[0].model.is_loaded());
}

#[test]
fn another_dtype_is_another_model() {
    let (registry, files) = (Registry::default(), Files::default());
    let open = |dtype| registry.open(&key(dtype), &files, false).unwrap();
    let (f32, bf16) = (open(DtypeChoice::F32), open(DtypeChoice::Bf16));
    assert!(!is_same(&f32, &bf16));
    assert!(is_same(&f32, &open(DtypeChoice::F32)));
    assert_eq!(files.looks(), 0, "a fingerprint that nobody wants");
}

#[test]
fn files_that_have_changed_are_another_model_where_scores_are_remembered() {
    let (registry, files) = (Registry::default(), Files::default());
    let open = |fingerprint| registry.open(&key(DtypeChoice::F32), &files, fingerprint).unwrap();
    let first = open(true);
    assert!(is_same(&first, &open(true)) && is_same(&first, &open(false)));
    files.change();
    assert!(is_same(&first, &open(false)));
    let second = open(true);
    assert!(!is_same(&first, &second) && is_same(&second, &open(true)));
    assert_eq!(second.fingerprint.as_deref(), Some("1"));
}

#[test]
fn a_model_whose_files_were_never_looked_at_is_not_trusted_with_a_cache() {
    let (registry, files) = (Registry::default(), Files::default());
    let first = registry.open(&key(DtypeChoice::F32), &files, false).unwrap();
    let second = registry.open(&key(DtypeChoice::F32), &files, true).unwrap();
    assert!(!is_same(&first, &second));
}

#[test]
fn files_that_change_before_they_are_loaded_are_refused() {
    let files = Files::default();
    assert!(load_checked(&files, None).is_ok() && load_checked(&files, Some("0")).is_ok());
    files.change();
    assert!(matches!(load_checked(&files, Some("0")), Err(LoadError::Changed)));
}

#[test]
fn a_failure_is_an_error_and_is_tried_again() {
    let (registry, files) = (Registry::default(), Files::default());
    files.break_them(true);
    let open = || registry.open(&key(DtypeChoice::F32), &files, true);
    let message = open().unwrap_err().to_string();
    assert!(message.contains("loading model default: model m: no config.json in there; look elsewhere"), "{message}");
    files.break_them(false);
    assert!(open().is_ok());
}
