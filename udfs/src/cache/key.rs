//! What a row's score is remembered by.

use std::fmt;

use tamis_models::{Limits, Sample};

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 16;

/// 128 bits of BLAKE3 over what a model is asked: the sample's content and the limits that shape its answer. Not the
/// model: scores are kept by model.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScoreKey([u8; KEY_BYTES]);

impl ScoreKey {
    /// The key of a sample under these limits.
    ///
    /// Every part is preceded by its length, so that no two different samples give the same bytes to hash.
    pub fn of(sample: &Sample<'_>, limits: &Limits) -> Self {
        let mut hash = blake3::Hasher::new();
        match sample {
            Sample::Pair { image, text } => {
                hash.update(b"pair\x01");
                number(&mut hash, limits.max_text_tokens as u64);
                number(&mut hash, limits.max_image_pixels);
                part(&mut hash, Some(image));
                part(&mut hash, Some(text.as_bytes()));
            }
            Sample::Document { images, texts } => {
                hash.update(b"document\x01");
                number(&mut hash, limits.max_document_images as u64);
                number(&mut hash, limits.max_document_tokens as u64);
                number(&mut hash, limits.max_image_pixels);
                number(&mut hash, images.len() as u64);
                images.iter().for_each(|image| part(&mut hash, *image));
                number(&mut hash, texts.len() as u64);
                texts.iter().for_each(|text| part(&mut hash, text.map(str::as_bytes)));
            }
        }
        let mut key = [0; KEY_BYTES];
        hash.finalize_xof().fill(&mut key);
        Self(key)
    }

    /// A key from its bytes, as a segment holds them.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for ScoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScoreKey({:032x})", u128::from_be_bytes(self.0))
    }
}

fn number(hash: &mut blake3::Hasher, n: u64) {
    hash.update(&n.to_le_bytes());
}

/// A part that may be null: a null has a length that nothing else has.
fn part(hash: &mut blake3::Hasher, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            number(hash, bytes.len() as u64);
            hash.update(bytes);
        }
        None => number(hash, u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn pair<'a>(image: &'a [u8], text: &'a str) -> Sample<'a> {
        Sample::Pair { image, text }
    }

    #[test]
    fn equal_content_has_one_key() {
        let limits = Limits::default();
        assert_eq!(ScoreKey::of(&pair(b"img", "a cat"), &limits), ScoreKey::of(&pair(b"img", "a cat"), &limits));
    }

    #[test]
    fn whatever_differs_gives_another_key() {
        let limits = Limits::default();
        let document = |images: &[Option<&'static [u8]>], texts: &[Option<&'static str>]| Sample::Document {
            images: images.to_vec(),
            texts: texts.to_vec(),
        };
        let mut keys: Vec<ScoreKey> = [
            pair(b"ab", "c"),
            pair(b"a", "bc"),
            pair(b"", "abc"),
            pair(b"ab", ""),
            document(&[Some(b"ab")], &[Some("c")]),
            document(&[Some(b"ab"), None], &[None, Some("c")]),
            document(&[None, Some(b"ab")], &[Some("c"), None]),
            document(&[Some(b"")], &[None]),
            document(&[None], &[Some("")]),
            document(&[], &[]),
        ]
        .iter()
        .map(|sample| ScoreKey::of(sample, &limits))
        .collect();
        for limits in
            [Limits { max_text_tokens: 74, ..Limits::default() }, Limits { max_image_pixels: 1, ..Limits::default() }]
        {
            keys.push(ScoreKey::of(&pair(b"ab", "c"), &limits));
        }
        for limits in [
            Limits { max_document_images: 1, ..Limits::default() },
            Limits { max_document_tokens: 1, ..Limits::default() },
            Limits { max_image_pixels: 1, ..Limits::default() },
        ] {
            keys.push(ScoreKey::of(&document(&[Some(b"ab")], &[Some("c")]), &limits));
        }
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
    }

    #[test]
    fn a_limit_of_the_other_form_changes_nothing() {
        let other = Limits { max_document_tokens: 1, max_document_images: 1, ..Limits::default() };
        assert_eq!(ScoreKey::of(&pair(b"a", "b"), &other), ScoreKey::of(&pair(b"a", "b"), &Limits::default()));
    }
}
