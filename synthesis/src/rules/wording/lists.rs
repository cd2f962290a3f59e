//! Texts that are no sentences: names, lists of words, titles, file names.

use rand::Rng;
use rand::seq::SliceRandom;

use super::super::colours;
use super::super::english::{capitalised, joined, titled};
use super::super::places::relation_words;
use super::super::scene::{Scene, Thing};
use super::phrases::{bare, behind, core, placed, thing, whole};
use crate::random::{Random, chance, one};

/// The bare name of a thing: "kangaroo", "two brown kangaroos".
pub(super) fn name(scene: &Scene, random: &mut Random) -> String {
    let text = match scene.background.is_some() || scene.style.is_some() {
        true => whole(scene, random),
        false if chance(random, 0.25) => thing(&scene.things[0], random),
        false => bare(&scene.things[0], random),
    };
    match random.random_range(0..10) {
        0..2 => capitalised(&text),
        2 => format!("{}.", capitalised(&text)),
        3 => titled(&text),
        _ => text,
    }
}

/// A name with words that belong to it: "kangaroo (animal, marsupial)".
pub(super) fn note(scene: &Scene, random: &mut Random) -> String {
    let first = bare(&scene.things[0], random);
    let mut words = some_keywords(&scene.things[0], 4, random);
    words.extend(of_the_whole(scene));
    if words.is_empty() {
        return one(random, &["{}", "entry: {}", "{} (see there)", "the word \"{}\""]).replace("{}", &first);
    }
    let pattern = one(
        random,
        &[
            "{} ({w})",
            "{}: {w}",
            "{} - {w}",
            "{}; {w}",
            "{} / {w}",
            "{}. See also: {w}",
            "{}, kind: {w}",
            "{} [{w}]",
            "{} = {w}",
        ],
    );
    let first = if chance(random, 0.4) { capitalised(&first) } else { first };
    pattern.replace("{}", &first).replace("{w}", &words.join(one(random, &[", ", ", ", " / ", "; "])))
}

/// A list of words in any order.
pub(super) fn keywords(scene: &Scene, random: &mut Random) -> String {
    let mut words = parts(scene, random);
    for thing in &scene.things {
        words.extend(some_keywords(thing, 3, random));
    }
    words.shuffle(random);
    let mut seen = std::collections::HashSet::new();
    words.retain(|word| seen.insert(word.to_lowercase()));
    let list = words.join(one(random, &[", ", ", ", ", ", "; ", " | ", " / ", " "]));
    one(random, &["{}", "{}", "{}", "{}", "tags: {}", "keywords: {}", "Keywords: {}", "stock: {}", "search terms: {}"])
        .replace("{}", &list)
}

/// Words with a sign in front of each.
pub(super) fn hashtags(scene: &Scene, random: &mut Random) -> String {
    let mut words = parts(scene, random);
    for thing in &scene.things {
        words.extend(some_keywords(thing, 2, random));
    }
    words.shuffle(random);
    let join = if chance(random, 0.5) { "" } else { "_" };
    let tags: Vec<String> = words.iter().map(|word| format!("#{}", word.replace(' ', join))).collect();
    tags.join(" ")
}

/// What stands in a page in place of a picture.
pub(super) fn alternative_text(scene: &Scene, random: &mut Random) -> String {
    let text = match scene.relation {
        Some(_) => whole(scene, random),
        None if chance(random, 0.5) => parts(scene, random).join(", "),
        None => whole(scene, random),
    };
    one(
        random,
        &["{}", "{}", "{}", "Image: {}", "alt=\"{}\"", "[{}]", "image of {}", "Figure: {}", "({})", "Graphic: {}."],
    )
    .replace("{}", &text)
}

/// A short title.
pub(super) fn title(scene: &Scene, random: &mut Random) -> String {
    let text = match scene.relation {
        Some(_) => core(scene, random),
        None => {
            let things: Vec<String> = scene.things.iter().map(|t| bare_placed(t)(random)).collect();
            [joined(&things, one(random, &[" and ", " & ", " with "])), behind(scene, random)].join(" ")
        }
    };
    let text = match &scene.style {
        Some(style) => format!("{} ({style})", text.trim()),
        None => text.trim().to_string(),
    };
    let text = if chance(random, 0.7) { titled(&text) } else { capitalised(&text) };
    one(random, &["{}", "{}", "{}", "{}", "{} I", "No. 4: {}", "Study: {}", "\"{}\"", "{} - untitled series", "The {}"])
        .replace("{}", &text)
}

/// One thing a line.
pub(super) fn listing(scene: &Scene, random: &mut Random) -> String {
    let mut lines = match (scene.relation, scene.things.as_slice()) {
        (Some(relation), [a, b]) => {
            vec![
                thing(a, random),
                format!("{} {} it", thing(b, random), relation_words(super::super::places::opposite(relation), random)),
            ]
        }
        _ => scene.things.iter().map(|t| placed(t, random)).collect(),
    };
    lines.extend(scene.background.as_ref().map(|background| format!("background: {background}")));
    lines.extend(scene.style.as_ref().map(|style| format!("kind: {style}")));
    let (head, sign) =
        one(random, &[&("", "- "), &("Contents:\n", "- "), &("What it shows:\n", "* "), &("", ""), &("Seen:\n", "+ ")]);
    let lines: Vec<String> = lines.into_iter().map(|line| format!("{sign}{line}")).collect();
    format!("{head}{}", lines.join("\n"))
}

/// The name of a file.
pub(super) fn file_name(scene: &Scene, random: &mut Random) -> String {
    let join = one(random, &["_", "-", "-", ""]);
    let text = core(scene, random);
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !["", "a", "an", "the"].contains(word));
    let words: Vec<String> =
        words.map(|word| if join.is_empty() { capitalised(word) } else { word.to_lowercase() }).collect();
    let style = scene.style.as_ref().map(|style| format!("{join}{}", style.replace(' ', join))).unwrap_or_default();
    let number = if chance(random, 0.4) { format!("{join}{:03}", random.random_range(1..400)) } else { String::new() };
    format!("{}{style}{number}{}", words.join(join), one(random, &[".png", ".jpg", ".jpeg", "", ".webp", "_final.png"]))
}

/// What is said, in pieces.
fn parts(scene: &Scene, random: &mut Random) -> Vec<String> {
    if scene.relation.is_some() {
        let mut parts = vec![super::phrases::things(scene, random)];
        parts.extend(of_the_whole(scene));
        return parts;
    }
    let mut parts: Vec<String> = scene.things.iter().map(|thing| bare_placed(thing)(random)).collect();
    parts.extend(of_the_whole(scene));
    parts
}

/// A thing and its place, both as short as they can be.
fn bare_placed(thing: &Thing) -> impl FnOnce(&mut Random) -> String {
    move |random| match &thing.place {
        Some(place) => format!("{} {}{place}", bare(thing, random), one(random, &["", "at "])),
        None => bare(thing, random),
    }
}

/// Background and style, where they are said.
fn of_the_whole(scene: &Scene) -> Vec<String> {
    let background = scene.background.iter().map(|background| match colours::names_colour(background) {
        true => format!("{background} background"),
        false => background.clone(),
    });
    background.chain(scene.style.clone()).collect()
}

fn some_keywords(thing: &Thing, most: usize, random: &mut Random) -> Vec<String> {
    let mut words: Vec<String> = thing.keywords.iter().filter(|word| **word != thing.name).cloned().collect();
    words.shuffle(random);
    words.truncate(random.random_range(0..=most));
    words
}
