//! Parts of sentences: things, places, what is behind.

use super::super::colours;
use super::super::english::{article, capitalised, joined, number, plural};
use super::super::places::{place_words, relation_words};
use super::super::scene::{Scene, Thing};
use crate::random::{Random, chance, one};

/// A thing without an article: "two brown kangaroos", "brown kangaroo".
pub(super) fn bare(thing: &Thing, random: &mut Random) -> String {
    let count = count(thing, random);
    [count, described(thing, random)].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A thing as it stands in a sentence: "two brown kangaroos", "a brown kangaroo".
pub(super) fn thing(thing: &Thing, random: &mut Random) -> String {
    let described = described(thing, random);
    let count = count(thing, random);
    if !count.is_empty() {
        return format!("{count} {described}");
    }
    match thing.is_countable {
        true if thing.count == 1 => format!("{} {described}", article(&described)),
        true if chance(random, 0.4) => format!("some {described}"),
        _ => described,
    }
}

/// The same as somebody says it who has spoken of it before: "the brown kangaroos".
pub(super) fn the_thing(thing: &Thing, random: &mut Random) -> String {
    let bare = bare(thing, random);
    match bare.split_once(' ') {
        Some(("a" | "one" | "1", rest)) => format!("the one {}", rest.strip_prefix("single ").unwrap_or(rest)),
        _ => format!("the {bare}"),
    }
}

/// How many there are, where that is said.
fn count(thing: &Thing, random: &mut Random) -> String {
    match (thing.says_count, thing.count) {
        (false, _) => String::new(),
        (true, 1) => one(random, &["one", "a single", "1", "one"]).to_string(),
        (true, 2) => one(random, &["two", "two", "2", "a pair of", "a couple of"]).to_string(),
        (true, 3) => one(random, &["three", "three", "3", "a trio of"]).to_string(),
        (true, n) if chance(random, 0.15) => n.to_string(),
        (true, n) => number(n),
    }
}

/// Size, colour and name.
fn described(thing: &Thing, random: &mut Random) -> String {
    let name = match thing.is_countable && thing.count > 1 {
        true => plural(&thing.name),
        false => thing.name.clone(),
    };
    let size = thing.size.as_deref().map(|size| size_word(size, random)).unwrap_or_default();
    let colour = thing.colour.clone().unwrap_or_default();
    [size, colour, name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn size_word(size: &str, random: &mut Random) -> String {
    match size.to_lowercase().as_str() {
        "small" => one(random, &["small", "little", "tiny", "small"]).to_string(),
        "large" => one(random, &["large", "big", "huge", "large"]).to_string(),
        _ => size.to_string(),
    }
}

/// All things with their places: "a brown kangaroo on the left and two cups".
pub(super) fn things(scene: &Scene, random: &mut Random) -> String {
    if let (Some(relation), [a, b]) = (scene.relation, scene.things.as_slice()) {
        let that_is = if a.is_plural() { " that are" } else { " that is" };
        let (a, b) = (thing(a, random), thing(b, random));
        let is = one(random, &["", "", " placed", that_is]);
        return format!("{a}{is} {} {b}", relation_words(relation, random));
    }
    let parts: Vec<String> = scene.things.iter().map(|t| placed(t, random)).collect();
    let and = match scene.things.iter().any(|thing| thing.place.is_some()) {
        true => one(random, &[" and ", " and ", ", and ", "; "]),
        false => one(random, &[" and ", " and ", " with ", " next to ", ", together with ", " & "]),
    };
    joined(&parts, and)
}

/// A thing and where it is.
pub(super) fn placed(of: &Thing, random: &mut Random) -> String {
    let words = thing(of, random);
    match &of.place {
        Some(place) => format!("{words} {}", place_words(place, random)),
        None => words,
    }
}

/// What is behind, as it follows the things; empty if nothing is said.
pub(super) fn behind(scene: &Scene, random: &mut Random) -> String {
    let Some(background) = &scene.background else { return String::new() };
    if colours::names_colour(background) {
        let words = one(
            random,
            &[
                "on {a} background",
                "on {a} background",
                "against {a} backdrop",
                "in front of {a} background",
                "set on {}",
                "with {a} background",
                "with {} behind",
                "against {}",
                "on {a} ground",
            ],
        );
        return filled_with(words, background);
    }
    let words = one(
        random,
        &["in front of {}", "with {} in the background", "against {}", "with {} behind", "(background: {})"],
    );
    words.replace("{}", background)
}

/// What is behind as a sentence of its own; `None` if nothing is said.
pub(super) fn behind_sentence(scene: &Scene, random: &mut Random) -> Option<String> {
    let background = scene.background.as_ref()?;
    let words = one(
        random,
        &[
            "The background is {}.",
            "Behind it all is {}.",
            "Everything stands in front of {}.",
            "What lies behind is {}.",
            "For a background it has {}.",
            "The rest is {}.",
            "{C} is what fills the background.",
        ],
    );
    Some(words.replace("{}", background).replace("{C}", &capitalised(background)))
}

/// Things and what is behind them: all that is said but the style.
pub(super) fn core(scene: &Scene, random: &mut Random) -> String {
    let things = things(scene, random);
    match behind(scene, random) {
        behind if behind.is_empty() => things,
        behind if chance(random, 0.15) => format!("{things}, {behind}"),
        behind => format!("{things} {behind}"),
    }
}

/// Things and background with the kind of picture in front, if that is said: "a drawing of two kangaroos".
pub(super) fn whole(scene: &Scene, random: &mut Random) -> String {
    let core = core(scene, random);
    match &scene.style {
        Some(style) => {
            let words = one(
                random,
                &[
                    "{a} of {core}",
                    "{a} of {core}",
                    "{a} that shows {core}",
                    "{core} ({})",
                    "{core}, {}",
                    "{core} as {a}",
                ],
            );
            filled_with(words, style).replace("{core}", &core)
        }
        None => core,
    }
}

/// Puts words into the places of `{}`, with an article into those of `{a}`.
fn filled_with(pattern: &str, words: &str) -> String {
    pattern.replace("{}", words).replace("{a}", &format!("{} {words}", article(words)))
}
