//! All objects of a corpus: what wrong texts are made of.
//!
//! A name that is never right would betray every text that has it. So wrong names are taken from those that are right
//! elsewhere in the corpus, wherever there are any.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;

use super::colours;
use super::english;
use super::facts::{Facts, Object};
use super::scene::ONES;
use crate::random::{Random, any, chance};

/// How often a name that is right nowhere in the corpus stands in for one that is.
const STRANGERS: f64 = 0.1;

/// How many scenes are looked at for one that has nothing in common.
const TRIES: usize = 60;

/// All facts of a corpus.
#[derive(Debug, Default)]
pub struct World {
    scenes: Vec<Facts>,
    objects: Vec<Object>,
    by_name: BTreeMap<String, usize>,
    by_keyword: BTreeMap<String, Vec<usize>>,
    backgrounds: Vec<String>,
    styles: Vec<String>,
    colours: Vec<String>,
    plain: Vec<String>,
    counts: BTreeMap<u32, f64>,
    places: BTreeMap<Vec<String>, u32>,
}

impl World {
    /// Gathers the facts of all images.
    pub fn of(scenes: Vec<Facts>) -> Self {
        let mut world = Self::default();
        for scene in &scenes {
            for object in &scene.objects {
                world.colours.extend(object.colour.clone().filter(|colour| colours::names_colour(colour)));
                if english::is_countable(&object.name) {
                    *world.counts.entry(object.count).or_default() += if object.count == 1 { ONES } else { 1.0 };
                }
                if world.by_name.contains_key(&object.name.to_lowercase()) {
                    continue;
                }
                let index = world.objects.len();
                for name in std::iter::once(&object.name).chain(&object.names) {
                    world.by_name.entry(name.to_lowercase()).or_insert(index);
                }
                for keyword in &object.keywords {
                    world.by_keyword.entry(keyword.to_lowercase()).or_default().push(index);
                }
                world.objects.push(object.clone());
            }
            *world.places.entry(places_of(scene)).or_default() += 1;
            let background = scene.background.clone();
            match background.as_deref().is_some_and(colours::names_colour) {
                true => world.plain.extend(background),
                false => world.backgrounds.extend(background),
            }
        }
        let styles = scenes.iter().filter_map(|scene| scene.style.clone());
        world.styles = styles.collect::<BTreeSet<_>>().into_iter().collect();
        world.backgrounds.sort();
        world.backgrounds.dedup();
        world.scenes = scenes;
        world
    }

    /// A thing that is like `object` and not in the picture: one of its names, and its keywords where they are known.
    pub(crate) fn kin(
        &self,
        object: &Object,
        facts: &Facts,
        random: &mut Random,
    ) -> Option<(String, Option<&[String]>)> {
        let fits: Vec<&String> = object.kin.iter().filter(|name| !facts.knows(name)).collect();
        let known: Vec<&Object> =
            fits.iter().filter_map(|name| self.named(name)).filter(|o| is_absent(o, facts)).collect();
        if let Some(other) = any(random, &known).filter(|_| !chance(random, STRANGERS)) {
            return Some((other.drawn_name(random), Some(&other.keywords)));
        }
        any(random, &fits).map(|name| ((*name).clone(), self.named(name).map(|o| o.keywords.as_slice())))
    }

    /// An object of another image that is not in this one: of the same kind where `is_related`, else of another.
    pub(crate) fn distractor(
        &self,
        object: &Object,
        facts: &Facts,
        is_related: bool,
        random: &mut Random,
    ) -> Option<&Object> {
        let fits = |other: &&Object| is_absent(other, facts) && other.is_related(object) == is_related;
        if is_related {
            let indices = object.keywords.iter().filter_map(|word| self.by_keyword.get(&word.to_lowercase())).flatten();
            // Once each, however many words they have in common: as often as they are right elsewhere.
            let indices: BTreeSet<usize> = indices.copied().collect();
            let found: Vec<&Object> = indices.into_iter().map(|i| &self.objects[i]).filter(fits).collect();
            let strange: Vec<&&Object> =
                found.iter().filter(|o| !object.kin.iter().any(|kin| o.is_called(kin))).collect();
            return any(random, &strange).map(|o| **o).or_else(|| any(random, &found).copied());
        }
        (0..TRIES).filter_map(|_| any(random, &self.objects)).find(fits)
    }

    /// Facts of an image that has nothing in common with this one: of as many things, where there is such an image.
    pub(crate) fn elsewhere(&self, facts: &Facts, random: &mut Random) -> Option<Facts> {
        let alike: Vec<&Facts> = (0..TRIES).filter_map(|_| any(random, &self.scenes)).collect();
        let of_same_size = |other: &&&Facts| other.objects.len() == facts.objects.len();
        let found = alike.iter().filter(of_same_size).chain(&alike);
        let drawn = found.filter_map(|other| self.estranged(other, facts, random)).next();
        // In a small corpus chance may miss the only one.
        drawn.or_else(|| {
            let first = if self.scenes.is_empty() { 0 } else { random.random_range(0..self.scenes.len()) };
            let mut all = self.scenes[first..].iter().chain(&self.scenes[..first]);
            all.find_map(|other| self.estranged(other, facts, random))
        })
    }

    /// The facts of another image with all things replaced that have something in common with this one; `None` if there is nothing to
    /// put in their places.
    fn estranged(&self, other: &Facts, facts: &Facts, random: &mut Random) -> Option<Facts> {
        let is_foreign = |o: &Object| is_absent(o, facts) && !facts.objects.iter().any(|own| are_near(own, o));
        let mut made = other.clone();
        for i in 0..made.objects.len() {
            if is_foreign(&made.objects[i]) {
                continue;
            }
            let is_new = |o: &&Object| is_foreign(o) && !made.objects.iter().any(|told| told.is_called(&o.name));
            let stranger = (0..TRIES).filter_map(|_| any(random, &self.objects)).find(is_new)?;
            let before = std::mem::replace(&mut made.objects[i], stranger.clone());
            let count = if english::is_countable(&stranger.name) { before.count } else { 1 };
            let after = &mut made.objects[i];
            (after.count, after.colour, after.size, after.place) = (count, before.colour, before.size, before.place);
        }
        Some(made)
    }

    /// A number near `count`; `None` where it is so much rarer elsewhere that it would betray its text.
    pub(crate) fn another_count(&self, count: u32, random: &mut Random) -> Option<u32> {
        let step = [-2, -1, -1, 1, 1, 2][random.random_range(0..6)];
        let other = count.checked_add_signed(step).filter(|other| *other > 0)?;
        let often = |n| self.counts.get(&n).copied().unwrap_or_default() + 0.1;
        chance(random, often(other) / often(count)).then_some(other)
    }

    /// How much rarer things lie as they would with an object put elsewhere: 1 if they lie so as often, or more.
    pub(crate) fn likeness(&self, facts: &Facts, object: usize, place: &str) -> f64 {
        let mut moved = facts.clone();
        moved.objects[object].place = Some(place.to_string());
        let often = |facts| f64::from(self.places.get(&places_of(facts)).copied().unwrap_or_default());
        // What is nowhere else in a small corpus is not refused.
        ((often(&moved) + 0.1) / (often(facts) + 0.1)).min(1.0)
    }

    /// A colour that is certainly another one, and right elsewhere, if there are such.
    pub(crate) fn another_colour(&self, than: &str, random: &mut Random) -> Option<String> {
        another_of(&self.colours, than, random)
    }

    /// A background that is certainly another one: a colour where it is a colour.
    pub(crate) fn another_background(&self, than: &Option<String>, random: &mut Random) -> Option<String> {
        let than = than.as_deref()?;
        if colours::names_colour(than) {
            return another_of(&self.plain, than, random);
        }
        (0..TRIES).filter_map(|_| any(random, &self.backgrounds)).find(|found| *found != than).cloned()
    }

    /// The kinds of pictures in the corpus.
    pub(crate) fn styles(&self) -> &[String] {
        &self.styles
    }

    fn named(&self, name: &str) -> Option<&Object> {
        self.by_name.get(&name.to_lowercase()).map(|i| &self.objects[*i])
    }
}

/// The places of things, in one order.
fn places_of(facts: &Facts) -> Vec<String> {
    let mut places: Vec<String> = facts.objects.iter().filter_map(|object| object.place.clone()).collect();
    places.sort();
    places
}

/// A colour that is certainly another one: one of those given, as often as it is among them, or else any.
fn another_of(given: &[String], than: &str, random: &mut Random) -> Option<String> {
    let found = (0..TRIES).filter_map(|_| any(random, given)).find(|other| colours::differ(than, other)).cloned();
    found.or_else(|| colours::another(than, random))
}

/// Whether an object is not in the picture, under none of its names, and none of its words is right for what is.
fn is_absent(object: &Object, facts: &Facts) -> bool {
    let mut names = std::iter::once(&object.name).chain(&object.names);
    let says_truth = |word: &String| facts.knows(word);
    !names.any(says_truth) && !facts.objects.iter().any(|own| object.is_called(&own.name))
}

/// Whether two objects are of one kind.
fn are_near(a: &Object, b: &Object) -> bool {
    a.is_related(b) || a.kin.iter().any(|kin| b.is_called(kin)) || b.kin.iter().any(|kin| a.is_called(kin))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::random::random;

    fn object(name: &str, keywords: &[&str], kin: &[&str]) -> Object {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_string()).collect();
        let mut object: Object = serde_json::from_str(&format!("{{\"name\": {name:?}}}")).unwrap();
        (object.keywords, object.kin) = (words(keywords), words(kin));
        object
    }

    /// A corpus of animals, vehicles and fruit with all kinds of facts.
    pub(crate) fn world() -> (World, Vec<Facts>) {
        let animals = ["kangaroo", "koala", "lion", "tiger", "horse", "owl"];
        let vehicles = ["car", "bus", "bicycle", "tractor", "scissors"];
        let fruit = ["apple", "pear", "banana", "cherry"];
        let colours = ["red", "green", "blue", "yellow", "black", "white"];
        let places = super::super::places::PLACES;
        let groups: [(&str, &[&str]); 3] = [("animal", &animals), ("vehicle", &vehicles), ("fruit", &fruit)];
        let mut scenes = vec![];
        for (g, (keyword, names)) in groups.iter().enumerate() {
            for (i, name) in names.iter().enumerate() {
                let mut first = object(name, &[keyword], &[names[(i + 1) % names.len()]]);
                first.colour = Some(colours[(i + g) % 6].into());
                first.count = if super::super::english::is_countable(name) { 1 + (i as u32 % 3) } else { 1 };
                first.place = Some(places[(i * 2) % 9].into());
                let mut objects = vec![first];
                if i % 2 == 0 {
                    let mut second = object(names[(i + 2) % names.len()], &[keyword], &[names[(i + 3) % names.len()]]);
                    second.place = Some(places[(i * 2 + 4) % 9].into());
                    second.size = Some(["small", "large"][i / 2 % 2].into());
                    objects.push(second);
                }
                let background = Some(["light blue", "a beach", "white"][i % 3].into());
                let style = Some(["drawing", "photograph"][i % 4 / 2].into()).filter(|_| i % 2 == 1);
                scenes.push(Facts { objects, background, style });
            }
        }
        (World::of(scenes.clone()), scenes)
    }

    #[test]
    fn what_is_put_in_is_not_there() {
        let (world, scenes) = world();
        let mut source = random(5, &[]);
        for facts in &scenes {
            for object in &facts.objects {
                for _ in 0..20 {
                    if let Some((name, _)) = world.kin(object, facts, &mut source) {
                        assert!(!facts.knows(&name), "{name}");
                        assert!(
                            object.kin.iter().any(|kin| world.named(kin).is_some_and(|o| o.is_called(&name))),
                            "{name}"
                        );
                    }
                    let other = world.distractor(object, facts, true, &mut source).unwrap();
                    assert!(other.is_related(object) && !facts.knows(&other.name), "{}", other.name);
                    let other = world.distractor(object, facts, false, &mut source).unwrap();
                    assert!(!other.is_related(object), "{}", other.name);
                }
            }
            let other = world.elsewhere(facts, &mut source).unwrap();
            assert_ne!(other.objects[0].keywords, facts.objects[0].keywords);
        }
    }

    #[test]
    fn a_wrong_name_is_mostly_one_that_is_right_elsewhere() {
        let (_, mut scenes) = world();
        scenes[0].objects[0].kin = vec!["wallaby".into(), "koala".into()];
        let world = World::of(scenes.clone());
        let mut source = random(5, &[]);
        let facts = Facts { objects: vec![scenes[0].objects[0].clone()], ..scenes[0].clone() };
        let kin = (0..400).filter_map(|_| world.kin(&facts.objects[0], &facts, &mut source));
        let strange = kin.filter(|(name, _)| name == "wallaby").count();
        assert!((5..60).contains(&strange), "{strange}");
    }

    #[test]
    fn a_general_word_for_what_is_there_is_not_wrong() {
        let sparrow = object("sparrow", &["bird", "animal"], &[]);
        let bird = object("bird", &["animal"], &[]);
        let facts = Facts { objects: vec![sparrow.clone()], ..Facts::default() };
        let world = World::of(vec![facts.clone(), Facts { objects: vec![bird], ..Facts::default() }]);
        assert!(world.distractor(&sparrow, &facts, true, &mut random(1, &[])).is_none());
        assert!(world.elsewhere(&facts, &mut random(1, &[])).is_none());
    }

    /// Otherwise the number would tell, to who has read the corpus, that it is wrong.
    #[test]
    fn wrong_numbers_are_as_often_as_right_ones() {
        let counts = [1, 1, 1, 1, 1, 1, 2, 2, 3, 5];
        let scene = |count: &u32| {
            let facts = format!(r#"{{"objects":[{{"name":"owl","count":{count}}}]}}"#);
            Facts::parse(&facts).unwrap()
        };
        let world = World::of(counts.iter().map(scene).collect());
        let mut source = random(5, &[]);
        let (mut from, mut to) = ([0_i32; 8], [0_i32; 8]);
        for _ in 0..20_000 {
            // A single one is told half as often.
            let count = *any(&mut source, &[1, 1, 1, 2, 2, 3, 5]).unwrap();
            if let Some(other) = world.another_count(count, &mut source) {
                from[count as usize] += 1;
                to[other as usize] += 1;
            }
        }
        for n in 1..=5 {
            assert!((from[n] - to[n]).abs() < 300, "{n}: {} times made wrong, {} times put in", from[n], to[n]);
        }
        assert!(to[4] < 800 && to[2] > 1_000, "{to:?}");
    }

    #[test]
    fn things_are_put_where_others_are() {
        let facts = |a: &str, b: &str| {
            let json = format!(r#"{{"objects":[{{"name":"owl","place":"{a}"}},{{"name":"cup","place":"{b}"}}]}}"#);
            Facts::parse(&json).unwrap()
        };
        let sides = facts("left", "right");
        let world = World::of(vec![sides.clone(), facts("right", "left"), facts("top right", "right")]);
        assert!(world.likeness(&sides, 0, "bottom") < 0.1);
        assert!((0.4..0.6).contains(&world.likeness(&sides, 0, "top right")));
        assert!(world.likeness(&facts("top right", "right"), 0, "left") > 0.99);
    }

    #[test]
    fn an_unrelated_image_has_as_many_things() {
        let (world, scenes) = world();
        let mut source = random(5, &[]);
        for facts in scenes.iter().cycle().take(200) {
            let other = world.elsewhere(facts, &mut source).unwrap();
            assert_eq!(other.objects.len(), facts.objects.len());
            assert!(other.objects.iter().all(|o| !facts.objects.iter().any(|own| are_near(own, o))), "{other:?}");
        }
    }
}
