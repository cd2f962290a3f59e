//! Making what a text says wrong: in one property, or in most.

use rand::Rng;

use super::colours;
use super::facts::Facts;
use super::places;
use super::scene::Scene;
use super::world::World;
use crate::random::{Random, any, chance, weighted};

/// What can be said wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Property {
    /// What a thing is.
    Object,
    /// How many there are.
    Count,
    /// Its colour.
    Colour,
    /// Its size.
    Size,
    /// Where it is.
    Position,
    /// Which of two things has a place or colour.
    Swap,
    /// What is behind.
    Background,
    /// What kind of picture it is.
    Style,
}

impl Property {
    /// How it is called in the column `changed`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Count => "count",
            Self::Colour => "colour",
            Self::Size => "size",
            Self::Position => "position",
            Self::Swap => "swap",
            Self::Background => "background",
            Self::Style => "style",
        }
    }

    /// How often it is the one that is wrong, where it can be.
    fn weight(self) -> f64 {
        match self {
            Self::Object => 0.8,
            // Often declined, as most numbers are ones and most places are nowhere near as common as the right one.
            Self::Count => 1.6,
            Self::Position => 1.4,
            Self::Swap => 1.6,
            Self::Colour | Self::Size => 0.7,
            Self::Background => 0.4,
            Self::Style => 0.1,
        }
    }
}

/// A property of one of the things; those of the whole picture are the first thing's.
type Place = (Property, usize);

/// Makes exactly one property wrong; which, or `None` if nothing that is said can be.
pub(crate) fn one_wrong(scene: &mut Scene, facts: &Facts, world: &World, random: &mut Random) -> Option<Property> {
    let mut open = candidates(scene);
    while !open.is_empty() {
        let choices: Vec<(usize, f64)> = open.iter().enumerate().map(|(i, (p, _))| (i, p.weight())).collect();
        let place = open.swap_remove(weighted(random, &choices)?);
        if apply(scene, place, facts, world, false, random) {
            return Some(place.0);
        }
    }
    None
}

/// Makes the main things and most of what is said of them wrong, and keeps the topic; which properties.
pub(crate) fn most_wrong(scene: &mut Scene, facts: &Facts, world: &World, random: &mut Random) -> Vec<Property> {
    let count = scene.things.len();
    let kept = (count > 1 && chance(random, if count > 2 { 0.8 } else { 0.35 })).then(|| random.random_range(0..count));
    let mut changed = vec![];
    for i in (0..count).filter(|i| Some(*i) != kept) {
        if apply(scene, (Property::Object, i), facts, world, true, random) {
            changed.push(Property::Object);
        }
    }
    let rest: Vec<Place> =
        candidates(scene).into_iter().filter(|(p, _)| !matches!(p, Property::Object | Property::Swap)).collect();
    for place in &rest {
        // What is right of a thing that is not there says little; what is wrong of one that is says more.
        let share = if Some(place.1) == kept || changed.is_empty() { 0.8 } else { 0.55 };
        if chance(random, share) && apply(scene, *place, facts, world, true, random) {
            changed.push(place.0);
        }
    }
    // One wrong name alone is a level better, if more is said.
    if count == 1 && changed == [Property::Object] {
        let more = rest.iter().find(|place| apply(scene, **place, facts, world, true, random));
        changed.extend(more.map(|(property, _)| *property));
    }
    if changed.is_empty() {
        changed.extend(one_wrong(scene, facts, world, random));
    }
    changed.sort_by_key(|property| property.name());
    changed.dedup();
    changed
}

/// Everything that is said and may be made wrong.
fn candidates(scene: &Scene) -> Vec<Place> {
    let mut found = vec![];
    for (i, thing) in scene.things.iter().enumerate() {
        found.push((Property::Object, i));
        let says = [
            (Property::Count, thing.says_count),
            (Property::Colour, thing.colour.is_some()),
            (Property::Size, thing.size.is_some()),
            (Property::Position, thing.place.is_some()),
        ];
        found.extend(says.into_iter().filter(|(_, said)| *said).map(|(property, _)| (property, i)));
    }
    if scene.things.len() > 1 {
        found.push((Property::Swap, 0));
    }
    found.extend(scene.background.iter().map(|_| (Property::Background, 0)));
    found.extend(scene.style.iter().map(|_| (Property::Style, 0)));
    found
}

/// Makes a property wrong; false, and nothing changed, if there is no way to be sure of it.
fn apply(
    scene: &mut Scene,
    (property, i): Place,
    facts: &Facts,
    world: &World,
    is_coarse: bool,
    random: &mut Random,
) -> bool {
    match property {
        Property::Object => return rename(scene, i, facts, world, is_coarse, random),
        Property::Swap => return swap(scene, random),
        Property::Count => {
            let thing = &mut scene.things[i];
            let Some(other) = world.another_count(thing.count, random) else { return false };
            thing.count = other;
        }
        Property::Colour => {
            let thing = &mut scene.things[i];
            let Some(other) = thing.colour.as_deref().and_then(|c| world.another_colour(c, random)) else {
                return false;
            };
            thing.colour = Some(other);
        }
        Property::Size => {
            let thing = &mut scene.things[i];
            let Some(other) = thing.size.as_deref().and_then(other_size) else { return false };
            thing.size = Some(other.into());
        }
        Property::Position => {
            // Two things in one place would betray that one of them is not there.
            let taken: Vec<String> = scene.things.iter().filter_map(|thing| thing.place.clone()).collect();
            let thing = &mut scene.things[i];
            let other = thing.place.as_deref().and_then(|place| places::another(place, &taken, random));
            let Some(other) = other else { return false };
            // Things that lie as they never do would betray it, too.
            if !chance(random, world.likeness(facts, scene.objects[i], other)) {
                return false;
            }
            thing.place = Some(other.into());
        }
        Property::Background => {
            let Some(other) = world.another_background(&scene.background, random) else { return false };
            scene.background = Some(other);
        }
        Property::Style => {
            let Some(told) = scene.style.as_deref() else { return false };
            let Some(other) = other_style(told, world, random) else { return false };
            scene.style = Some(other);
        }
    }
    true
}

/// Calls a thing by the name of one that is like it, or, coarsely, of one that is less so.
fn rename(scene: &mut Scene, i: usize, facts: &Facts, world: &World, is_coarse: bool, random: &mut Random) -> bool {
    let object = &facts.objects[scene.objects[i]];
    let told: Vec<String> = scene.things.iter().map(|thing| thing.name.to_lowercase()).collect();
    let is_new = |name: &str| !told.contains(&name.to_lowercase());
    let kin = |random: &mut Random| {
        world.kin(object, facts, random).map(|(name, words)| (name, words.map(<[String]>::to_vec)))
    };
    let other = |is_related, random: &mut Random| {
        let found = world.distractor(object, facts, is_related, random);
        found.map(|found| (found.drawn_name(random), Some(found.keywords.clone())))
    };
    // Where it is all that is said, a thing of another kind would be unrelated, and one that is not kin a remarkable error.
    let is_alone = scene.things.len() == 1;
    let found = if is_coarse {
        other(true, random).or_else(|| kin(random)).or_else(|| other(false, random).filter(|_| !is_alone))
    } else if is_alone {
        kin(random).or_else(|| other(true, random).filter(|_| object.kin.is_empty()))
    } else if chance(random, 0.8) {
        kin(random).or_else(|| other(true, random)).or_else(|| other(false, random))
    } else {
        other(false, random).or_else(|| other(true, random)).or_else(|| kin(random))
    };
    match found.filter(|(name, _)| is_new(name)) {
        Some((name, keywords)) => {
            scene.things[i].rename(&name, keywords.as_deref());
            true
        }
        None => false,
    }
}

/// Lets two things change places, colours or sizes.
fn swap(scene: &mut Scene, random: &mut Random) -> bool {
    if let Some(relation) = scene.relation.filter(|_| chance(random, 0.8)) {
        scene.relation = Some(places::opposite(relation));
        return true;
    }
    let mut pairs = vec![];
    for j in 0..scene.things.len() {
        for i in 0..j {
            let (a, b) = (&scene.things[i], &scene.things[j]);
            let both = |a: &Option<String>, b: &Option<String>, differ: fn(&str, &str) -> bool| {
                a.as_deref().zip(b.as_deref()).is_some_and(|(a, b)| differ(a, b))
            };
            if a.name == b.name {
                continue;
            }
            if both(&a.place, &b.place, places::differ) {
                pairs.push((i, j, 'p'));
            }
            if both(&a.colour, &b.colour, colours::differ) {
                pairs.push((i, j, 'c'));
            }
        }
    }
    let Some((i, j, what)) = any(random, &pairs).copied() else { return false };
    let (front, back) = scene.things.split_at_mut(j);
    match what {
        'p' => std::mem::swap(&mut front[i].place, &mut back[0].place),
        _ => std::mem::swap(&mut front[i].colour, &mut back[0].colour),
    }
    true
}

/// The other of the two sizes.
fn other_size(size: &str) -> Option<&'static str> {
    match size.to_lowercase().as_str() {
        "small" | "tiny" | "little" => Some("large"),
        "large" | "big" | "huge" => Some("small"),
        _ => None,
    }
}

/// A kind of picture of the corpus that is certainly another one: a photograph is not drawn.
fn other_style(style: &str, world: &World, random: &mut Random) -> Option<String> {
    let drawn = ["drawing", "illustration", "emoji", "icon", "cartoon", "clip art", "sticker", "sketch", "painting"];
    let is_photo = |style: &str| style.to_lowercase().contains("photo");
    let is_drawn = |style: &str| drawn.iter().any(|word| style.to_lowercase().contains(word));
    let differs = |other: &&String| (is_photo(style) && is_drawn(other)) || (is_drawn(style) && is_photo(other));
    let others: Vec<&String> = world.styles().iter().filter(differs).collect();
    any(random, &others).map(|other| (*other).clone())
}

#[cfg(test)]
mod tests;
