//! Values in messages: a column may hold anything, and a message is to be read.

use std::borrow::Cow;

/// A name, a path or a URL as messages show it: at most about 200 characters, and how long it is if that is not all of it.
pub fn name(name: &str) -> Cow<'_, str> {
    ends(name, 140, 40)
}

/// A message of others, which may repeat a value: no more than 200 characters of it in a row.
pub fn text(text: &str) -> Cow<'_, str> {
    ends(text, 200, 200)
}

/// The text's first and last characters, and its length between them if something is left out.
fn ends(text: &str, head: usize, tail: usize) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= head + tail {
        return Cow::Borrowed(text);
    }
    let cut = |count| text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    Cow::Owned(format!("{}...({length} characters)...{}", &text[..cut(head)], &text[cut(length - tail)..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_values_are_shown_as_they_are() {
        for value in ["", "a/b.png", &"é".repeat(180)] {
            assert_eq!(name(value), value);
        }
    }

    #[test]
    fn long_values_keep_both_ends() {
        let url = format!("https://host/{}/end.png", "é".repeat(100_000));
        let shown = name(&url);
        assert!(shown.starts_with("https://host/éé") && shown.ends_with("éé/end.png"), "{shown}");
        assert!(shown.contains("...(100021 characters)..."), "{shown}");
        assert!(shown.chars().count() < 220);
        assert!(text(&url).chars().count() < 440);
    }
}
