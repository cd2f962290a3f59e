//! Interleaved documents of four levels: by moving images, bringing in foreign ones, and damaging the text.

use rand::Rng;
use rand::seq::{SliceRandom, index};

use super::texts::{changed, with_errors};
use super::{Made, NotMade};
use crate::Level;
use crate::random::{Random, any, chance, random};

/// A part of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Part<I> {
    /// An image, by what names it.
    Image(I),
    /// A text.
    Text(String),
}

/// Texts and images in the order in which they are read.
pub type Document<I> = Vec<Part<I>>;

/// All documents of a corpus: where foreign images and texts are taken from.
#[derive(Debug)]
pub struct Library<I> {
    documents: Vec<Document<I>>,
}

impl<I: Copy + PartialEq> Library<I> {
    /// Gathers the documents of all rows.
    pub fn of(documents: Vec<Document<I>>) -> Self {
        Self { documents }
    }

    /// Another document.
    fn other(&self, than: &Document<I>, random: &mut Random) -> Option<&Document<I>> {
        (0..20).filter_map(|_| any(random, &self.documents)).find(|found| *found != than)
    }

    /// An image of another document, that is not in this one.
    fn foreign_image(&self, to: &Document<I>, random: &mut Random) -> Option<I> {
        (0..20).find_map(|_| {
            let other = any(random, &self.documents)?;
            let images: Vec<I> = images(other).filter(|image| !to.contains(&Part::Image(*image))).collect();
            any(random, &images).copied()
        })
    }
}

/// The images of a document.
fn images<I: Copy>(document: &Document<I>) -> impl Iterator<Item = I> {
    document.iter().filter_map(|part| match part {
        Part::Image(image) => Some(*image),
        Part::Text(_) => None,
    })
}

/// Documents of all four levels, `variants` of each; those that cannot be made are told with the reason.
pub fn documents<I: Copy + PartialEq>(
    document: &Document<I>,
    library: &Library<I>,
    seed: u64,
    uid: &str,
    variants: u32,
) -> Vec<Result<Made<Document<I>>, NotMade>> {
    let levels = Level::ALL.into_iter().flat_map(|level| (0..variants).map(move |variant| (level, variant)));
    levels
        .map(|(level, variant)| {
            let random = &mut random(seed, &["document", uid, &level.to_string(), &variant.to_string()]);
            let made = match level {
                Level::Faithful => Some((document.clone(), None)),
                Level::Flawed => flawed(document, library, random).map(|(made, changed)| (made, Some(changed))),
                Level::Poor => Some((poor(document, library, random), Some("writing,images,substance".into()))),
                Level::Unrelated => unrelated(document, library, random).map(|made| (made, None)),
            };
            let reason = "no other document of the corpus has an image or a text to bring in".into();
            let (content, changed) = made.ok_or(NotMade { level, variant, reason })?;
            Ok(Made { level, variant, content, changed })
        })
        .collect()
}

/// Some errors in writing, one false statement, an image that is foreign or in another's place.
fn flawed<I: Copy + PartialEq>(
    document: &Document<I>,
    library: &Library<I>,
    random: &mut Random,
) -> Option<(Document<I>, String)> {
    let mut made = document.clone();
    let mut what = vec!["writing"];
    let places: Vec<usize> = (0..made.len()).filter(|i| matches!(made[*i], Part::Image(_))).collect();
    if places.len() > 1 && chance(random, 0.5) {
        let (a, b) = (places[random.random_range(0..places.len())], places[random.random_range(0..places.len())]);
        if a != b {
            made.swap(a, b);
            what.push("images");
        }
    }
    if let Some(place) = any(random, &places).filter(|_| what.len() == 1) {
        made[*place] = Part::Image(library.foreign_image(document, random)?);
        what.push("images");
    }
    let mut texts: Vec<&mut String> = texts(&mut made).collect();
    texts.shuffle(random);
    let mut is_false = false;
    for text in texts {
        if let Some((wrong, _)) = changed(text, 1, 1, random).filter(|_| !is_false) {
            *text = wrong;
            is_false = true;
        }
        *text = with_errors(text, 0.05, random);
    }
    if is_false {
        what.push("statement");
    }
    Some((made, what.join(",")))
}

/// Half of the sentences with more errors, and the images anywhere.
fn poor<I: Copy + PartialEq>(document: &Document<I>, library: &Library<I>, random: &mut Random) -> Document<I> {
    let mut pictures: Vec<I> = images(document).collect();
    pictures.shuffle(random);
    for picture in &mut pictures {
        if chance(random, 0.35) {
            *picture = library.foreign_image(document, random).unwrap_or(*picture);
        }
    }
    let mut made = vec![];
    for part in document {
        let Part::Text(text) = part else { continue };
        let sentences = sentences(text);
        let mut kept = index::sample(random, sentences.len(), sentences.len().div_ceil(2)).into_vec();
        kept.sort_unstable();
        let kept: Vec<&str> = kept.into_iter().map(|i| sentences[i]).collect();
        made.push(Part::Text(with_errors(&kept.join(" "), 0.12, random)));
    }
    scattered(made, pictures, random)
}

/// Words of several documents in any order with many errors, and images of others.
fn unrelated<I: Copy + PartialEq>(
    document: &Document<I>,
    library: &Library<I>,
    random: &mut Random,
) -> Option<Document<I>> {
    let count = images(document).count();
    let pictures: Option<Vec<I>> = (0..count).map(|_| library.foreign_image(document, random)).collect();
    let pictures = pictures?;
    let other = library.other(document, random)?;
    let mut made = vec![];
    for (i, part) in document.iter().enumerate() {
        let Part::Text(own) = part else { continue };
        let foreign = match other.get(i % other.len().max(1)) {
            Some(Part::Text(foreign)) => foreign.as_str(),
            _ => "",
        };
        let mut words: Vec<&str> = own.split_whitespace().chain(foreign.split_whitespace()).collect();
        let length = own.split_whitespace().count();
        words.shuffle(random);
        words.truncate(length.max(1));
        made.push(Part::Text(with_errors(&words.join(" "), 0.3, random)));
    }
    made.shuffle(random);
    Some(scattered(made, pictures, random))
}

/// Puts images in any places among texts.
fn scattered<I>(mut parts: Document<I>, pictures: Vec<I>, random: &mut Random) -> Document<I> {
    for picture in pictures {
        let place = random.random_range(0..=parts.len());
        parts.insert(place, Part::Image(picture));
    }
    parts
}

fn texts<I>(document: &mut Document<I>) -> impl Iterator<Item = &mut String> {
    document.iter_mut().filter_map(|part| match part {
        Part::Text(text) => Some(text),
        Part::Image(_) => None,
    })
}

/// The sentences of a text, at least one.
fn sentences(text: &str) -> Vec<&str> {
    let found: Vec<&str> =
        text.split_inclusive(['.', '!', '?', '\n']).map(str::trim).filter(|s| !s.is_empty()).collect();
    if found.is_empty() { vec![text] } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library() -> Library<u32> {
        let document = |n: u32| {
            vec![
                Part::Text(format!(
                    "The first red house of street {n} has two doors. It is small. Nobody lives there now."
                )),
                Part::Image(n * 10),
                Part::Text("A dog sleeps in front of it during the day. The window is open.".into()),
                Part::Image(n * 10 + 1),
            ]
        };
        Library::of((1..6).map(document).collect())
    }

    fn of_level(made: &[Made<Document<u32>>], level: Level) -> impl Iterator<Item = &Document<u32>> {
        made.iter().filter(move |made| made.level == level).map(|made| &made.content)
    }

    #[test]
    fn levels_are_as_they_are_defined() {
        let library = library();
        let document = &library.documents[0];
        let made: Vec<_> = documents(document, &library, 1, "d", 20).into_iter().map(Result::unwrap).collect();
        assert!(of_level(&made, Level::Faithful).all(|made| made == document));
        let own = |document: &Document<u32>| images(document).filter(|image| *image < 20).count();
        for flawed in of_level(&made, Level::Flawed) {
            assert_eq!(images(flawed).count(), 2);
            assert!(own(flawed) >= 1 && flawed != document, "{flawed:?}");
        }
        let length = |document: &Document<u32>| {
            document.iter().map(|part| if let Part::Text(text) = part { text.len() } else { 0 }).sum::<usize>()
        };
        for poor in of_level(&made, Level::Poor) {
            assert!(length(poor) < length(document) && images(poor).count() == 2, "{poor:?}");
        }
        assert!(of_level(&made, Level::Unrelated).all(|made| own(made) == 0 && images(made).count() == 2));
        assert_eq!(documents(document, &library, 1, "d", 2), documents(document, &library, 1, "d", 2));
    }

    #[test]
    fn a_corpus_of_one_document_has_no_foreign_images() {
        let library = Library::of(vec![vec![Part::Text("One text.".into()), Part::Image(1)]]);
        let results = documents(&library.documents[0], &library, 1, "d", 1);
        let failed: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).map(|e| e.level).collect();
        assert_eq!(failed, [Level::Flawed, Level::Unrelated]);
    }
}
