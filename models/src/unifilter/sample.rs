//! From a row's bytes and text to pixels and token ids, by the reference's rules.

use std::sync::Arc;

use super::UniFilter;
use crate::preprocess::{decode_resized, probe};
use crate::text;
use crate::{Limits, Prepared, PreparedImage, Sample, SampleError};

/// Prepares one sample.
pub(super) fn prepare(model: &UniFilter, sample: &Sample<'_>, limits: &Limits) -> Result<Prepared, SampleError> {
    match sample {
        Sample::Pair { image, text } => {
            let ids = text::pair_ids(&model.tokens, text, limits.max_text_tokens)?;
            let image = prepare_image(model, image, None, limits)?;
            // A limit of one id cuts the image's own token off.
            let images = if ids.contains(&None) { vec![image] } else { Vec::new() };
            finish(model, ids, images)
        }
        Sample::Document { images, texts } => document(model, images, texts, limits),
    }
}

fn document(
    model: &UniFilter,
    images: &[Option<&[u8]>],
    texts: &[Option<&str>],
    limits: &Limits,
) -> Result<Prepared, SampleError> {
    if images.len() != texts.len() {
        return Err(SampleError::UnequalLists { images: images.len(), texts: texts.len() });
    }
    // Cheap refusals first: headers and texts tell them, no pixel is decoded for a document that is not scored.
    let mut kept_images = Vec::new();
    let mut kept_texts = Vec::new();
    for (position, (image, text)) in images.iter().zip(texts).enumerate() {
        if let Some(bytes) = image {
            let info = probe(bytes).map_err(|source| SampleError::Image { position: Some(position), source })?;
            if info.width == 1 || info.height == 1 {
                continue; // the reference drops such an image's slot, its text included
            }
            kept_images.push((position, *bytes));
        }
        kept_texts.push(*text);
    }
    if kept_images.is_empty() {
        return Err(SampleError::NoImage);
    }
    if kept_images.len() > limits.max_document_images {
        return Err(SampleError::TooManyImages { found: kept_images.len(), limit: limits.max_document_images });
    }
    let ids = text::document_ids(&model.tokens, &kept_texts)?;
    if ids.len() > limits.max_document_tokens {
        return Err(SampleError::TooManyTokens { found: ids.len(), limit: limits.max_document_tokens });
    }
    let placeholders = ids.iter().filter(|id| id.is_none()).count();
    if placeholders != kept_images.len() {
        return Err(SampleError::Placeholders { images: kept_images.len(), placeholders });
    }
    let images = kept_images.into_iter().map(|(position, bytes)| prepare_image(model, bytes, Some(position), limits));
    finish(model, ids, images.collect::<Result<_, _>>()?)
}

/// Decodes and resizes one image, unless that was done a moment ago.
fn prepare_image(
    model: &UniFilter,
    bytes: &[u8],
    position: Option<usize>,
    limits: &Limits,
) -> Result<Arc<PreparedImage>, SampleError> {
    model.images.get_or_prepare(bytes, limits.max_image_pixels, || {
        let size = model.parts.vision_config.image_size as u32;
        decode_resized(bytes, limits.max_image_pixels, (size, size), model.parts.preprocess.filter)
            .map(|image| image.pixels)
            .map_err(|source| SampleError::Image { position, source })
    })
}

/// Removes padding ids, checks ids against the vocabulary and counts positions.
fn finish(
    model: &UniFilter,
    mut ids: Vec<Option<u32>>,
    images: Vec<Arc<PreparedImage>>,
) -> Result<Prepared, SampleError> {
    ids.retain(|id| *id != Some(model.tokens.pad));
    let config = &model.parts.config;
    let rows = config.vocab_size;
    if let Some(id) = ids.iter().flatten().find(|id| **id as usize >= rows) {
        let reason =
            format!("token id {id} has no embedding: the tokenizer and the model ({rows} embeddings) do not fit");
        return Err(SampleError::Text { reason });
    }
    let images_positions = ids.iter().filter(|id| id.is_none()).count() * (config.mm_num_image_tokens - 1);
    let positions = ids.len() + images_positions;
    let positions = config.tokenizer_model_max_length.map_or(positions, |most| positions.min(most));
    if positions == 0 {
        return Err(SampleError::Text { reason: "no token is left to score".into() });
    }
    Ok(Prepared { images, ids, positions })
}
