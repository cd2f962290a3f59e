//! Whether an answer is what was asked for.

use std::collections::HashSet;

use crate::prompt::Kind;
use crate::rules::{Document, Part};

/// The four texts of an answer, level 0 first.
pub type Texts = [String; 4];

/// Words by which a text gives away that it was asked for, or its level.
const LEAKS: [&str; 34] = [
    "as requested",
    "as you requested",
    "as asked",
    "here is a caption",
    "here is the caption",
    "here is a wrong",
    "here's a",
    "wrong caption",
    "incorrect caption",
    "inaccurate caption",
    "false caption",
    "this caption",
    "the caption",
    "my caption",
    "caption:",
    "level 0",
    "level 1",
    "level 2",
    "level 3",
    "level_",
    "easy negative",
    "medium negative",
    "hard negative",
    "intentionally",
    "deliberately",
    "intentional error",
    "unrelated to the image",
    "does not match the image",
    "doesn't match the image",
    "not in the image",
    "as an ai",
    "i cannot",
    "i can't",
    "i'm sorry",
];

/// The shortest and the longest text, in letters.
fn bounds(kind: Kind) -> (usize, usize) {
    match kind {
        Kind::Captions => (12, 2_000),
        Kind::Documents => (40, 20_000),
    }
}

/// The share of words that a caption of level 2 has in common with that of level 3, at least.
const COMMON: f64 = 0.4;

/// Looks whether an answer can be used; the reason if it cannot. `images` is how many the row has.
pub(crate) fn check(kind: Kind, texts: &Texts, images: usize) -> Result<(), String> {
    let (shortest, longest) = bounds(kind);
    for (level, text) in texts.iter().enumerate() {
        let length = text.trim().chars().count();
        if length == 0 {
            return Err(format!("level {level} is empty"));
        }
        if !(shortest..=longest).contains(&length) {
            return Err(format!("level {level} has {length} letters, not {shortest} to {longest}"));
        }
        let lower = text.to_lowercase();
        if let Some(leak) = LEAKS.iter().find(|leak| lower.contains(*leak)) {
            return Err(format!("level {level} gives itself away: it says {leak:?}"));
        }
    }
    for (a, b) in [(3, 2), (3, 1), (3, 0), (2, 1), (2, 0), (1, 0)] {
        if normal(&texts[a]) == normal(&texts[b]) {
            return Err(format!("levels {a} and {b} are the same text"));
        }
    }
    match kind {
        Kind::Captions => {
            let (flawed, faithful) = (words(&texts[2]), words(&texts[3]));
            let common = flawed.intersection(&faithful).count() as f64 / flawed.len().max(1) as f64;
            if common < COMMON {
                return Err("level 2 is another text than level 3, not the same with one thing wrong".into());
            }
        }
        Kind::Documents => {
            for (level, text) in texts.iter().enumerate() {
                let marks = marks(text);
                if marks.is_empty() {
                    return Err(format!("level {level} has no image"));
                }
                if let Some(Mark::Own(n)) =
                    marks.iter().find(|mark| matches!(mark, Mark::Own(n) if *n == 0 || *n > images))
                {
                    return Err(format!("level {level} has image {n} of {images}"));
                }
            }
            let own = marks(&texts[3]);
            if (1..=images).any(|n| own.iter().filter(|mark| **mark == Mark::Own(n)).count() != 1) {
                return Err("level 3 does not have every image once".into());
            }
        }
    }
    Ok(())
}

/// Letters and digits alone.
fn normal(text: &str) -> String {
    text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect()
}

fn words(text: &str) -> HashSet<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Where an image stands in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// The row's image of this number, from 1.
    Own(usize),
    /// One of another row.
    Other,
}

fn mark(text: &str) -> Option<Mark> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?.trim().to_lowercase();
    match inner.as_str() {
        "other image" => Some(Mark::Other),
        inner => inner.strip_prefix("image")?.trim().parse().ok().map(Mark::Own),
    }
}

fn marks(text: &str) -> Vec<Mark> {
    pieces(text).into_iter().filter_map(Result::ok).collect()
}

/// Texts, and the marks between them.
fn pieces(text: &str) -> Vec<Result<Mark, &str>> {
    let mut pieces = vec![];
    let mut rest = text;
    let mut from = 0;
    while let Some(open) = rest[from..].find('[').map(|at| at + from) {
        let Some(close) = rest[open..].find(']').map(|at| at + open) else { break };
        match mark(&rest[open..=close]) {
            Some(mark) => {
                pieces.push(Err(&rest[..open]));
                pieces.push(Ok(mark));
                rest = &rest[close + 1..];
                from = 0;
            }
            None => from = open + 1,
        }
    }
    pieces.push(Err(rest));
    pieces.retain(|piece| !matches!(piece, Err(text) if text.trim().is_empty()));
    pieces
}

/// The document that a text with marks stands for. `other` gives an image of another row.
pub(crate) fn document(text: &str, images: &[usize], mut other: impl FnMut() -> Option<usize>) -> Document<usize> {
    let parts = pieces(text).into_iter().filter_map(|piece| match piece {
        Ok(Mark::Own(n)) => images.get(n.checked_sub(1)?).map(|image| Part::Image(*image)),
        Ok(Mark::Other) => other().map(Part::Image),
        Err(text) => Some(Part::Text(text.trim().to_string())),
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Texts {
        [
            "A bowl of soup stands on a wooden table beside a spoon.",
            "Three grey elephants walk along a beach under a dark sky.",
            "Two brown dogs run along a beach under a cloudy sky.",
            "Two brown dogs run along a beach under a clear sky.",
        ]
        .map(str::to_string)
    }

    #[test]
    fn a_good_answer_passes() {
        assert_eq!(check(Kind::Captions, &texts(), 1), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let changed = |level: usize, text: &str| {
            let mut texts = texts();
            texts[level] = text.to_string();
            check(Kind::Captions, &texts, 1).unwrap_err()
        };
        assert!(changed(1, "  ").contains("level 1 is empty"));
        assert!(changed(0, "Soup.").contains("5 letters"));
        assert!(changed(3, &"long ".repeat(900)).contains("4499 letters"));
        assert!(
            changed(2, "two brown dogs run along a beach under a clear sky!!").contains("levels 3 and 2 are the same")
        );
        assert!(changed(1, "As requested, here is a wrong caption: cats.").contains("as requested"));
        assert!(changed(2, "A man repairs an old engine in his garage at night.").contains("another text"));
    }

    #[test]
    fn documents_have_their_images() {
        let long = "Words about the topic that go on for a while. ";
        let text = |marks: &str, n: usize| format!("{long}{n}\n\n{marks}\n\n{long}");
        let texts = [
            text("[other image]", 0),
            text("[image 2]", 1),
            text("[Image 1] [other image]", 2),
            text("[image 2]\n[image 1]", 3),
        ];
        assert_eq!(check(Kind::Documents, &texts, 2), Ok(()));
        assert!(check(Kind::Documents, &texts, 1).unwrap_err().contains("image 2 of 1"));
        assert!(check(Kind::Documents, &texts, 3).unwrap_err().contains("every image once"));
        let mut bare = texts.clone();
        bare[1] = long.into();
        assert!(check(Kind::Documents, &bare, 2).unwrap_err().contains("level 1 has no image"));
        let parts = document(&format!("a [sic] {}", texts[2]), &[7, 8], || Some(9));
        assert!(
            matches!(&parts[..], [Part::Text(a), Part::Image(7), Part::Image(9), Part::Text(_)] if a.starts_with("a [sic]"))
        );
    }
}
