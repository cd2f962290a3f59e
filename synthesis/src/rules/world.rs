//! All objects of a corpus: what wrong texts are made of.
//!
//! A name that is never right would betray every text that has it. So wrong names are taken from those that are right
//! elsewhere in the corpus, wherever there are any.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;

use super::colours;
use super::facts::{Facts, Object};
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
    most: u32,
}

impl World {
    /// Gathers the facts of all images.
    pub fn of(scenes: Vec<Facts>) -> Self {
        let mut world = Self::default();
        for scene in &scenes {
            for object in &scene.objects {
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
            world.backgrounds.extend(scene.background.clone().filter(|b| !colours::names_colour(b)));
        }
        let styles = scenes.iter().filter_map(|scene| scene.style.clone());
        world.styles = styles.collect::<BTreeSet<_>>().into_iter().collect();
        let counts = scenes.iter().flat_map(|scene| scene.objects.iter().map(|object| object.count));
        world.most = counts.max().unwrap_or(1);
        world.backgrounds.sort();
        world.backgrounds.dedup();
        world.scenes = scenes;
        world
    }

    /// A thing that is like `object` and not in the picture: its name, and its keywords where they are known.
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
            return Some((other.drawn_name(random).to_string(), Some(&other.keywords)));
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
            let found: Vec<&Object> = indices.map(|i| &self.objects[*i]).filter(fits).collect();
            let strange: Vec<&&Object> =
                found.iter().filter(|o| !object.kin.iter().any(|kin| o.is_called(kin))).collect();
            return any(random, &strange).map(|o| **o).or_else(|| any(random, &found).copied());
        }
        (0..TRIES).filter_map(|_| any(random, &self.objects)).find(fits)
    }

    /// Facts of an image that has nothing in common with this one.
    pub(crate) fn elsewhere(&self, facts: &Facts, random: &mut Random) -> Option<&Facts> {
        let is_foreign = |other: &&Facts| {
            other.objects.iter().all(|o| is_absent(o, facts) && !facts.objects.iter().any(|own| are_near(own, o)))
        };
        let drawn = (0..TRIES).filter_map(|_| any(random, &self.scenes)).find(is_foreign);
        // In a small corpus chance may miss the only one.
        drawn.or_else(|| {
            let first = if self.scenes.is_empty() { 0 } else { random.random_range(0..self.scenes.len()) };
            self.scenes[first..].iter().chain(&self.scenes[..first]).find(is_foreign)
        })
    }

    /// A background that is certainly another one: a colour where it is a colour.
    pub(crate) fn another_background(&self, than: &Option<String>, random: &mut Random) -> Option<String> {
        let than = than.as_deref()?;
        if colours::names_colour(than) {
            return colours::another(than, random);
        }
        (0..TRIES).filter_map(|_| any(random, &self.backgrounds)).find(|found| *found != than).cloned()
    }

    /// The kinds of pictures in the corpus.
    pub(crate) fn styles(&self) -> &[String] {
        &self.styles
    }

    /// How many there are of a thing at most, anywhere in the corpus.
    pub(crate) fn most(&self) -> u32 {
        self.most
    }

    fn named(&self, name: &str) -> Option<&Object> {
        self.by_name.get(&name.to_lowercase()).map(|i| &self.objects[*i])
    }
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
}
