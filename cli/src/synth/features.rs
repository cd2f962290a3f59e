//! Choosing images that are unlike each other, by features of a vision tower.

use tamis_engine::session::Session;
use tamis_models::checkpoint::Location;
use tamis_models::unifilter::UniFilter;
use tamis_models::{Limits, Sample, Scorer};
use tamis_synthesis::clusters::{clusters, sample};
use tamis_synthesis::sources::Sources;

use crate::error::CommandError;

/// Images that go through the tower at once.
const BATCH: usize = 32;

/// The rows to keep: at most `each` of `count` clusters over the features of their first images. Blocks.
pub(super) fn choose(
    session: &Session,
    sources: &Sources,
    count: usize,
    each: usize,
    seed: u64,
) -> Result<Vec<usize>, CommandError> {
    let option = |key| session.option(key).unwrap_or_default();
    let location = Location::parse(&option("tamis.unifilter.model"))?;
    let device = option("tamis.scoring.device").parse().unwrap_or_default();
    let dtype = option("tamis.scoring.dtype").parse().unwrap_or_default();
    let model = UniFilter::load(&location, device, dtype)?;
    let limits = Limits { max_image_pixels: u64::MAX, ..Limits::default() };
    let failed = |error: &dyn std::fmt::Display| CommandError::Task(format!("features of images: {error}"));
    let mut features = vec![];
    for rows in sources.rows().chunks(BATCH) {
        let prepared = rows.iter().map(|row| {
            let image = row.content.images().first().map(|image| sources.bytes(*image));
            let bytes = image.transpose().map_err(|error| failed(&error))?.unwrap_or_default();
            model.prepare(&Sample::Pair { image: &bytes, text: "" }, &limits).map_err(|error| failed(&error))
        });
        let prepared = prepared.collect::<Result<Vec<_>, _>>()?;
        features.extend(model.image_features(&prepared).map_err(|error| failed(&error))?);
    }
    Ok(sample(&clusters(&features, count, seed), each, seed))
}
