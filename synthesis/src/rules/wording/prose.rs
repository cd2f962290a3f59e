//! Several sentences: a plain description, and the tone of somebody who thinks aloud.

use rand::seq::SliceRandom;

use super::super::english::{article, capitalised};
use super::super::places::{place_words, relation_words};
use super::super::scene::Scene;
use super::phrases::{behind_sentence, placed, the_thing, thing, whole};
use super::sentences::with_picture;
use crate::random::{Random, chance, one};

/// Sentences about a first thing.
const FIRST: [&str; 9] = [
    "The {picture} shows {}.",
    "There is {}.",
    "At first glance one sees {}.",
    "First of all, there is {}.",
    "{C} can be seen.",
    "You will notice {}.",
    "What we have is {}.",
    "{C}.",
    "This is a {picture} with {}.",
];

/// Sentences about another.
const NEXT: [&str; 9] = [
    "There is also {}.",
    "Besides, one finds {}.",
    "Then comes {}.",
    "Next, there is {}.",
    "In addition, {} can be made out.",
    "It also has {}.",
    "And {}.",
    "{C}, too.",
    "Not to forget: {}.",
];

/// Sentences that say nothing of what is to be seen.
const FILLERS: [&str; 12] = [
    "That is all one needs to know.",
    "The arrangement is a simple one.",
    "It takes only a moment to look at.",
    "Make of it what you will.",
    "Nothing about it is hurried.",
    "It could hang in a kitchen.",
    "The whole makes a tidy impression.",
    "Somebody took care with it.",
    "It has been looked at many times before.",
    "One would know it again.",
    "The composition needs no explanation.",
    "It is what it is.",
];

/// Sentences of somebody who thinks aloud; `{}` is all that is said.
const ESSAYS: [&str; 20] = [
    "There is something quietly satisfying about {}.",
    "I have always thought that {} deserves a second look.",
    "Consider, for a moment, {}: it asks for nothing, and yet one keeps looking.",
    "Whoever made this had {} in mind, and nothing else.",
    "Of all the subjects in the world, someone settled on {}.",
    "It is easy to pass by {} and think no more of it.",
    "What can one say about {} that has not been said before?",
    "In the end the eye returns to {}.",
    "Perhaps the charm lies in its plainness: {}.",
    "A child would tell you at once what this is: {}.",
    "The longer one looks, the more {} seems like a small story.",
    "Critics may disagree, but {} holds its own.",
    "My grandmother kept a card with {}, and it looked much like this one.",
    "Between the lines, this is about {}.",
    "Let others have their landscapes; here we are given {}.",
    "Not every page needs words. This one has {}.",
    "If there is a lesson in {}, it is a modest one.",
    "The subject could hardly be more ordinary: {}.",
    "On reflection, {} is as good a subject as any.",
    "History has little to say about {}, which is a pity.",
];

/// Sentences around them.
const THOUGHTS: [&str; 12] = [
    "Such things are often underrated.",
    "We rarely stop to notice.",
    "Taste, of course, cannot be argued about.",
    "It is said that a picture replaces a thousand words; here a few are enough.",
    "The rest is left to the reader.",
    "Some of this is a matter of habit.",
    "One may smile at it, and rightly so.",
    "There are worse ways to spend a minute.",
    "It was made to be understood, not admired.",
    "Opinions differ, as they should.",
    "That, at least, is how it seems to me.",
    "The old masters would have shrugged.",
];

/// A description of several sentences.
pub(super) fn prose(scene: &Scene, random: &mut Random) -> String {
    let mut sentences = vec![];
    if let (Some(relation), [a, b]) = (scene.relation, scene.things.as_slice()) {
        let (first, second) = (thing(a, random), thing(b, random));
        sentences.push(put(one(random, &FIRST), &format!("{first} and {second}"), random));
        let is = if a.is_plural() { "are" } else { "is" };
        let (a, b) = (
            bare_reference(&a.name, a.count > 1 && a.is_countable),
            bare_reference(&b.name, b.count > 1 && b.is_countable),
        );
        sentences.push(format!("{} {is} {} {b}.", capitalised(&a), relation_words(relation, random)));
    } else {
        for (i, of) in scene.things.iter().enumerate() {
            let pattern = if i == 0 { one(random, &FIRST) } else { one(random, &NEXT) };
            match &of.place {
                Some(place) if chance(random, 0.4) => {
                    let there = capitalised(&place_words(place, random));
                    let link = one(random, &[" there is ", ": ", " one finds ", " you can see ", ", "]);
                    sentences.push(format!("{there}{link}{}.", thing(of, random)));
                }
                _ => sentences.push(put(pattern, &placed(of, random), random)),
            }
        }
    }
    sentences.extend(behind_sentence(scene, random));
    sentences.extend(scene.style.as_ref().map(|style| {
        one(random, &["It is {a}.", "The whole is {a}.", "All of it in the manner of {a}.", "We are looking at {a}."])
            .replace("{a}", &format!("{} {style}", article(style)))
    }));
    if chance(random, 0.35) {
        sentences.push(one(random, &FILLERS).to_string());
    }
    sentences.join(" ")
}

/// Prose of somebody who thinks aloud about what they see.
pub(super) fn essay(scene: &Scene, random: &mut Random) -> String {
    let main = match scene.things.as_slice() {
        [only]
            if scene.background.is_none() && scene.style.is_none() && only.place.is_none() && chance(random, 0.3) =>
        {
            the_thing(only, random)
        }
        _ => whole(scene, random),
    };
    let main = put(one(random, &ESSAYS), &main, random);
    let mut thoughts = THOUGHTS;
    thoughts.shuffle(random);
    match one(random, &[&0, &1, &1, &2]) {
        0 => main,
        1 if chance(random, 0.5) => format!("{main} {}", thoughts[0]),
        1 => format!("{} {main}", thoughts[0]),
        _ => format!("{} {main} {}", thoughts[0], thoughts[1]),
    }
}

fn bare_reference(name: &str, is_plural: bool) -> String {
    let name = if is_plural { super::super::english::plural(name) } else { name.to_string() };
    format!("the {name}")
}

fn put(pattern: &str, words: &str, random: &mut Random) -> String {
    with_picture(pattern, random).replace("{}", words).replace("{C}", &capitalised(words))
}
