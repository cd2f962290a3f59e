//! What a classifier that sees no image learns of the level: nothing.

use std::collections::{BTreeSet, HashMap};

use rand::Rng;
use rand::seq::SliceRandom;

use super::facts::{Facts, Object};
use super::{World, captions};
use crate::random::{Random, chance, one, random};

const COLOURS: [&str; 11] =
    ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "grey", "black", "white"];

/// Scenes of one to three things out of the lexicon, everything drawn alike.
fn scenes(count: usize) -> Vec<Facts> {
    let lines = include_str!("../../lexicon/siblings.txt").lines().filter(|line| !line.starts_with('#'));
    let groups: Vec<Vec<&str>> = lines.take(40).map(|line| line.split(',').map(str::trim).collect()).collect();
    let random = &mut random(11, &[]);
    let mut scene = || {
        let mut groups = groups.clone();
        groups.shuffle(random);
        groups.truncate(random.random_range(1..=3));
        let mut places = super::places::PLACES;
        places.shuffle(random);
        let objects = groups.iter().zip(places).map(|(group, place)| object(group, place, random)).collect();
        let background = chance(random, 0.7).then(|| one(random, &COLOURS).to_string());
        Facts { objects, background, style: chance(random, 0.3).then(|| "drawing".into()) }
    };
    (0..count).map(|_| scene()).collect()
}

fn object(group: &[&str], place: &str, random: &mut Random) -> Object {
    let name = one(random, group);
    Object {
        name: name.into(),
        names: vec![],
        keywords: vec![format!("{} kind", group[0])],
        kin: group.iter().filter(|other| **other != name).map(|other| (*other).to_string()).collect(),
        count: random.random_range(1..=3),
        colour: chance(random, 0.5).then(|| one(random, &COLOURS).to_string()),
        size: chance(random, 0.3).then(|| one(random, &["small", "large"]).to_string()),
        place: chance(random, 0.6).then(|| place.to_string()),
    }
}

/// Words, pairs of words, and the length.
fn features(text: &str) -> BTreeSet<String> {
    let words: Vec<String> = text
        .to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_string)
        .collect();
    let pairs = words.windows(2).map(|pair| pair.join(" "));
    pairs.chain([format!("length {}", words.len() / 4)]).chain(words.iter().cloned()).collect()
}

#[test]
fn words_alone_tell_the_level_no_better_than_chance() {
    let scenes = scenes(1_000);
    let world = World::of(scenes.clone());
    let of = |(n, facts): (usize, &Facts)| (n, captions(facts, &world, 1, &n.to_string(), 4));
    let texts = scenes.iter().enumerate().map(of).flat_map(|(n, made)| {
        made.into_iter().flatten().map(move |made| (n, made.level.number() as usize, features(&made.content)))
    });
    let (learnt, asked): (Vec<_>, Vec<_>) = texts.partition(|(n, ..)| n % 5 > 0);
    // Naive Bayes, with one more of each.
    let mut counts: HashMap<&str, [f64; 4]> = HashMap::new();
    for (_, level, features) in &learnt {
        for feature in features {
            counts.entry(feature).or_insert([1.0; 4])[*level] += 1.0;
        }
    }
    counts.retain(|_, counts| counts.iter().sum::<f64>() >= 9.0);
    let guess = |features: &BTreeSet<String>| {
        let mut scores = [0.0; 4];
        for counts in features.iter().filter_map(|feature| counts.get(feature.as_str())) {
            let sum: f64 = counts.iter().sum();
            scores.iter_mut().zip(counts).for_each(|(score, count)| *score += (count / sum).ln());
        }
        (0..4).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap()
    };
    let right = asked.iter().filter(|(_, level, features)| guess(features) == *level).count();
    let share = right as f64 / asked.len() as f64;
    assert!(asked.len() > 3_000 && (0.22..0.275).contains(&share), "{share} of {}", asked.len());
}
