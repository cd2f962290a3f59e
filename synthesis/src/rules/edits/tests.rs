use super::*;
use crate::random::random;
use crate::rules::scene::Breadth;
use crate::rules::world::tests::world;

fn differences(a: &Scene, b: &Scene) -> usize {
    let things = a.things.iter().zip(&b.things).map(|(a, b)| {
        let differ = [a.name != b.name, a.count != b.count, a.colour != b.colour, a.size != b.size, a.place != b.place];
        differ.into_iter().filter(|d| *d).count()
    });
    let whole = [a.relation != b.relation, a.background != b.background, a.style != b.style];
    things.sum::<usize>() + whole.into_iter().filter(|d| *d).count()
}

#[test]
fn one_property_is_wrong_and_it_is_one_that_is_said() {
    let (world, scenes) = world();
    let mut seen = std::collections::HashSet::new();
    for (n, facts) in scenes.iter().cycle().take(3_000).enumerate() {
        let mut source = random(n as u64, &[]);
        let truth = Scene::draw(facts, Breadth::Full, &mut source);
        let mut told = truth.clone();
        let property = one_wrong(&mut told, facts, &world, &mut source).unwrap();
        seen.insert(property);
        let expected = if property == Property::Swap && truth.relation.is_none() { 2 } else { 1 };
        assert_eq!(differences(&truth, &told), expected, "{property:?}: {truth:?}, {told:?}");
        let silent = |a: &Scene| {
            a.things.iter().map(|t| (t.colour.is_some(), t.size.is_some(), t.place.is_some())).collect::<Vec<_>>()
        };
        assert_eq!(silent(&truth), silent(&told), "what is said stays said");
        if let Some(renamed) = told.things.iter().find(|thing| !facts.knows(&thing.name)) {
            assert_eq!(property, Property::Object, "{}", renamed.name);
        }
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn most_wrong_is_more_than_one_where_more_is_said_and_keeps_the_kind() {
    let (world, scenes) = world();
    let mut more = 0;
    for (n, facts) in scenes.iter().cycle().take(1_000).enumerate() {
        let mut source = random(n as u64, &[]);
        let truth = Scene::draw(facts, Breadth::Full, &mut source);
        let mut told = truth.clone();
        let changed = most_wrong(&mut told, facts, &world, &mut source);
        assert!(!changed.is_empty());
        more += usize::from(differences(&truth, &told) > 1);
        let kinds = |scene: &Scene| scene.things[0].keywords.clone();
        assert_eq!(kinds(&truth), kinds(&told), "the kind stays");
    }
    assert!(more > 900, "{more}");
}

#[test]
fn what_says_nothing_that_can_be_wrong_stays() {
    let facts = Facts::parse(r#"{"objects":[{"name":"scissors"}]}"#).unwrap();
    let world = World::of(vec![facts.clone()]);
    let mut scene = Scene::draw(&facts, Breadth::Full, &mut random(1, &[]));
    assert_eq!(one_wrong(&mut scene, &facts, &world, &mut random(1, &[])), None);
}
