//! What rustyline asks while a line is edited: is it whole, and how does it go on?

use std::sync::Arc;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use parking_lot::RwLock;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Highlighter, Hinter};

use super::complete::Names;

/// Completes names and files, and knows where a statement ends.
#[derive(Helper, Highlighter, Hinter)]
pub(super) struct PromptHelper {
    names: Arc<RwLock<Names>>,
    files: FilenameCompleter,
}

impl PromptHelper {
    pub(super) fn new(names: Arc<RwLock<Names>>) -> Self {
        Self { names, files: FilenameCompleter::new() }
    }
}

impl Validator for PromptHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let whole = is_whole(context.input());
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Whether the input can be run: nothing, a command, or SQL whose last token is a semicolon.
fn is_whole(input: &str) -> bool {
    let input = input.trim();
    if input.is_empty() || input.starts_with('\\') {
        return true;
    }
    // A semicolon within quotes or a comment ends nothing; a quote that is open makes the tokenizer fail.
    let tokens = Tokenizer::new(&GenericDialect {}, input).tokenize();
    tokens.is_ok_and(|tokens| {
        let last = tokens.iter().rev().find(|token| !matches!(token, Token::Whitespace(_)));
        matches!(last, Some(Token::SemiColon))
    })
}

impl Completer for PromptHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        context: &Context<'_>,
    ) -> Result<(usize, Vec<Pair>), ReadlineError> {
        let before = &line[..position];
        if let Some(quote) = open_quote(before) {
            // The completer of file names knows nothing of SQL: it sees the name alone.
            let (start, files) = self.files.complete(&before[quote..], position - quote, context)?;
            return Ok((quote + start, files));
        }
        if before.trim_start().starts_with("\\d ") {
            return self.files.complete(line, position, context);
        }
        let start = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let names = self.names.read().matching(&before[start..]);
        Ok((start, names.into_iter().map(|name| Pair { display: name.clone(), replacement: name }).collect()))
    }
}

/// Where the text within a quote that is still open begins.
fn open_quote(before: &str) -> Option<usize> {
    let mut open = None;
    for (at, c) in before.char_indices() {
        match (open, c) {
            (None, '\'' | '"') => open = Some((c, at + 1)),
            (Some((quote, _)), c) if c == quote => open = None,
            _ => {}
        }
    }
    open.map(|(_, start)| start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustyline::history::DefaultHistory;

    #[test]
    fn where_a_statement_ends() {
        for whole in ["", "  ", "\\d", "SELECT 1;", "SELECT ';' ;  ", "SELECT 1; -- done", "SELECT 1;\nSELECT 2;"] {
            assert!(is_whole(whole), "{whole:?}");
        }
        for part in ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT 1; SELECT"] {
            assert!(!is_whole(part), "{part:?}");
        }
    }

    #[test]
    fn file_names_complete_within_quotes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("captions.parquet"), "").unwrap();
        let helper = PromptHelper::new(Arc::default());
        let history = DefaultHistory::new();
        let line = format!("SELECT * FROM '{}/capt", folder.path().display());
        let (start, found) = helper.complete(&line, line.len(), &Context::new(&history)).unwrap();
        assert_eq!(found.len(), 1);
        let completed = format!("{}{}", &line[..start], found[0].replacement);
        assert_eq!(completed, format!("SELECT * FROM '{}/captions.parquet", folder.path().display()));
    }

    #[test]
    fn names_complete_outside_quotes() {
        let helper = PromptHelper::new(Arc::default());
        let history = DefaultHistory::new();
        let line = "SELECT 'é' FR";
        let (start, found) = helper.complete(line, line.len(), &Context::new(&history)).unwrap();
        assert_eq!((&line[start..], found[0].replacement.as_str()), ("FR", "FROM"));
    }
}
