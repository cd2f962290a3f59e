//! How much arithmetic a row takes, by the configurations alone.

use super::config::{Config, VisionConfig};
use super::parts::vision_config;
use crate::LoadError;
use crate::checkpoint::{Checkpoint, Location};

/// Floating-point operations of scoring one image with a caption of `text_tokens` ids, the image's own included: the
/// matrix products of the vision tower, the projector and the language model. Reads configurations, not weights; `None`
/// if the model would have to be fetched first.
pub(crate) fn flops(location: &Location, text_tokens: usize) -> Result<Option<f64>, LoadError> {
    let Some(checkpoint) = Checkpoint::local(location)? else { return Ok(None) };
    let config = Config::read(&checkpoint)?;
    // As if the checkpoint had a copy of the tower: then no hub is asked for one.
    let tower = checkpoint.tower(&config.mm_vision_tower, true)?;
    let vision = vision_config(&checkpoint, &config, tower.as_ref())?;
    let work = work(&config, &vision, text_tokens);
    Ok(Some(work.image + work.text))
}

/// Floating-point operations of one image, and of one caption over it, as [`flops`] counts them.
pub(crate) fn work(config: &Config, vision: &VisionConfig, text_tokens: usize) -> Work {
    Work { image: vision_flops(vision) + projector_flops(config, vision), text: language_flops(config, text_tokens) }
}

/// The matrix products of a row, in floating-point operations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Vision tower and projector.
    pub image: f64,
    /// The language model.
    pub text: f64,
}

/// A product of [rows, inner] and [inner, columns].
fn product(rows: usize, inner: usize, columns: usize) -> f64 {
    2. * rows as f64 * inner as f64 * columns as f64
}

fn vision_flops(config: &VisionConfig) -> f64 {
    let (patches, hidden) = (config.side() * config.side(), config.hidden_size);
    let embedding = product(patches, config.num_channels * config.patch_size * config.patch_size, hidden);
    let projections = 4. * product(patches, hidden, hidden);
    let attention = 2. * product(patches, hidden, patches);
    let mlp = 2. * product(patches, hidden, config.intermediate_size);
    embedding + config.num_hidden_layers as f64 * (projections + attention + mlp)
}

fn projector_flops(config: &Config, vision: &VisionConfig) -> f64 {
    let tokens = config.mm_num_image_tokens;
    let pooling = product(tokens, vision.side() * vision.side(), vision.hidden_size);
    pooling
        + product(tokens, config.mm_hidden_size, config.hidden_size)
        + product(tokens, config.hidden_size, config.hidden_size)
}

fn language_flops(config: &Config, text_tokens: usize) -> f64 {
    // One of the ids is the image's place.
    let positions = text_tokens.saturating_sub(1) + config.mm_num_image_tokens;
    let (hidden, queries) = (config.hidden_size, config.num_attention_heads * config.head_dim());
    let keys = config.num_key_value_heads * config.head_dim();
    // Of `rows` positions everything, of all others keys and values alone.
    let layer = |rows: usize| {
        let projections =
            product(rows, hidden, queries) + 2. * product(positions, hidden, keys) + product(rows, queries, hidden);
        let attention = 2. * product(rows, queries, positions);
        projections + attention + 3. * product(rows, hidden, config.intermediate_size)
    };
    match config.num_hidden_layers.checked_sub(1) {
        // The last layer's result is wanted for the last position only.
        Some(before) => before as f64 * layer(positions) + layer(1),
        None => 0.,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, Result};

    use super::*;

    #[test]
    fn the_embedded_model_costs_what_a_hand_count_gives() -> Result<()> {
        let checkpoint = Checkpoint::open(&Location::Embedded)?;
        let config = Config::read(&checkpoint)?;
        let vision = vision_config(&checkpoint, &config, checkpoint.tower(&config.mm_vision_tower, true)?.as_ref())?;
        let (p, h) = (27. * 27., vision.hidden_size as f64);
        let layers = vision.num_hidden_layers as f64;
        let expected = 2. * p * 588. * h
            + layers * (8. * p * h * h + 4. * p * p * h + 4. * p * h * vision.intermediate_size as f64);
        assert_eq!(vision_flops(&vision), expected);
        let all = flops(&Location::Embedded, 75)?.context("it is local")?;
        let fewer = flops(&Location::Embedded, 10)?.context("it is local")?;
        assert!(all > expected && fewer > expected && fewer < all, "{fewer} {all}");
        Ok(())
    }

    #[test]
    fn the_published_tower_takes_two_operations_a_weight_and_patch() -> Result<()> {
        let tower = VisionConfig::published("google/siglip2-so400m-patch14-384").context("a published name")?;
        // 412 million weights in its layers, 729 patches, and a tenth more for attention.
        let ratio = vision_flops(&tower) / (2. * 412e6 * 729.);
        assert!((1.05..1.15).contains(&ratio), "{ratio}");
        Ok(())
    }

    #[test]
    fn a_remote_model_is_not_fetched_for_it() -> Result<()> {
        // Nothing listens on the discard port: asking would be an error.
        assert_eq!(flops(&Location::parse("http://127.0.0.1:9/model")?, 75)?, None);
        Ok(())
    }
}
