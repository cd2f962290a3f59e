use std::collections::HashSet;

use super::*;
use crate::random::random;
use crate::rules::english;
use crate::rules::scene::{Scene, Thing};
use crate::rules::world::tests::world;

fn has(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

fn says_count(text: &str, thing: &Thing) -> bool {
    let words: &[&str] = match thing.count {
        1 => &["one", "single"],
        2 => &["two", "pair of", "couple of"],
        3 => &["three", "trio of"],
        _ => &[],
    };
    let squeezed: Vec<String> = words.iter().map(|word| word.replace(' ', "")).collect();
    has(text, words)
        || squeezed.iter().any(|word| text.contains(word))
        || text.contains(&thing.count.to_string())
        || text.contains(&english::number(thing.count))
}

/// Everything that a scene says must be read in its text.
fn missing(text: &str, scene: &Scene) -> Option<String> {
    // Signs join words in file names and hashtags.
    let text: String = text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    let squeezed = |text: &str| text.to_lowercase().replace([' ', '-'], "");
    let flat = squeezed(&text);
    let lacks = |words: &str| !flat.contains(&squeezed(words.strip_prefix("a ").unwrap_or(words)));
    for thing in &scene.things {
        if lacks(&thing.name) && lacks(&english::plural(&thing.name)) {
            return Some(thing.name.clone());
        }
        if thing.says_count && !says_count(&flat, thing) && !says_count(&text, thing) {
            return Some(format!("{} {}", thing.count, thing.name));
        }
        if let Some(colour) = thing.colour.as_ref().filter(|colour| lacks(colour)) {
            return Some(colour.clone());
        }
        let sizes: &[&str] = if thing.size.as_deref() == Some("small") {
            &["small", "little", "tiny"]
        } else {
            &["large", "big", "huge"]
        };
        if thing.size.is_some() && !has(&flat, sizes) {
            return thing.size.clone();
        }
        for word in thing.place.iter().flat_map(|place| place.split(' ')) {
            let words: &[&str] = match word {
                "top" => &["top", "upper"],
                "bottom" => &["bottom", "lower"],
                "middle" => &["middle", "centre", "center"],
                word => &[word],
            };
            if !has(&flat, words) {
                return thing.place.clone();
            }
        }
    }
    let whole = scene.background.iter().chain(&scene.style).find(|words| lacks(words));
    whole.cloned()
}

#[test]
fn every_wording_says_all_that_it_is_given() {
    let (_, scenes) = world();
    for (wording, _) in Wording::ALL {
        for (n, facts) in scenes.iter().cycle().take(600).enumerate() {
            let mut source = random(n as u64, &[&format!("{wording:?}")]);
            let breadth = wording.breadth(&mut source);
            let scene = Scene::draw(facts, breadth, &mut source);
            let text = wording.say(&scene, &mut source);
            assert_eq!(missing(&text, &scene), None, "{wording:?}: {text}\n{scene:?}");
            let odd = ["  ", " ,", " .", "{}", "{C}", "{a}", "{picture}", "a a ", " an an "];
            assert!(!text.is_empty() && !has(&text, &odd), "{wording:?}: {text:?}");
        }
    }
}

#[test]
fn one_scene_has_many_texts() {
    let (_, scenes) = world();
    let texts: HashSet<String> = (0..1_000)
        .map(|n| {
            let mut source = random(n, &[]);
            let wording = Wording::draw(&mut source);
            let breadth = wording.breadth(&mut source);
            wording.say(&Scene::draw(&scenes[0], breadth, &mut source), &mut source)
        })
        .collect();
    assert!(texts.len() > 900, "{}", texts.len());
}
