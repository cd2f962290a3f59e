//! A model that takes a fixed time: what a cluster does can be measured, and its faults tried, without devices.
//!
//! `--model NAME=stand-in://300ms` prepares rows as the built-in model does and sleeps where that would compute, 300
//! milliseconds for each pass. Its score is the number of positions of the sample: it follows from the row alone.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tamis_models::checkpoint::Location;
use tamis_models::{
    DeviceChoice, DtypeChoice, Limits, LoadError, ModelError, Prepared, Sample, SampleError, Scored, Scorer,
};
use tamis_udfs::runtime::register_scorer;

use crate::error::EngineError;

const SCHEME: &str = "stand-in://";

/// Prepares as the built-in model does, and sleeps where that would compute.
#[derive(Debug)]
struct StandIn {
    model: Arc<dyn Scorer>,
    pass: Duration,
}

impl Scorer for StandIn {
    fn fingerprint(&self) -> Result<&str, LoadError> {
        self.model.fingerprint()
    }

    fn prepare(&self, sample: &Sample<'_>, limits: &Limits) -> Result<Prepared, SampleError> {
        self.model.prepare(sample, limits)
    }

    fn score(&self, batch: &[Prepared]) -> Result<Scored, ModelError> {
        let begun = Instant::now();
        let scores = batch.iter().map(|sample| sample.positions as f32).collect();
        sleep(self.pass.saturating_sub(begun.elapsed()));
        Ok(Scored { scores, images_encoded: 0 })
    }
}

/// Makes the stand-ins that options name known to this process.
pub fn register(options: &[(String, String)]) -> Result<(), EngineError> {
    for (key, place) in options {
        let Some(time) = place.strip_prefix(SCHEME) else { continue };
        let millis = time.strip_suffix("ms").and_then(|millis| millis.parse().ok());
        let pass = millis
            .map(Duration::from_millis)
            .ok_or_else(|| EngineError::StandIn { key: key.clone(), place: place.clone() })?;
        let model = tamis_models::load(&Location::default_model(), DeviceChoice::Cpu, DtypeChoice::F32)?;
        let scorer: Arc<dyn Scorer> = Arc::new(StandIn { model, pass });
        register_scorer(&Location::parse(place)?, &scorer)?;
    }
    Ok(())
}
