//! Texts of four levels from a true caption alone, of which nothing else is known: by changing its words.

use std::collections::HashSet;

use rand::Rng;
use rand::seq::SliceRandom;

use super::english::{capitalised, number, parse_number};
use super::{Made, NotMade, colours, lexicon};
use crate::Level;
use crate::random::{Random, any, chance, one, random};

/// How many texts are looked at for one that has nothing in common.
const TRIES: usize = 80;

/// Words that say nothing of what a text is about.
const EMPTY: [&str; 40] = [
    "a",
    "an",
    "the",
    "of",
    "in",
    "on",
    "at",
    "and",
    "or",
    "with",
    "to",
    "is",
    "are",
    "it",
    "its",
    "this",
    "that",
    "there",
    "for",
    "by",
    "from",
    "as",
    "be",
    "was",
    "were",
    "his",
    "her",
    "their",
    "one",
    "two",
    "picture",
    "image",
    "photo",
    "photograph",
    "which",
    "has",
    "have",
    "some",
    "near",
    "into",
];

/// All texts of a corpus: where unrelated ones are taken from.
#[derive(Debug, Default)]
pub struct Texts {
    texts: Vec<(String, HashSet<String>)>,
}

impl Texts {
    /// Gathers the texts of all rows.
    pub fn of(texts: impl IntoIterator<Item = String>) -> Self {
        let texts = texts.into_iter().map(|text| {
            let words = subjects(&text);
            (text, words)
        });
        Self { texts: texts.collect() }
    }

    /// A text that has no word with this one in common, or as few as can be.
    fn far_from(&self, text: &str, random: &mut Random) -> Option<&str> {
        let own = subjects(text);
        let drawn: Vec<&(String, HashSet<String>)> = (0..TRIES).filter_map(|_| any(random, &self.texts)).collect();
        let common = |words: &HashSet<String>| words.intersection(&own).count();
        let far = drawn
            .into_iter()
            .filter(|(other, words)| other != text && !words.is_empty())
            .min_by_key(|(_, w)| common(w))?;
        // A text of the same subject is no unrelated one.
        (common(&far.1) * 4 <= own.len()).then_some(far.0.as_str())
    }
}

/// The words that a text is about.
fn subjects(text: &str) -> HashSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| word.len() > 2 && !EMPTY.contains(&word.as_str())).collect()
}

/// Texts of all four levels from a true one, `variants` of each; those that cannot be made are told with the reason.
pub fn rewritten(text: &str, texts: &Texts, seed: u64, uid: &str, variants: u32) -> Vec<Result<Made, NotMade>> {
    let levels = Level::ALL.into_iter().flat_map(|level| (0..variants).map(move |variant| (level, variant)));
    levels
        .map(|(level, variant)| {
            let random = &mut random(seed, &[uid, &level.to_string(), &variant.to_string()]);
            let not = |reason: &str| NotMade { level, variant, reason: reason.to_string() };
            let (content, changed) = match level {
                Level::Faithful => (text.to_string(), None),
                Level::Flawed => {
                    let (text, changed) = changed(text, 1, 1, random).ok_or_else(|| not(NOTHING))?;
                    (text, Some(changed))
                }
                Level::Poor => {
                    let (text, changed) = changed(text, 2, usize::MAX, random).ok_or_else(|| not(TOO_LITTLE))?;
                    (text, Some(changed))
                }
                Level::Unrelated => {
                    let other =
                        texts.far_from(text, random).ok_or_else(|| not("no text of the corpus is far from it"))?;
                    (other.to_string(), None)
                }
            };
            let is_lowered = variant > 0 && chance(random, 0.2);
            Ok(Made { level, variant, content: if is_lowered { content.to_lowercase() } else { content }, changed })
        })
        .collect()
}

const NOTHING: &str = "none of its words is one that the rules can change; a column of facts, or a model, can";

const TOO_LITTLE: &str = "the rules can change fewer than two of its words; a column of facts, or a model, can";

/// What a word can be replaced by, and which property that changes.
fn replacement(word: &str, random: &mut Random) -> Option<(String, &'static str)> {
    let lower = word.to_lowercase();
    if let Some(colour) = colours::another(&lower, random) {
        return Some((colour, "colour"));
    }
    if let Some(n) = parse_number(&lower).filter(|n| (2..=20).contains(n)) {
        let other = if chance(random, 0.5) { n + random.random_range(1..=2) } else { 2.max(n - 1) };
        let other = if other == n { n + 1 } else { other };
        let is_word = lower.parse::<u32>().is_err();
        return Some((if is_word { number(other) } else { other.to_string() }, "count"));
    }
    if let Some(other) = lexicon::opposite(&lower, random) {
        let property = match other {
            "left" | "right" | "top" | "bottom" | "above" | "below" | "upper" | "lower" | "under" | "over"
            | "inside" | "outside" | "foreground" | "background" | "front" | "back" => "position",
            "small" | "large" | "little" | "big" | "tiny" | "huge" | "tall" | "short" | "long" => "size",
            _ => "attribute",
        };
        return Some((other.to_string(), property));
    }
    lexicon::sibling(&lower, random).map(|other| (other.to_string(), "object"))
}

/// Replaces words, at least and at most so many, or most of those that can be; what was changed. `None` if there are too few.
pub(super) fn changed(text: &str, least: usize, most: usize, random: &mut Random) -> Option<(String, String)> {
    let mut pieces = pieces(text);
    let mut places: Vec<usize> = (0..pieces.len()).filter(|i| i % 2 == 0).collect();
    places.shuffle(random);
    let mut changed: Vec<&str> = vec![];
    let mut skipped = false;
    for i in places {
        if changed.len() >= most {
            break;
        }
        let Some((other, property)) = replacement(&pieces[i], random) else { continue };
        // Most are wrong, and not all of them always.
        if most > 1 && changed.len() >= least && !skipped && chance(random, 0.2) {
            skipped = true;
            continue;
        }
        pieces[i] = like(&pieces[i], other);
        if let Some(before) =
            i.checked_sub(2).filter(|before| ["a", "an"].contains(&pieces[*before].to_lowercase().as_str()))
        {
            pieces[before] = like(&pieces[before], super::english::article(&pieces[i]).to_string());
        }
        changed.push(property);
    }
    if changed.len() < least {
        return None;
    }
    changed.sort_unstable();
    changed.dedup();
    Some((pieces.concat(), changed.join(",")))
}

/// Words and what is between them, in turn.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for c in text.chars() {
        let in_word = pieces.len() % 2 == 1;
        if c.is_alphanumeric() != in_word {
            pieces.push(String::new());
        }
        if let Some(last) = pieces.last_mut() {
            last.push(c);
        }
    }
    pieces
}

/// The word with a capital where the one that it replaces has one.
fn like(replaced: &str, word: String) -> String {
    if replaced.starts_with(char::is_uppercase) { capitalised(&word) } else { word }
}

/// Damages the writing of a share of the words, as people and scanners do.
pub(super) fn with_errors(text: &str, share: f64, random: &mut Random) -> String {
    let words = text.split(' ').map(|word| {
        let mut letters: Vec<char> = word.chars().collect();
        if letters.len() < 4 || !chance(random, share) {
            return word.to_string();
        }
        let i = random.random_range(1..letters.len() - 1);
        match one(random, &["swap", "drop", "double", "other"]) {
            "swap" => letters.swap(i, i - 1),
            "drop" => drop(letters.remove(i)),
            "double" => letters.insert(i, letters[i]),
            _ => letters[i] = char::from(random.random_range(b'a'..=b'z')),
        }
        letters.into_iter().collect()
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Texts {
        let texts = [
            "A red car parked in front of a small house",
            "Two dogs run along a beach",
            "A bowl of soup on a wooden table",
        ];
        Texts::of(texts.map(str::to_string))
    }

    #[test]
    fn a_true_text_gives_four_levels() {
        let text = "An orange cat sits to the left of two small dogs.";
        let made: Vec<_> = rewritten(text, &corpus(), 3, "u", 8).into_iter().map(Result::unwrap).collect();
        let of = |level| made.iter().filter(move |made| made.level == level);
        assert!(of(Level::Faithful).all(|made| made.content.eq_ignore_ascii_case(text)));
        for flawed in of(Level::Flawed) {
            let words = |text: &str| text.to_lowercase().split(' ').map(str::to_string).collect::<Vec<_>>();
            let (a, b) = (words(text), words(&flawed.content));
            let differ = a.iter().zip(&b).filter(|(a, b)| a != b && !["a", "an"].contains(&a.as_str())).count();
            assert_eq!((differ, a.len()), (1, b.len()), "{}", flawed.content);
        }
        for poor in of(Level::Poor) {
            assert!(poor.changed.as_ref().unwrap().contains(','), "{poor:?}");
        }
        for unrelated in of(Level::Unrelated) {
            assert!(!unrelated.content.to_lowercase().contains("dogs"), "{}", unrelated.content);
        }
        let properties: HashSet<_> = of(Level::Flawed).filter_map(|made| made.changed.clone()).collect();
        assert!(properties.len() >= 3, "{properties:?}");
    }

    #[test]
    fn a_text_without_a_word_to_change_is_told() {
        let results = rewritten("Inertia.", &corpus(), 1, "u", 1);
        let failed: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).map(|e| e.level).collect();
        assert_eq!(failed, [Level::Flawed, Level::Poor]);
    }

    #[test]
    fn errors_in_writing_are_as_many_as_asked_for() {
        let text = "words without any errors stand here together ".repeat(50);
        let damaged = with_errors(&text, 0.2, &mut random(1, &[]));
        let differ = text.split(' ').zip(damaged.split(' ')).filter(|(a, b)| a != b).count();
        assert!((40..100).contains(&differ), "{differ} of 350");
        assert_eq!(with_errors(&text, 0.0, &mut random(1, &[])), text);
    }
}
