//! Colours, and which of them nobody would take for another.

use crate::random::{Random, weighted};

/// Colours in groups of those that are easily confused: a colour may be in several.
const ALIKE: [&[&str]; 9] = [
    &["red", "crimson", "orange", "pink", "maroon", "brown"],
    &["orange", "yellow", "gold", "golden", "beige", "brown", "cream", "tan"],
    &["green", "turquoise", "teal", "olive", "lime"],
    &["blue", "turquoise", "teal", "cyan", "navy", "purple", "indigo"],
    &["purple", "violet", "pink", "magenta", "lilac", "indigo"],
    &["white", "cream", "silver", "beige"],
    &["grey", "gray", "silver", "white", "black"],
    &["black", "navy", "brown"],
    &["brown", "beige", "tan", "maroon"],
];

/// The colours that wrong ones are taken from.
const COMMON: [&str; 11] =
    ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "grey", "black", "white"];

/// Words before a colour that stay as they are.
const SHADES: [&str; 6] = ["light", "dark", "pale", "bright", "deep", "plain"];

/// The shade and the colour in a text that names a colour and nothing else.
fn parts(text: &str) -> Option<(&str, &str)> {
    let (shade, colour) = text.rsplit_once(' ').unwrap_or(("", text));
    (is_colour(colour) && (shade.is_empty() || SHADES.contains(&shade))).then_some((shade, colour))
}

/// Whether a word is a colour.
pub(crate) fn is_colour(word: &str) -> bool {
    ALIKE.iter().any(|group| group.contains(&word))
}

/// Whether a text is a colour, with a shade or without.
pub(crate) fn names_colour(text: &str) -> bool {
    parts(&text.to_lowercase()).is_some()
}

/// Whether two colours could be taken for each other.
fn are_alike(a: &str, b: &str) -> bool {
    a == b || ALIKE.iter().any(|group| group.contains(&a) && group.contains(&b))
}

/// Whether two texts are colours that nobody takes for each other.
pub(crate) fn differ(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    matches!((parts(&a), parts(&b)), (Some((_, a)), Some((_, b))) if !are_alike(a, b))
}

/// A colour that is certainly another one, in the same shade.
pub(crate) fn another(text: &str, random: &mut Random) -> Option<String> {
    let lower = text.to_lowercase();
    let (shade, colour) = parts(&lower)?;
    // All come up as often, so that none is mostly right or wrong.
    let unlike = |other: &str| COMMON.iter().filter(|colour| !are_alike(colour, other)).count().max(1);
    let others = COMMON.into_iter().filter(|other| !are_alike(colour, other));
    let weights: Vec<(&str, f64)> = others.map(|other| (other, 1.0 / unlike(other) as f64)).collect();
    let other = weighted(random, &weights)?;
    // There is no light black.
    let keeps_shade = !shade.is_empty() && !["black", "white"].contains(&other);
    Some(if keeps_shade { format!("{shade} {other}") } else { other.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;

    #[test]
    fn another_colour_is_told_apart() {
        let mut source = random(3, &[]);
        for _ in 0..200 {
            let other = another("light blue", &mut source).unwrap();
            assert!(!["blue", "purple"].iter().any(|near| other.contains(near)), "{other}");
            assert!(differ("light blue", &other) && names_colour(&other));
        }
        assert_eq!(another("a beach", &mut source), None);
        assert!(!differ("grey", "white") && !names_colour("blue whale"));
    }
}
