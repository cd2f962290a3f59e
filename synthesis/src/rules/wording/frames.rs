//! The tones of other kinds of text: news, shops, logs, letters, questions, posts.

use rand::Rng;

use super::super::english::{capitalised, titled};
use super::super::scene::Scene;
use super::phrases::whole;
use crate::random::{Random, one};

const CITIES: [&str; 16] = [
    "Paris", "Berlin", "Lagos", "Lima", "Tokyo", "Oslo", "Delhi", "Boston", "Cairo", "Milan", "Leeds", "Quito",
    "Hanoi", "Perth", "Ghent", "Turku",
];

const FIRMS: [&str; 12] = [
    "Acme",
    "Norvia",
    "Helix",
    "Blue River",
    "Tantor",
    "Kestrel",
    "Lumen",
    "Orbis",
    "Zeta",
    "Fabrik",
    "Ostara",
    "Pinnacle",
];

const NAMES: [&str; 12] =
    ["Ada", "Ben", "Chiara", "Dmitri", "Esra", "Femi", "Greta", "Hiro", "Ines", "Jonas", "Kofi", "Lena"];

/// `{}` is what is said, `{C}` the same with a capital, `{T}` as a title; `{n}` a number, the others names.
const FRAMES: [&str; 56] = [
    "{city}: {}, our correspondent reports.",
    "{city} - {C} drew {n} visitors to the gallery last month.",
    "The council of {city} has chosen {} for its new poster.",
    "BREAKING: {} seen on a wall in {city}",
    "{firm} poster, {}, {n} x {n} cm, free shipping",
    "{firm} sticker \"{T}\", pack of {n}, ${n}.99",
    "Tea towel with {} | 100 % cotton | {firm}",
    "{T} - mug, dishwasher safe, ${n}.50",
    "Wooden puzzle, {n} pieces: {}. Ages 3 and up.",
    "Print on demand: {}. Ships in {n} days.",
    "[info] frame {n}: {}",
    "detected: {} (confidence 0.{n})",
    "img {n} ok: {}",
    "{n}\t{}\tchecked",
    "{\"id\": {n}, \"description\": \"{}\"}",
    "caption = '{}'",
    "<figcaption>{C}</figcaption>",
    "| {n} | {} | yes |",
    "What is in the picture? {C}.",
    "Q: What do you see? A: {C}.",
    "Can you find {} in this picture?",
    "Guess what this is. Right: {}!",
    "Which card has {}? This one.",
    "Quiz, question {n}: name what is shown. Answer: {}.",
    "look at this!! {} haha",
    "omg {} <3",
    "{name} sent me {} this morning, no idea why",
    "new sticker dropped: {}",
    "drew {} today, took me {n} minutes",
    "mood: {}",
    "when you order a photo and get {}",
    "Dear {name}, the card you asked for shows {}. Yours, {name}",
    "Dear diary, page {n}: {}.",
    "P.S. The stamp on the letter has {} on it.",
    "Hi {name}, here is the file: {}. Let me know if it works.",
    "Minutes, item {n}: the logo is to be {}.",
    "Lesson {n}. Repeat after me: {}.",
    "Vocabulary card {n}: {}",
    "Chapter {n}, in which we meet {}",
    "Fig. {n}. {C}.",
    "Plate {n}: {}. Collection of {name}.",
    "Exhibit {n}, {city} museum: {}.",
    "Once upon a time there was {}.",
    "The old sign of the inn at {city} had {} on it.",
    "Recipe card with {}, back side blank",
    "Cover of issue {n}: {}",
    "{name}'s bookmark: {}",
    "Scavenger hunt, number {n}: {}. Found it!",
    "Translator's note: the original has {} here.",
    "Slide {n}: {}",
    "Draw {}. Well done!",
    "To do: crop {}, export as PNG",
    "Emoji of the day: {}",
    "Requirement {n}: the button shall show {}.",
    "Warning label, model {n}: {}",
    "According to {name}, it is {}; according to {name}, too.",
];

/// Says it in the tone of something else.
pub(super) fn framed(scene: &Scene, random: &mut Random) -> String {
    let said = whole(scene, random);
    let mut rest = one(random, &FRAMES);
    let mut text = String::new();
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        let length = rest[at..].find('}').map_or(1, |end| end + 1);
        let slot = &rest[at..at + length];
        // A brace that opens no slot stays.
        let length = match slot {
            "{}" => {
                text.push_str(&said);
                length
            }
            "{C}" => {
                text.push_str(&capitalised(&said));
                length
            }
            "{T}" => {
                text.push_str(&titled(&said));
                length
            }
            "{n}" => {
                text.push_str(&random.random_range(2..98).to_string());
                length
            }
            "{city}" => {
                text.push_str(one(random, &CITIES));
                length
            }
            "{firm}" => {
                text.push_str(one(random, &FIRMS));
                length
            }
            "{name}" => {
                text.push_str(one(random, &NAMES));
                length
            }
            _ => {
                text.push('{');
                1
            }
        };
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    text
}
