//! Patterns of file names: `*`, `?`, `[a-z]`, `{a,b}` within a name, `**` for folders within folders.

use datafusion::common::plan_datafusion_err;
use datafusion::error::Result;
use glob::{MatchOptions, Pattern};

/// A wildcard does not match a slash, and hidden names are looked at by [`FilePattern::matches`] itself.
const BY_NAME: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// A name with more alternatives is refused.
const MOST_ALTERNATIVES: usize = 1024;

/// Which files below a folder are meant, by their paths from there.
#[derive(Debug, Clone)]
pub(in crate::tables) struct FilePattern {
    alternatives: Vec<Pattern>,
    /// The names in the pattern that begin with a dot or an underscore: they mean hidden files.
    hidden: Vec<Pattern>,
    depth: Option<usize>,
}

impl FilePattern {
    /// Parses a pattern, such as `year=*/part-{1,2}.parquet`. A backslash takes the meaning of the character behind it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let refused = |reason: &str| plan_datafusion_err!("the pattern {text} is not understood: {reason}");
        let texts = expand(text).ok_or_else(|| refused("braces are not closed, or stand for too many names"))?;
        let compile = |text: &str| Pattern::new(&escaped(text)).map_err(|e| refused(e.msg));
        let alternatives = texts.iter().map(|text| compile(text)).collect::<Result<Vec<_>>>()?;
        let names = texts.iter().flat_map(|text| text.split('/')).filter(|name| is_hidden(name));
        let hidden = names.map(compile).collect::<Result<Vec<_>>>()?;
        let depth = |text: &String| (!text.contains("**")).then(|| text.split('/').count());
        let depth = texts.iter().map(depth).reduce(|a, b| a.filter(|_| a == b)).flatten();
        Ok(Self { alternatives, hidden, depth })
    }

    /// Whether a file is meant, by its path from the pattern's folder. Hidden files, and what is in hidden folders, are if the
    /// pattern names them.
    pub(in crate::tables) fn matches(&self, path: &str) -> bool {
        let is_meant = |name: &str| self.hidden.iter().any(|hidden| hidden.matches_with(name, BY_NAME));
        let is_left_out = path.split('/').any(|name| is_hidden(name) && !is_meant(name));
        !is_left_out && self.alternatives.iter().any(|pattern| pattern.matches_with(path, BY_NAME))
    }

    /// Whether all the files that it may mean lie in the folder itself.
    pub(in crate::tables) fn is_flat(&self) -> bool {
        self.depth == Some(1)
    }
}

/// Whether a file or folder of this name is left out unless it is named: `_SUCCESS`, `_temporary`, `.crc`. A folder such as
/// `_part=1` is a partition.
pub(in crate::tables) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

/// Where the first special character stands; what a backslash stands before is none.
pub(super) fn first_special(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(place, character)| {
        let special = !is_escaped && matches!(character, '*' | '?' | '[' | '{');
        is_escaped = character == '\\' && !is_escaped;
        special.then_some(place)
    })
}

/// The text without the backslashes that take meanings away.
pub(super) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next().or(Some('\\'))),
            other => plain.push(other),
        }
    }
    plain
}

/// `a{b,c}` as `ab` and `ac`; `None` if it cannot be.
fn expand(text: &str) -> Option<Vec<String>> {
    let mut whole = vec![];
    let mut open = vec![text.to_string()];
    while let Some(text) = open.pop() {
        if whole.len() + open.len() > MOST_ALTERNATIVES {
            return None;
        }
        let Some((before, items, after)) = braces(&text)? else {
            whole.push(text);
            continue;
        };
        open.extend(items.iter().rev().map(|item| format!("{before}{item}{after}")));
    }
    Some(whole)
}

/// The first braces of a text: what is before, the items, what is after. `None` if they are not closed.
fn braces(text: &str) -> Option<Option<(&str, Vec<&str>, &str)>> {
    let (mut depth, mut is_escaped, mut is_class) = (0, false, false);
    let (mut start, mut item) = (0, 0);
    let mut items = vec![];
    for (place, character) in text.char_indices() {
        if std::mem::take(&mut is_escaped) {
            continue;
        }
        match character {
            '\\' => is_escaped = true,
            '[' => is_class = true,
            ']' => is_class = false,
            '{' if !is_class => {
                if depth == 0 {
                    (start, item) = (place, place + 1);
                }
                depth += 1;
            }
            ',' if depth == 1 => {
                items.push(&text[item..place]);
                item = place + 1;
            }
            '}' if depth == 1 => {
                items.push(&text[item..place]);
                return Some(Some((&text[..start], items, &text[place + 1..])));
            }
            '}' if depth > 1 => depth -= 1,
            _ => {}
        }
    }
    (depth == 0).then_some(None)
}

/// The text as `glob` understands it: it knows no backslash, and each special character in brackets.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, characters.clone().next()) {
            ('\\', Some(next)) => {
                characters.next();
                pattern.push_str(&Pattern::escape(&next.to_string()));
            }
            _ => pattern.push(character),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        FilePattern::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn wildcards_stay_within_a_name() {
        assert!(matches("*.parquet", "a.parquet") && !matches("*.parquet", "a/b.parquet"));
        assert!(matches("*/*.parquet", "a/b.parquet") && !matches("*/*.parquet", "b.parquet"));
        assert!(matches("**/*.parquet", "b.parquet") && matches("**/*.parquet", "a/b/c.parquet"));
        assert!(matches("part-{1,2}.csv", "part-2.csv") && !matches("part-{1,2}.csv", "part-3.csv"));
        assert!(matches("{a,b{c,d}}/x", "bd/x") && matches("[a-c].csv", "b.csv"));
    }

    #[test]
    fn hidden_files_are_left_out_unless_named() {
        for path in ["_x.csv", ".x.csv", "_temporary/0/x.csv", "a/.y/x.csv"] {
            assert!(!matches("**/*.csv", path), "{path}");
        }
        assert!(matches("_*.csv", "_x.csv") && matches(".y/*.csv", ".y/x.csv") && matches("**/*.csv", "_p=1/x.csv"));
    }

    #[test]
    fn a_backslash_takes_the_meaning_away() {
        assert!(matches(r"a\[1\]*.csv", "a[1]b.csv") && matches("a[[]1]*.csv", "a[1]b.csv"));
        assert_eq!(first_special(r"a\[1\]/b*.csv"), Some(8));
        assert_eq!(unescaped(r"a\[1\]"), "a[1]");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for pattern in ["a{b", "a[", "a***b"] {
            let error = FilePattern::parse(pattern).unwrap_err().to_string();
            assert!(error.contains(pattern), "{error}");
        }
        assert!(FilePattern::parse(&"{a,b}".repeat(20)).is_err());
    }

    #[test]
    fn a_pattern_knows_whether_it_is_flat() {
        let is_flat = |text| FilePattern::parse(text).unwrap().is_flat();
        assert!(is_flat("*.csv") && is_flat("{a,b}.csv") && !is_flat("*/x.csv") && !is_flat("**/x.csv"));
        assert!(!is_flat("{a,b/c}.csv"));
    }
}
