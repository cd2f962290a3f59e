//! Where things are: nine places, how they are said, and which are certainly others.

use crate::random::{Random, one, weighted};

/// The nine places by row and column.
pub(crate) const PLACES: [&str; 9] =
    ["top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right"];

/// Other words for the places.
const SYNONYMS: [(&str, &str); 8] = [
    ("center", "middle"),
    ("centre", "middle"),
    ("upper left", "top left"),
    ("upper right", "top right"),
    ("lower left", "bottom left"),
    ("lower right", "bottom right"),
    ("upper", "top"),
    ("lower", "bottom"),
];

/// Row and column of a place, if it is one of the nine.
fn cell(place: &str) -> Option<(i32, i32)> {
    let place = place.trim().to_lowercase().replace('-', " ");
    let place = SYNONYMS.iter().find(|(other, _)| *other == place).map_or(place.as_str(), |(_, name)| *name);
    PLACES.iter().position(|name| *name == place).map(|i| (i as i32 / 3, i as i32 % 3))
}

/// The places that nobody would take for this one: two rows or columns away, or the middle for a corner.
fn others(place: &str) -> Vec<&'static str> {
    let Some((row, column)) = cell(place) else { return vec![] };
    let is_far = |other: &&str| {
        cell(other).is_some_and(|(r, c)| {
            let (down, across) = ((r - row).abs(), (c - column).abs());
            down.max(across) == 2 || ((down, across) == (1, 1) && (*other == "middle" || (row, column) == (1, 1)))
        })
    };
    PLACES.into_iter().filter(is_far).collect()
}

/// A place that nobody would take for this one, and where nothing is yet. All places come up as often, so that none is mostly
/// right or wrong.
pub(crate) fn another(place: &str, taken: &[String], random: &mut Random) -> Option<&'static str> {
    let often = |other: &'static str| PLACES.iter().filter(|place| others(place).contains(&other)).count();
    let weights: Vec<(&str, f64)> = others(place)
        .into_iter()
        .filter(|other| !taken.iter().any(|place| place == other))
        .map(|other| (other, 1.0 / often(other) as f64))
        .collect();
    weighted(random, &weights)
}

/// Whether two things at these places can change places and be wrong.
pub(crate) fn differ(a: &str, b: &str) -> bool {
    cell(a).is_some() && cell(b).is_some() && cell(a) != cell(b)
}

/// Where a thing at `a` stands, seen from one at `b`: only what is certain.
pub(crate) fn relation(a: &str, b: &str, random: &mut Random) -> Option<&'static str> {
    let ((row_a, column_a), (row_b, column_b)) = (cell(a)?, cell(b)?);
    let across = match column_a - column_b {
        ..=-1 => Some("left"),
        0 => None,
        1.. => Some("right"),
    };
    let down = match row_a - row_b {
        ..=-1 => Some("above"),
        0 => None,
        1.. => Some("below"),
    };
    match (across, down) {
        (Some(across), Some(down)) => Some(one(random, &[across, down])),
        (across, down) => across.or(down),
    }
}

/// The relation seen from the other side.
pub(crate) fn opposite(relation: &str) -> &'static str {
    match relation {
        "left" => "right",
        "right" => "left",
        "above" => "below",
        _ => "above",
    }
}

/// A relation in words.
pub(crate) fn relation_words(relation: &str, random: &mut Random) -> &'static str {
    match relation {
        "left" => one(random, &["to the left of", "left of", "on the left of", "on the left-hand side of"]),
        "right" => one(random, &["to the right of", "right of", "on the right of", "on the right-hand side of"]),
        "above" => one(random, &["above", "over", "higher up than", "somewhere above"]),
        _ => one(random, &["below", "under", "beneath", "further down than"]),
    }
}

/// A place in words, as it follows a thing.
pub(crate) fn place_words(place: &str, random: &mut Random) -> String {
    match cell(place) {
        Some((1, 1)) => {
            one(random, &["in the middle", "in the centre", "at the center", "right in the middle"]).to_string()
        }
        Some((1, column)) => {
            let side = if column == 0 { "left" } else { "right" };
            one(random, &["on the {}", "at the {}", "on the {} side", "on the {}-hand side", "towards the {}"])
                .replace("{}", side)
        }
        Some((row, 1)) => {
            let (side, other) = if row == 0 { ("top", "upper") } else { ("bottom", "lower") };
            let words =
                one(random, &["at the {}", "near the {}", "in the {o} part", "along the {} edge", "at the very {}"]);
            words.replace("{}", side).replace("{o}", other)
        }
        Some((row, column)) => {
            let (side, other) = if row == 0 { ("top", "upper") } else { ("bottom", "lower") };
            let across = if column == 0 { "left" } else { "right" };
            let words = one(
                random,
                &["in the {} {a} corner", "at the {} {a}", "in the {o} {a}", "at {} {a}", "in the {o} {a} corner"],
            );
            words.replace("{}", side).replace("{o}", other).replace("{a}", across)
        }
        None if place.contains(' ') => place.to_string(),
        None => format!("in the {place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;

    #[test]
    fn another_place_is_far() {
        assert_eq!(others("Upper Left"), ["top right", "middle", "right", "bottom left", "bottom", "bottom right"]);
        assert!(!others("left").contains(&"top left") && others("left").contains(&"right"));
        assert!(others("on a chair").is_empty());
        assert!(differ("left", "right") && !differ("center", "middle"));
    }

    #[test]
    fn no_place_is_mostly_wrong() {
        let mut source = random(1, &[]);
        let drawn: Vec<_> = (0..9_000).filter_map(|i| another(PLACES[i % 9], &[], &mut source)).collect();
        for place in PLACES {
            let count = drawn.iter().filter(|drawn| **drawn == place).count();
            assert!((600..1_500).contains(&count), "{place}: {count}");
        }
    }

    #[test]
    fn relations_are_certain_and_have_an_opposite() {
        let mut source = random(1, &[]);
        assert_eq!(relation("left", "right", &mut source), Some("left"));
        assert_eq!(relation("bottom", "middle", &mut source), Some("below"));
        assert_eq!(relation("top", "top", &mut source), None);
        for relation in ["left", "right", "above", "below"] {
            assert_eq!(opposite(opposite(relation)), relation);
        }
    }
}
