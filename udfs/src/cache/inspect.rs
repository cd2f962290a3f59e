//! Looking at a cache from outside, and emptying it.

use std::collections::{BTreeMap, BTreeSet};

use super::error::CacheError;
use super::place::{Listed, Place};
use super::segment::entries_of;

/// A footer is much shorter.
const FOOTER: u64 = 4_096;

/// What lies in a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheInfo {
    /// Where it lies.
    pub path: String,
    /// The models, by fingerprint.
    pub models: Vec<ModelInfo>,
}

/// What a cache holds of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelInfo {
    /// The first digits of the model's fingerprint.
    pub fingerprint: String,
    /// Scores and reasons; one that lies in two segments counts twice.
    pub entries: u64,
    /// Size of the segments.
    pub bytes: u64,
    /// How many segments there are.
    pub segments: u64,
    /// Seconds since 1970 of the oldest segment.
    pub oldest: u64,
    /// Seconds since 1970 of the newest segment.
    pub newest: u64,
}

/// What has been removed from a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Segments removed.
    pub segments: u64,
    /// Their size.
    pub bytes: u64,
}

/// Describes the cache at a place. A place where nothing is yet holds no models.
pub async fn info(place: &Place) -> Result<CacheInfo, CacheError> {
    let mut models = BTreeMap::<String, ModelInfo>::new();
    for segment in place.list(None).await? {
        let entries = match place.read_tail(&segment, FOOTER).await {
            Ok(tail) => entries_of(&tail).unwrap_or(0),
            Err(error) if error.is_gone() => continue,
            Err(error) => return Err(error),
        };
        let created = segment.name.created;
        let model = models.entry(segment.model.clone()).or_insert_with(|| ModelInfo {
            fingerprint: segment.model.clone(),
            oldest: created,
            ..ModelInfo::default()
        });
        model.entries += entries;
        model.bytes += segment.bytes;
        model.segments += 1;
        model.oldest = model.oldest.min(created);
        model.newest = model.newest.max(created);
    }
    Ok(CacheInfo { path: place.name().to_string(), models: models.into_values().collect() })
}

/// Forgets the scores of the one model whose fingerprint begins so, or of all. Other files at the place stay.
pub async fn clear(place: &Place, prefix: Option<&str>) -> Result<Cleared, CacheError> {
    let mut listed = place.list(None).await?;
    if let Some(prefix) = prefix {
        let model = one_model(place, &listed, prefix)?;
        listed.retain(|segment| segment.model == model);
    }
    let mut cleared = Cleared::default();
    for segment in &listed {
        place.remove(&segment.model, &segment.name).await?;
        cleared.segments += 1;
        cleared.bytes += segment.bytes;
    }
    place.tidy(|_| prefix.is_none());
    Ok(cleared)
}

/// The one model among these whose fingerprint begins so.
pub(super) fn one_model(place: &Place, listed: &[Listed], prefix: &str) -> Result<String, CacheError> {
    let models: BTreeSet<_> = listed.iter().map(|segment| &segment.model).collect();
    // A folder has the first half of a fingerprint; who gives all of it means that one.
    let matching = models.into_iter().filter(|model| model.starts_with(prefix) || prefix.starts_with(model.as_str()));
    let matching: Vec<_> = matching.collect();
    match matching.as_slice() {
        [one] => Ok((*one).clone()),
        all => Err(CacheError::Prefix { place: place.name().into(), prefix: prefix.into(), found: all.len() }),
    }
}
