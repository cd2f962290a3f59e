//! How a text is put: sentences, names, lists, titles, prose, and the tones of other kinds of text.
//!
//! The wording is drawn before the level, and says what it is given, right or wrong. So nothing about how a text is put,
//! neither its kind nor its length, tells its level.

mod frames;
mod lists;
mod phrases;
mod prose;
mod sentences;

use super::scene::{Breadth, Scene};
use crate::random::{Random, chance, weighted};

/// A way to put what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wording {
    /// One sentence of a caption.
    Sentence,
    /// Several sentences.
    Prose,
    /// Prose of somebody who thinks about what they see.
    Essay,
    /// The bare name of a thing.
    Name,
    /// A name with its keywords.
    Note,
    /// A list of words.
    Keywords,
    /// Words with a sign in front.
    Hashtags,
    /// What stands in a page in place of a picture.
    AlternativeText,
    /// A short title.
    Title,
    /// A list of things, one a line.
    Listing,
    /// The name of a file.
    FileName,
    /// In the tone of something else: news, shops, logs, letters, questions.
    Frame,
}

impl Wording {
    /// All wordings, and how often each is drawn.
    pub(crate) const ALL: [(Self, f64); 12] = [
        (Self::Sentence, 5.0),
        (Self::Prose, 2.6),
        (Self::Essay, 1.6),
        (Self::Name, 1.5),
        (Self::Note, 0.7),
        (Self::Keywords, 1.3),
        (Self::Hashtags, 0.3),
        (Self::AlternativeText, 1.3),
        (Self::Title, 1.2),
        (Self::Listing, 0.5),
        (Self::FileName, 0.3),
        (Self::Frame, 2.7),
    ];

    /// Draws a wording.
    pub(crate) fn draw(random: &mut Random) -> Self {
        weighted(random, &Self::ALL).unwrap_or(Self::Sentence)
    }

    /// Draws how much a text of this wording says.
    pub(crate) fn breadth(self, random: &mut Random) -> Breadth {
        let (name, short, full) = match self {
            Self::Name | Self::Note => (1.0, 0.0, 0.0),
            Self::Keywords | Self::Hashtags => (0.35, 0.45, 0.2),
            Self::Title | Self::FileName => (0.25, 0.5, 0.25),
            Self::AlternativeText => (0.15, 0.35, 0.5),
            Self::Sentence | Self::Frame => (0.06, 0.24, 0.7),
            Self::Essay => (0.04, 0.16, 0.8),
            Self::Prose | Self::Listing => (0.0, 0.1, 0.9),
        };
        weighted(random, &[(Breadth::Name, name), (Breadth::Short, short), (Breadth::Full, full)])
            .unwrap_or(Breadth::Full)
    }

    /// Puts into words all that a scene says.
    pub(crate) fn say(self, scene: &Scene, random: &mut Random) -> String {
        let text = match self {
            Self::Sentence => sentences::sentence(scene, random),
            Self::Prose => prose::prose(scene, random),
            Self::Essay => prose::essay(scene, random),
            Self::Name => lists::name(scene, random),
            Self::Note => lists::note(scene, random),
            Self::Keywords => lists::keywords(scene, random),
            Self::Hashtags => lists::hashtags(scene, random),
            Self::AlternativeText => lists::alternative_text(scene, random),
            Self::Title => lists::title(scene, random),
            Self::Listing => lists::listing(scene, random),
            Self::FileName => lists::file_name(scene, random),
            Self::Frame => frames::framed(scene, random),
        };
        if chance(random, 0.1) { text.to_lowercase() } else { text }
    }
}

#[cfg(test)]
mod tests;
