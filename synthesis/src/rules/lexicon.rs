//! Words that are wrong where another one is right: siblings and opposites, from two small files.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::english::plural;
use crate::random::{Random, any};

static SIBLINGS: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(|| {
    let mut words: HashMap<String, Vec<String>> = HashMap::new();
    for group in lines(include_str!("../../lexicon/siblings.txt")) {
        for word in &group {
            let others = group.iter().filter(|other| *other != word).cloned();
            words.entry(word.clone()).or_default().extend(others);
        }
        let many: Vec<String> = group.iter().map(|word| plural(word)).collect();
        for word in &many {
            words.entry(word.clone()).or_default().extend(many.iter().filter(|other| *other != word).cloned());
        }
    }
    words
});

static OPPOSITES: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(|| {
    let mut words: HashMap<String, Vec<String>> = HashMap::new();
    for pair in lines(include_str!("../../lexicon/opposites.txt")) {
        if let [a, b] = pair.as_slice() {
            words.entry(a.clone()).or_default().push(b.clone());
            words.entry(b.clone()).or_default().push(a.clone());
        }
    }
    words
});

fn lines(file: &str) -> impl Iterator<Item = Vec<String>> {
    let lines = file.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| line.split(',').map(|word| word.trim().to_string()).collect())
}

/// Another word of the same kind, in the same number.
pub(crate) fn sibling(word: &str, random: &mut Random) -> Option<&'static str> {
    SIBLINGS.get(word).and_then(|others| any(random, others)).map(String::as_str)
}

/// A word that says the opposite.
pub(crate) fn opposite(word: &str, random: &mut Random) -> Option<&'static str> {
    OPPOSITES.get(word).and_then(|others| any(random, others)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;

    #[test]
    fn siblings_keep_their_number_and_opposites_answer_each_other() {
        let mut source = random(1, &[]);
        for word in SIBLINGS.keys() {
            assert_ne!(sibling(word, &mut source).unwrap(), word);
        }
        assert!(["cats", "rabbits", "hamsters", "parrots"].contains(&sibling("dogs", &mut source).unwrap()));
        for (word, others) in OPPOSITES.iter() {
            assert!(others.iter().all(|other| OPPOSITES[other].contains(word)), "{word}");
        }
        assert_eq!(sibling("inertia", &mut source), None);
    }
}
