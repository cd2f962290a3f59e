//! Captions from facts.

use super::edits::{most_wrong, one_wrong};
use super::facts::Facts;
use super::foreign::foreign;
use super::scene::{Breadth, Scene};
use super::wording::Wording;
use super::world::World;
use super::{Made, NotMade};
use crate::Level;
use crate::random::{Random, chance, random};

/// How many of the unrelated captions are texts of another kind, of no picture at all.
const FOREIGN: f64 = 0.03;

/// How often another wording is tried where nothing that is said can be made wrong.
const TRIES: u32 = 12;

/// Captions of all four levels, `variants` of each; those that cannot be made are told with the reason.
pub fn captions(facts: &Facts, world: &World, seed: u64, uid: &str, variants: u32) -> Vec<Result<Made, NotMade>> {
    let levels = Level::ALL.into_iter().flat_map(|level| (0..variants).map(move |variant| (level, variant)));
    levels
        .map(|(level, variant)| {
            let made = (0..TRIES).find_map(|attempt| {
                let names = [uid, &level.to_string(), &variant.to_string(), &attempt.to_string()];
                caption(facts, world, level, &mut random(seed, &names))
            });
            let (content, changed) = made.ok_or_else(|| NotMade { level, variant, reason: why_not(level) })?;
            Ok(Made { level, variant, content, changed })
        })
        .collect()
}

fn why_not(level: Level) -> String {
    match level {
        Level::Unrelated => "no image of the corpus has nothing in common with this one".into(),
        _ => "nothing in its facts can be made wrong: it has no kin, colour, place or count".into(),
    }
}

/// A text and what is wrong with it; `None` if this wording of it cannot have the level.
fn caption(facts: &Facts, world: &World, level: Level, random: &mut Random) -> Option<(String, Option<String>)> {
    let wording = Wording::draw(random);
    let breadth = wording.breadth(random);
    match level {
        Level::Faithful => Some((wording.say(&Scene::draw(facts, breadth, random), random), None)),
        Level::Flawed => {
            let mut scene = Scene::draw(facts, breadth, random);
            let property = one_wrong(&mut scene, facts, world, random)?;
            Some((wording.say(&scene, random), Some(property.name().into())))
        }
        Level::Poor => {
            let mut scene = Scene::draw(facts, breadth, random);
            let changed = most_wrong(&mut scene, facts, world, random);
            let names: Vec<&str> = changed.iter().map(|property| property.name()).collect();
            (!names.is_empty()).then(|| (wording.say(&scene, random), Some(names.join(","))))
        }
        Level::Unrelated if chance(random, FOREIGN) => Some((foreign(random), None)),
        Level::Unrelated => {
            let mut scene = elsewhere(facts, world, breadth, random)?;
            if scene.background.is_some() && scene.background == facts.background {
                scene.background = world.another_background(&scene.background, random);
            }
            Some((wording.say(&scene, random), None))
        }
    }
}

/// What is said of another image.
fn elsewhere(facts: &Facts, world: &World, breadth: Breadth, random: &mut Random) -> Option<Scene> {
    let other = world.elsewhere(facts, random)?;
    Some(Scene::draw(&other, breadth, random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::world::tests::world;
    use std::collections::BTreeMap;

    fn made(variants: u32) -> Vec<Made> {
        let (world, scenes) = world();
        let of = |(n, facts): (usize, &Facts)| captions(facts, &world, 1, &n.to_string(), variants);
        scenes.iter().enumerate().flat_map(of).map(Result::unwrap).collect()
    }

    #[test]
    fn the_seed_and_the_uid_decide() {
        let (world, scenes) = world();
        assert_eq!(captions(&scenes[0], &world, 1, "a", 3), captions(&scenes[0], &world, 1, "a", 3));
        assert_ne!(captions(&scenes[0], &world, 1, "a", 3), captions(&scenes[0], &world, 2, "a", 3));
        assert_ne!(captions(&scenes[0], &world, 1, "a", 3), captions(&scenes[0], &world, 1, "b", 3));
        let one: Vec<_> = captions(&scenes[0], &world, 1, "a", 1);
        let three = captions(&scenes[0], &world, 1, "a", 3);
        assert!(one.iter().all(|text| three.contains(text)), "more variants leave the first ones as they are");
    }

    #[test]
    fn what_is_changed_is_told_for_levels_1_and_2() {
        for made in made(4) {
            assert_eq!(made.changed.is_some(), matches!(made.level, Level::Flawed | Level::Poor), "{made:?}");
            assert!(made.level != Level::Flawed || !made.changed.as_ref().unwrap().contains(','), "{made:?}");
        }
    }

    /// What a model that sees only the text could learn of the level: a naive Bayes over what is no content.
    #[test]
    fn nothing_but_the_truth_tells_the_level() {
        let mut lengths: BTreeMap<Level, Vec<usize>> = BTreeMap::new();
        let mut first_words: BTreeMap<String, [usize; 4]> = BTreeMap::new();
        for made in made(200) {
            let words = made.content.split_whitespace().count();
            lengths.entry(made.level).or_default().push(words);
            let first = made.content.split_whitespace().next().unwrap_or_default().to_lowercase();
            first_words.entry(first).or_default()[made.level.number() as usize] += 1;
        }
        let mean = |level: &Level| lengths[level].iter().sum::<usize>() as f64 / lengths[level].len() as f64;
        let means = Level::ALL.map(|level| mean(&level));
        let (low, high) = means.iter().fold((f64::MAX, 0.0_f64), |(low, high), m| (low.min(*m), high.max(*m)));
        assert!(high / low < 1.06, "mean lengths by level: {means:?}");
        for (word, counts) in first_words.iter().filter(|(_, counts)| counts.iter().sum::<usize>() > 400) {
            let sum = counts.iter().sum::<usize>() as f64;
            assert!(counts.iter().all(|n| (0.15..0.36).contains(&(*n as f64 / sum))), "{word:?}: {counts:?}");
        }
    }

    #[test]
    fn a_bare_right_name_is_of_the_best_level() {
        let names = ["kangaroo", "koala", "lion", "owl", "apple", "banana"];
        let bare: Vec<_> = made(200).into_iter().filter(|made| names.contains(&made.content.as_str())).collect();
        let of = |level| bare.iter().filter(|made| made.level == level).count();
        assert!(Level::ALL.iter().all(|level| of(*level) > 5), "{:?}", Level::ALL.map(of));
    }

    #[test]
    fn what_cannot_be_made_is_told() {
        let facts = Facts::parse(r#"{"objects":[{"name":"scissors"}]}"#).unwrap();
        let results = captions(&facts, &World::of(vec![facts.clone()]), 1, "a", 1);
        let reasons: Vec<_> =
            results.iter().filter_map(|r| r.as_ref().err()).map(|e| (e.level.number(), &e.reason)).collect();
        assert!(results[0].is_ok() && reasons.len() >= 2, "{reasons:?}");
        assert!(reasons[0].1.contains("no kin"), "{reasons:?}");
    }
}
