//! What a cache knows of a model, as record batches.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, BinaryBuilder, Float32Builder, RecordBatch, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;

use super::error::CacheError;
use super::inspect::one_model;
use super::merge::Merged;
use super::{KnownScore, Place, ScoreCache};
use crate::error::Error;
use crate::options::TamisOptions;
use crate::runtime::resolve::resolve;

/// Rows of a batch.
const ROWS: usize = 8_192;

/// Fewer digits are more likely a name.
const LEAST_DIGITS: usize = 6;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Binary, false),
        Field::new("score", DataType::Float32, true),
        Field::new("error", DataType::Utf8, true),
    ]))
});

/// All that a cache knows of a model: record batches by key, each key once.
#[derive(Debug)]
pub struct KnownScores {
    merged: Merged,
}

impl KnownScores {
    /// key Binary, score Float32, error Utf8.
    pub fn schema() -> &'static SchemaRef {
        &SCHEMA
    }
}

impl Iterator for KnownScores {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut keys = BinaryBuilder::new();
        let mut scores = Float32Builder::with_capacity(ROWS);
        let mut errors = StringBuilder::new();
        for (key, known) in self.merged.by_ref().take(ROWS) {
            keys.append_value(key);
            match known {
                KnownScore::Score(score) => {
                    scores.append_value(score);
                    errors.append_null();
                }
                KnownScore::Failed(reason) => {
                    scores.append_null();
                    errors.append_value(reason);
                }
            }
        }
        let columns: Vec<ArrayRef> =
            vec![Arc::new(keys.finish()), Arc::new(scores.finish()), Arc::new(errors.finish())];
        let batch = RecordBatch::try_new(Arc::clone(&SCHEMA), columns);
        batch.map_or_else(|e| Some(Err(e)), |batch| (batch.num_rows() > 0).then_some(Ok(batch)))
    }
}

/// What the session's cache knows of a model: `model` is a model's name as in a function's third argument, or the first
/// digits of a fingerprint; `None` is the session's default model. Blocks.
pub fn known_scores(family: &str, model: Option<&str>, options: &ConfigOptions) -> Result<KnownScores> {
    let options = TamisOptions::from_config(options);
    let cache = ScoreCache::open(&options).ok_or(CacheError::Off)?;
    let fingerprint = match model {
        Some(digits) if is_prefix(digits, &options) => {
            // A fingerprint is of any model that anyone has run.
            options.reach().may_run(digits)?;
            stored_model(cache.place(), digits)?
        }
        _ => {
            let location = resolve(family, model, &options)?;
            let failed = |source| Error::Load { model: location.to_string(), source: Arc::new(source) };
            tamis_models::fingerprint(&location, options.device(), options.dtype()).map_err(failed)?
        }
    };
    let segments = cache.model(&fingerprint).snapshot()?;
    Ok(KnownScores { merged: Merged::new(segments) })
}

/// Whether a text is the beginning of a fingerprint; a name that the session knows and a folder come first.
fn is_prefix(text: &str, options: &TamisOptions) -> bool {
    let is_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_hex && text.len() >= LEAST_DIGITS && !options.models().contains_key(text) && !std::path::Path::new(text).exists()
}

fn stored_model(place: &Place, digits: &str) -> std::result::Result<String, CacheError> {
    let refused = |e: std::io::Error| CacheError::Place { place: place.name().into(), reason: e.to_string() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
    let listed = runtime.block_on(place.list(None))?;
    one_model(place, &listed, digits)
}
