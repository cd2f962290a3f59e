use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tamis_models::{Limits, ModelError, Prepared, Sample, SampleError};

use super::*;

#[derive(Debug)]
struct Nothing;

impl Scorer for Nothing {
    fn fingerprint(&self) -> &str {
        "0"
    }

    fn prepare(&self, _: &Sample<'_>, _: &Limits) -> Result<Prepared, SampleError> {
        Err(SampleError::NoImage)
    }

    fn score(&self, batch: &[Prepared]) -> Result<Vec<f32>, ModelError> {
        Ok(vec![0.0; batch.len()])
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

#[test]
fn concurrent_first_users_share_one_load() {
    let (registry, loads, begin) = (Registry::default(), AtomicUsize::new(0), Barrier::new(8));
    let open = || {
        begin.wait();
        registry.open(&key(DtypeChoice::F32), || {
            loads.fetch_add(1, Ordering::SeqCst);
            Ok(Arc::new(Nothing))
        })
    };
    let models: Vec<_> = thread::scope(|scope| {
        let users: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        users.into_iter().map(|user| user.join().unwrap().unwrap()).collect()
    });
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    assert!(models.iter().all(|model| Arc::ptr_eq(model, &models[0])));
}

#[test]
fn another_dtype_is_another_model() {
    let registry = Registry::default();
    let open = |dtype| registry.open(&key(dtype), || Ok(Arc::new(Nothing))).unwrap();
    let (f32, bf16) = (open(DtypeChoice::F32), open(DtypeChoice::Bf16));
    assert!(!Arc::ptr_eq(&f32, &bf16));
    assert!(Arc::ptr_eq(&f32, &open(DtypeChoice::F32)));
}

#[test]
fn a_failed_load_is_an_error_and_is_tried_again() {
    let registry = Registry::default();
    let key = key(DtypeChoice::F32);
    let message = registry.open(&key, || Err(missing())).unwrap_err().to_string();
    assert!(message.contains("no config.json in there; look elsewhere"), "{message}");
    let message = registry.open(&key, || panic!("out of order")).unwrap_err().to_string();
    assert!(message.contains("panicked: out of order"), "{message}");
    registry.open(&key, || Ok(Arc::new(Nothing))).unwrap();
    registry.open(&key, || Err(missing())).unwrap();
}

#[test]
fn those_who_wait_for_a_failing_load_share_its_error() {
    let (registry, loads) = (Registry::default(), AtomicUsize::new(0));
    let key = key(DtypeChoice::F32);
    let attempt = registry.models.lock().entry(key.clone()).or_default().clone();
    let waiter = || attempt.get_or_init(|| unreachable!("the first user loads")).clone();
    thread::scope(|scope| {
        let mut waiting = None;
        let first = registry.open(&key, || {
            loads.fetch_add(1, Ordering::SeqCst);
            // Begun while the load runs, so that it can only wait for it.
            waiting = Some(scope.spawn(waiter));
            Err(missing())
        });
        assert!(first.is_err());
        assert!(waiting.unwrap().join().unwrap().is_err());
    });
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    assert!(registry.models.lock().is_empty());
}
