//! What a row costs, for ordering calls.

use std::time::Duration;

use datafusion::config::ConfigOptions;

use super::registry::{self, ModelKey};
use super::{Scoring, resolve};
use crate::options::TamisOptions;

/// What scoring a row takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Floating-point operations of a caption of the greatest length and its image, by the model's configuration.
    pub flops: f64,
    /// The device's time for a row, over all that this process has scored with the model on this device and in this
    /// dtype.
    pub measured: Option<Duration>,
}

impl Scoring {
    /// What a row costs. Loads no weights and fetches nothing; `None` if the model is not known or lies elsewhere.
    pub fn cost(family: &str, model: Option<&str>, options: &ConfigOptions) -> Option<Cost> {
        let options = TamisOptions::from_config(options);
        let location = resolve::resolve(family, model, &options).ok()?;
        let flops = tamis_models::flops(&location, options.max_text_tokens())?;
        let key = ModelKey { location, device: options.device(), dtype: options.dtype() };
        let measured = registry::peek(&key).and_then(|handle| handle.model().time_a_row());
        Some(Cost { flops, measured })
    }

    /// Some of the model's last scores in this process, in no order; none if it has given none.
    pub fn recent_scores(family: &str, model: Option<&str>, options: &ConfigOptions) -> Vec<f32> {
        let options = TamisOptions::from_config(options);
        let Ok(location) = resolve::resolve(family, model, &options) else { return vec![] };
        let key = ModelKey { location, device: options.device(), dtype: options.dtype() };
        registry::peek(&key).map(|handle| handle.model().recent().get()).unwrap_or_default()
    }
}
