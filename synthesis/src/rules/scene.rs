//! What a text says of an image.

use super::english;
use super::facts::{Facts, Object};
use super::places;
use crate::random::{Random, chance};
use rand::Rng;
use rand::seq::SliceRandom;

/// How much of what is known a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breadth {
    /// One thing, and little of it.
    Name,
    /// All things, and some of their properties.
    Short,
    /// All things and most of their properties.
    Full,
}

/// How often it is said that there is one of a thing, against that there are several.
pub(super) const ONES: f64 = 0.5;

/// What is said of one thing; what is not said is `None`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Thing {
    pub(crate) name: String,
    pub(crate) keywords: Vec<String>,
    pub(crate) is_countable: bool,
    pub(crate) count: u32,
    pub(crate) says_count: bool,
    pub(crate) colour: Option<String>,
    pub(crate) size: Option<String>,
    pub(crate) place: Option<String>,
}

/// What a text says, the right and the wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scene {
    pub(crate) things: Vec<Thing>,
    /// Where the first thing stands, seen from the second: said instead of their places.
    pub(crate) relation: Option<&'static str>,
    pub(crate) background: Option<String>,
    pub(crate) style: Option<String>,
    /// Which object of the facts each thing is.
    pub(crate) objects: Vec<usize>,
}

impl Scene {
    /// Draws what is said: all of it true.
    pub(crate) fn draw(facts: &Facts, breadth: Breadth, random: &mut Random) -> Self {
        let mut objects: Vec<usize> = (0..facts.objects.len()).collect();
        if breadth == Breadth::Name {
            objects = vec![objects[random.random_range(0..objects.len())]];
        } else if chance(random, 0.6) {
            objects.shuffle(random);
        }
        let said = match breadth {
            Breadth::Name => 0.3,
            Breadth::Short => 0.6,
            Breadth::Full => 0.93,
        };
        let mut things: Vec<Thing> =
            objects.iter().map(|i| Thing::draw(&facts.objects[*i], said, breadth, random)).collect();
        let relation = match things.as_mut_slice() {
            [a, b] if chance(random, 0.5) => {
                let found =
                    a.place.as_deref().zip(b.place.as_deref()).and_then(|(a, b)| places::relation(a, b, random));
                if found.is_some() {
                    (a.place, b.place) = (None, None);
                }
                found
            }
            _ => None,
        };
        let mut say = |fact: &Option<String>, share: f64| fact.clone().filter(|_| chance(random, share));
        let of_the_whole = if breadth == Breadth::Name { 0.1 } else { said };
        let background = say(&facts.background, of_the_whole);
        let style = say(&facts.style, of_the_whole * 0.5);
        Self { things, relation, background, style, objects }
    }
}

impl Thing {
    fn draw(object: &Object, said: f64, breadth: Breadth, random: &mut Random) -> Self {
        let name = object.drawn_name(random);
        let is_countable = english::is_countable(&name);
        let place = object.place.clone().filter(|_| breadth != Breadth::Name && chance(random, said));
        let says_count = is_countable && chance(random, if object.count == 1 { said * ONES } else { said });
        Self {
            keywords: object.keywords.clone(),
            is_countable,
            count: object.count,
            says_count,
            colour: object.colour.clone().filter(|_| chance(random, said)),
            size: object.size.clone().filter(|_| chance(random, said)),
            place,
            name,
        }
    }

    /// Whether a verb that follows it is in the plural.
    pub(crate) fn is_plural(&self) -> bool {
        if self.is_countable { self.count > 1 } else { self.name.ends_with('s') }
    }

    /// Calls it something else.
    pub(crate) fn rename(&mut self, name: &str, keywords: Option<&[String]>) {
        self.name = name.to_string();
        self.is_countable = english::is_countable(name);
        self.says_count &= self.is_countable;
        if let Some(keywords) = keywords {
            self.keywords = keywords.to_vec();
        }
    }
}
