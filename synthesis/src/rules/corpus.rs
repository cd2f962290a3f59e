//! Samples by rules for all rows of a corpus.

use std::collections::HashMap;

use super::{Document, Facts, Library, Made, NotMade, Texts, World, captions, documents, rewritten};
use crate::Level;
use crate::random::random;
use crate::sample::{Quarantined, Sample, Usage, Words};
use crate::sources::{Content, Source};
use crate::split::Split;

/// The version of the rules: what the column `prompt` has. Other texts come of the same facts with another version.
pub const VERSION: &str = "rules-1";

/// What makes samples by rules. What wrong texts and documents take from other rows comes from the same split.
#[derive(Debug)]
pub struct Rules {
    world: World,
    texts: HashMap<Split, Texts>,
    libraries: HashMap<Split, Library<usize>>,
    seed: u64,
    variants: u32,
}

impl Rules {
    /// Looks at all rows of a corpus.
    pub fn of(rows: &[Source], splits: &[Split], seed: u64, variants: u32) -> Self {
        let mut scenes = vec![];
        let mut texts: HashMap<Split, Vec<String>> = HashMap::new();
        let mut papers: HashMap<Split, Vec<Document<usize>>> = HashMap::new();
        for (row, split) in rows.iter().zip(splits) {
            match &row.content {
                Content::Pair { facts: Some(facts), .. } => scenes.push(facts.clone()),
                Content::Pair { text: Some(text), .. } => texts.entry(*split).or_default().push(text.clone()),
                Content::Pair { .. } => {}
                Content::Document(document) => papers.entry(*split).or_default().push(document.clone()),
            }
        }
        Self {
            world: World::of(scenes),
            texts: texts.into_iter().map(|(split, texts)| (split, Texts::of(texts))).collect(),
            libraries: papers.into_iter().map(|(split, papers)| (split, Library::of(papers))).collect(),
            seed,
            variants,
        }
    }

    /// The samples of a row, and what could not be made of it.
    pub fn samples(&self, row: &Source, split: Split) -> (Vec<Sample>, Vec<Quarantined>) {
        let (seed, uid) = (self.seed, row.uid.as_str());
        match &row.content {
            Content::Pair { facts: Some(facts), .. } => {
                parted(uid, captions(facts, &self.world, seed, uid, self.variants), Words::Text)
            }
            Content::Pair { text: Some(text), .. } if !text.trim().is_empty() => {
                let none = Texts::default();
                let texts = self.texts.get(&split).unwrap_or(&none);
                parted(uid, rewritten(text, texts, seed, uid, self.variants), Words::Text)
            }
            Content::Pair { .. } => {
                let reason = "the rules need a true text or facts, and the row has neither".into();
                (vec![], vec![Quarantined { uid: uid.into(), level: None, reason }])
            }
            Content::Document(document) => {
                let none = Library::of(vec![]);
                let library = self.libraries.get(&split).unwrap_or(&none);
                parted(uid, documents(document, library, seed, uid, self.variants), Words::Document)
            }
        }
    }
}

/// A true caption of an image of which everything is known: what documents are made of.
pub fn true_caption(facts: &Facts, seed: u64, uid: &str) -> String {
    use super::scene::{Breadth, Scene};
    use super::wording::Wording;
    let random = &mut random(seed, &["caption", uid]);
    let scene = Scene::draw(facts, Breadth::Full, random);
    Wording::Prose.say(&scene, random)
}

fn parted<T>(uid: &str, made: Vec<Result<Made<T>, NotMade>>, words: fn(T) -> Words) -> (Vec<Sample>, Vec<Quarantined>) {
    let (mut samples, mut failed) = (vec![], vec![]);
    for made in made {
        match made {
            Ok(Made { level, variant, content, changed }) => {
                samples.push(Sample { level, variant, words: words(content), changed, usage: Usage::default() });
            }
            Err(NotMade { level, reason, .. }) => {
                failed.push(Quarantined { uid: uid.into(), level: Some(Level::number(level)), reason });
            }
        }
    }
    failed.dedup();
    (samples, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(uid: &str, text: Option<&str>, facts: Option<&str>) -> Source {
        let facts = facts.map(|facts| Facts::parse(facts).unwrap());
        Source {
            uid: uid.into(),
            split: None,
            content: Content::Pair { image: 0, text: text.map(str::to_string), facts },
        }
    }

    #[test]
    fn every_row_gives_samples_or_a_reason() {
        let rows = [
            pair("a", Some("A red car and two dogs."), None),
            pair("b", Some("A plate of soup on the table."), None),
            pair("c", None, Some(r#"{"objects":[{"name":"owl","kin":["crow"],"colour":"white"}]}"#)),
            pair("d", None, Some(r#"{"objects":[{"name":"bus","kin":["car"],"colour":"red"}]}"#)),
            pair("e", None, None),
            pair("f", Some(" "), None),
        ];
        let splits = [Split::Train; 6];
        let rules = Rules::of(&rows, &splits, 1, 2);
        let made: Vec<_> = rows.iter().map(|row| rules.samples(row, Split::Train)).collect();
        assert_eq!(made.iter().map(|(s, _)| s.len()).collect::<Vec<_>>(), [8, 8, 8, 8, 0, 0]);
        assert_eq!(made[4].1[0].uid, "e");
        assert!(made[4].1[0].reason.contains("neither"));
        let Content::Pair { facts: Some(facts), .. } = &rows[2].content else { unreachable!() };
        assert!(true_caption(facts, 1, "c").to_lowercase().contains("white owl"));
    }

    #[test]
    fn what_is_unrelated_comes_from_the_same_split() {
        let rows = [pair("a", Some("Two red cars."), None), pair("b", Some("A bowl of soup."), None)];
        let rules = Rules::of(&rows, &[Split::Train, Split::Test], 1, 1);
        let (_, failed) = rules.samples(&rows[0], Split::Train);
        assert_eq!(failed.iter().map(|f| f.level).collect::<Vec<_>>(), [Some(0)]);
    }
}
