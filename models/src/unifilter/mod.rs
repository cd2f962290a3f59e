//! UniFilter.

use crate::checkpoint::Location;
use crate::{DeviceChoice, DtypeChoice, Limits, LoadError, ModelError, Prepared, Sample, SampleError, Scorer};

/// UniFilter.
#[derive(Debug)]
pub struct UniFilter;

impl UniFilter {
    /// Loads.
    pub fn load(_: &Location, _: DeviceChoice, _: DtypeChoice) -> Result<Self, LoadError> {
        Ok(Self)
    }
}

impl Scorer for UniFilter {
    fn fingerprint(&self) -> &str {
        ""
    }
    fn prepare(&self, _: &Sample<'_>, _: &Limits) -> Result<Prepared, SampleError> {
        Err(SampleError::NoImage)
    }
    fn score(&self, batch: &[Prepared]) -> Result<Vec<f32>, ModelError> {
        Ok(vec![0.0; batch.len()])
    }
}
