//! As much English as captions by rules need: plurals, articles, numbers, capitals.

/// Plurals that no rule gives.
const IRREGULAR: [(&str, &str); 31] = [
    ("mouse", "mice"),
    ("goose", "geese"),
    ("ox", "oxen"),
    ("man", "men"),
    ("woman", "women"),
    ("child", "children"),
    ("person", "people"),
    ("foot", "feet"),
    ("tooth", "teeth"),
    ("wolf", "wolves"),
    ("elf", "elves"),
    ("knife", "knives"),
    ("leaf", "leaves"),
    ("loaf", "loaves"),
    ("shelf", "shelves"),
    ("scarf", "scarves"),
    ("calf", "calves"),
    ("cactus", "cacti"),
    ("octopus", "octopuses"),
    ("fish", "fish"),
    ("sheep", "sheep"),
    ("deer", "deer"),
    ("moose", "moose"),
    ("bison", "bison"),
    ("shrimp", "shrimp"),
    ("squid", "squid"),
    ("aircraft", "aircraft"),
    ("potato", "potatoes"),
    ("tomato", "tomatoes"),
    ("mango", "mangoes"),
    ("hero", "heroes"),
];

/// Words that end in s and are one thing.
const SINGULAR_IN_S: [&str; 8] = ["bus", "lotus", "cactus", "octopus", "walrus", "hippopotamus", "lens", "compass"];

/// Words of things that are not counted.
const MASS: [&str; 28] = [
    "fire",
    "water",
    "bread",
    "rice",
    "spaghetti",
    "pasta",
    "ice",
    "snow",
    "sand",
    "grass",
    "bacon",
    "garlic",
    "butter",
    "salt",
    "music",
    "fog",
    "rain",
    "construction",
    "furniture",
    "luggage",
    "hair",
    "honey",
    "milk",
    "cheese",
    "soup",
    "tea",
    "coffee",
    "wine",
];

/// Vowels that are spoken as consonants, and the other way round.
const A_BEFORE: [&str; 6] = ["uni", "use", "eu", "one", "ufo", "ukulele"];
const AN_BEFORE: [&str; 4] = ["hour", "honest", "heir", "x-ray"];

const NUMBERS: [&str; 13] =
    ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

/// A number as a word, if it is a small one.
pub(crate) fn number(n: u32) -> String {
    NUMBERS.get(n as usize).map_or_else(|| n.to_string(), |word| (*word).to_string())
}

/// The number that a word or digits stand for.
pub(crate) fn parse_number(word: &str) -> Option<u32> {
    let word = word.to_lowercase();
    NUMBERS[1..].iter().position(|number| *number == word).map(|i| i as u32 + 1).or_else(|| word.parse().ok())
}

/// The plural of a name: of its head, where "of", "with" and the like follow it.
pub(crate) fn plural(name: &str) -> String {
    let tail = [" of ", " with ", " on ", " behind ", " and ", " in "].iter().filter_map(|word| name.find(word)).min();
    let (head, tail) = name.split_at(tail.unwrap_or(name.len()));
    let (front, word) =
        head.rsplit_once([' ', '-']).map_or(("", head), |(front, word)| (&head[..front.len() + 1], word));
    format!("{front}{}{tail}", plural_word(word))
}

fn plural_word(word: &str) -> String {
    let lower = word.to_lowercase();
    if let Some((_, plural)) = IRREGULAR.iter().find(|(one, _)| *one == lower) {
        return (*plural).to_string();
    }
    let ends = |ending: &[&str]| ending.iter().any(|ending| lower.ends_with(ending));
    if ends(&["s", "x", "ch", "sh", "z"]) {
        return format!("{word}es");
    }
    match lower.strip_suffix('y') {
        Some(stem) if !stem.is_empty() && !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => {
            format!("{}ies", &word[..word.len() - 1])
        }
        _ => format!("{word}s"),
    }
}

/// Whether a name is that of one thing of which there may be several.
pub(crate) fn is_countable(name: &str) -> bool {
    let head = [" of ", " with ", " on ", " in "].iter().filter_map(|word| name.find(word)).min();
    let head = name[..head.unwrap_or(name.len())].to_lowercase();
    let word = head.rsplit([' ', '-']).next().unwrap_or_default();
    !MASS.contains(&word) && (!word.ends_with('s') || word.ends_with("ss") || SINGULAR_IN_S.contains(&word))
}

/// "a" or "an", as the words that follow want it.
pub(crate) fn article(words: &str) -> &'static str {
    let lower = words.to_lowercase();
    let begins = |list: &[&str]| list.iter().any(|begin| lower.starts_with(begin));
    match lower.starts_with(['a', 'e', 'i', 'o', 'u']) {
        true if begins(&A_BEFORE) => "a",
        false if begins(&AN_BEFORE) => "an",
        true => "an",
        false => "a",
    }
}

/// The text with its first letter in capitals.
pub(crate) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The text as a title.
pub(crate) fn titled(text: &str) -> String {
    let small = ["a", "an", "the", "of", "on", "in", "at", "and", "with", "to"];
    let words = text.split(' ').enumerate().map(|(i, word)| match i > 0 && small.contains(&word) {
        true => word.to_string(),
        false => capitalised(word),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// "a, b and c".
pub(crate) fn joined(parts: &[String], and: &str) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [front @ .., last] => format!("{}{and}{last}", front.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_are_english() {
        let pairs = [
            ("kangaroo", "kangaroos"),
            ("fox", "foxes"),
            ("cherry", "cherries"),
            ("monkey", "monkeys"),
            ("polar bear", "polar bears"),
            ("slice of pizza", "slices of pizza"),
            ("computer mouse", "computer mice"),
            ("t-shirt", "t-shirts"),
            ("jack-o-lantern", "jack-o-lanterns"),
            ("potato", "potatoes"),
        ];
        for (one, many) in pairs {
            assert_eq!(plural(one), many);
        }
    }

    #[test]
    fn articles_numbers_and_lists() {
        for (words, expected) in
            [("owl", "an"), ("unicorn", "a"), ("umbrella", "an"), ("hourglass", "an"), ("car", "a")]
        {
            assert_eq!(article(words), expected, "{words}");
        }
        assert_eq!((number(3).as_str(), number(40).as_str()), ("three", "40"));
        assert_eq!(
            [parse_number("Two"), parse_number("7"), parse_number("no"), parse_number("x")],
            [Some(2), Some(7), None, None]
        );
        let parts = ["a", "b", "c"].map(str::to_string);
        assert_eq!(joined(&parts, " and "), "a, b and c");
        assert_eq!(titled("two cats on the roof"), "Two Cats on the Roof");
    }

    #[test]
    fn what_can_be_counted() {
        for (name, expected) in [
            ("car", true),
            ("bus", true),
            ("glass", true),
            ("scissors", false),
            ("cooked rice", false),
            ("slice of bread", true),
        ] {
            assert_eq!(is_countable(name), expected, "{name}");
        }
    }
}
