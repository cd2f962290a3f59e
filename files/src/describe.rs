//! How the errors of DataFusion, Arrow, Parquet and object stores read for a person.

use std::error::Error;
use std::fmt;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use datafusion::sql::sqlparser::parser::ParserError;

/// An error and what caused it, each once: libraries say "transport error" and leave the rest to the cause.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// A place in the SQL text, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The message of a query's error, with its place in front if that is known.
pub fn message(error: &DataFusionError) -> String {
    match describe(error) {
        (Some(place), message) => format!("{place}: {message}"),
        (None, message) => message,
    }
}

/// A message is no longer than a screen.
const MOST_CHARACTERS: usize = 1_500;

/// An error of DataFusion in one line, without the prefixes that tell which of its stages it passed through.
pub fn describe(error: &DataFusionError) -> (Option<Place>, String) {
    let place = error.diagnostic().and_then(|d| d.span).and_then(|span| place(span.start.line, span.start.column));
    let (found, message) = unwrap(error);
    // A task's panic, as a text by now.
    let message = match message.split_once("panicked with message \"") {
        Some(_) => panicked(&panic_message(&message)),
        None => message,
    };
    (place.or(found), shortened(one_line(&message)))
}

/// The beginning and the end of what is longer than a screen: what went wrong stands at one of them.
fn shortened(message: String) -> String {
    let count = message.chars().count();
    if count <= MOST_CHARACTERS {
        return message;
    }
    let half = MOST_CHARACTERS / 2;
    let (head, tail) = (message.chars().take(half), message.chars().skip(count - half));
    format!("{} [... {} characters ...] {}", head.collect::<String>(), count - 2 * half, tail.collect::<String>())
}

/// What a panic has said.
pub fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// What a panic's message means to who asked: an operator of the engine came to an end that it does not know.
pub fn panicked(message: &str) -> String {
    // Arrow's columns of texts have offsets of 32 bits.
    if message.contains("offset overflow") || message.contains("Offset overflow") || message.contains("OffsetOverflow")
    {
        return "more than 2 GiB of text in one column of a sort, group, join or window; CAST the column to \
                arrow_cast(..., 'LargeUtf8'), work on a hash of it (sha256, md5), or take fewer rows at once"
            .into();
    }
    format!("the query's engine panicked: {message}; this is a defect of the program")
}

fn place(line: u64, column: u64) -> Option<Place> {
    (line > 0).then_some(Place { line, column })
}

fn unwrap(error: &DataFusionError) -> (Option<Place>, String) {
    match error {
        DataFusionError::SQL(parser, _) => parser_message(parser),
        DataFusionError::Plan(m)
        | DataFusionError::Configuration(m)
        | DataFusionError::Execution(m)
        | DataFusionError::Internal(m)
        | DataFusionError::ResourcesExhausted(m) => (None, m.clone()),
        DataFusionError::NotImplemented(m) => (None, format!("not supported: {m}")),
        DataFusionError::SchemaError(e, _) => (None, e.to_string()),
        DataFusionError::Context(_, inner) => unwrap(inner),
        DataFusionError::Diagnostic(_, inner) => unwrap(inner),
        DataFusionError::Shared(inner) => unwrap(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => unwrap(first),
            None => (None, error.to_string()),
        },
        DataFusionError::ArrowError(inner, _) => arrow_message(inner),
        DataFusionError::ParquetError(inner) => match inner.as_ref() {
            // A predicate that the reader evaluates may fail, and the file is fine.
            ParquetError::External(inner) if inner.is::<ArrowError>() || inner.is::<DataFusionError>() => {
                external_message(inner.as_ref())
            }
            inner => (None, format!("damaged Parquet file: {inner}")),
        },
        DataFusionError::ObjectStore(inner) => (None, store_message(inner)),
        DataFusionError::External(inner) => external_message(inner.as_ref()),
        DataFusionError::ExecutionJoin(inner) if inner.is_panic() => {
            (None, panicked(&panic_message(&inner.to_string())))
        }
        other => (None, other.strip_backtrace()),
    }
}

/// `task 3 panicked with message "..."`: what stands in the quotes.
fn panic_message(text: &str) -> String {
    let quoted = text.split_once("with message \"").and_then(|(_, rest)| rest.rsplit_once('"'));
    quoted.map_or(text, |(message, _)| message).to_string()
}

fn external_message(error: &(dyn Error + Send + Sync + 'static)) -> (Option<Place>, String) {
    if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        return unwrap(inner);
    }
    if let Some(inner) = error.downcast_ref::<ArrowError>() {
        return arrow_message(inner);
    }
    if let Some(inner) = error.downcast_ref::<object_store::Error>() {
        return (None, store_message(inner));
    }
    (None, error.to_string())
}

fn arrow_message(error: &ArrowError) -> (Option<Place>, String) {
    match error {
        ArrowError::ExternalError(inner) => external_message(inner.as_ref()),
        ArrowError::OffsetOverflowError(_) => (None, panicked("offset overflow")),
        ArrowError::SchemaError(m)
        | ArrowError::CastError(m)
        | ArrowError::ComputeError(m)
        | ArrowError::InvalidArgumentError(m) => (None, m.clone()),
        ArrowError::ParseError(m) => (None, m.clone()),
        other => (None, other.to_string()),
    }
}

/// What an object store says, with the cause that its own message leaves out.
fn store_message(error: &object_store::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = inner.source();
    }
    message
}

/// The parser appends the place to its message: `Expected: ..., found: x at Line: 1, Column: 8`.
fn parser_message(error: &ParserError) -> (Option<Place>, String) {
    let text = match error {
        ParserError::TokenizerError(m) | ParserError::ParserError(m) => m.clone(),
        ParserError::RecursionLimitExceeded => "the query is nested too deeply".into(),
    };
    let Some((message, at)) = text.rsplit_once(" at Line: ") else {
        return (None, text);
    };
    let numbers = at.split_once(", Column: ").and_then(|(line, column)| {
        let column: String = column.chars().take_while(char::is_ascii_digit).collect();
        Some((line.parse().ok()?, column.parse().ok()?))
    });
    match numbers {
        Some((line, column)) => (place(line, column), message.to_string()),
        None => (None, text),
    }
}

/// One line, whatever the message's layout; the advice to report a bug to DataFusion is dropped.
fn one_line(message: &str) -> String {
    let message = message.split("\n\nbacktrace:").next().unwrap_or(message);
    let message = message.split("This issue was likely caused by a bug").next().unwrap_or(message);
    let mut text = message.split_whitespace().collect::<Vec<_>>().join(" ");
    const PREFIXES: [&str; 9] = [
        "Error during planning: ",
        "Execution error: ",
        "External error: ",
        "Arrow error: ",
        "Schema error: ",
        "SQL error: ",
        "Internal error: ",
        "Invalid or Unsupported Configuration: ",
        "Object Store error: ",
    ];
    for prefix in PREFIXES {
        text = text.replace(prefix, "");
    }
    // A function that checks its arguments itself says what is wrong; what DataFusion adds says less.
    if let Some((_, reason)) = text.split_once("user-defined coercion failed with: ") {
        text = reason.split(". No function matches").next().unwrap_or(reason).to_string();
    }
    text = text.replace("'datafusion.public.", "'");
    text.trim_end_matches(['.', ' ']).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;

    #[tokio::test]
    async fn a_parser_error_has_its_place_and_no_prefix() {
        let error = SessionContext::new().sql("SELECT 1\n  FORM x y").await.unwrap_err();
        let (place, message) = describe(&error);
        assert_eq!(place.map(|p| p.line), Some(2), "{message}");
        assert!(!message.contains("Line:") && !message.contains("SQL error"), "{message}");
    }

    #[test]
    fn wrapped_errors_are_unwrapped() {
        let inner = DataFusionError::Plan("the cause".into());
        let error = DataFusionError::External(Box::new(DataFusionError::Shared(std::sync::Arc::new(
            DataFusionError::Context("type_coercion".into(), Box::new(inner)),
        ))));
        assert_eq!(message(&error), "the cause");
    }

    #[tokio::test]
    async fn a_panic_of_a_task_says_what_it_means() {
        let panic =
            |text: &'static str| async move { tokio::spawn(async move { panic!("{text}") }).await.unwrap_err() };
        let error = DataFusionError::ExecutionJoin(Box::new(panic("byte array offset overflow").await));
        assert!(message(&error).starts_with("more than 2 GiB of text"), "{}", message(&error));
        let error = DataFusionError::ExecutionJoin(Box::new(panic("no such thing").await));
        assert_eq!(message(&error), "the query's engine panicked: no such thing; this is a defect of the program");
    }

    #[test]
    fn a_message_is_no_longer_than_a_screen() {
        let error = DataFusionError::Execution(format!("reading a.csv: {} is too long", "x".repeat(100_000)));
        let message = message(&error);
        assert!(message.len() < 1_600 && message.starts_with("reading a.csv: ") && message.ends_with("is too long"));
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("Error during planning: a\n\tb.\n"), "a b");
        let coercion = "Function 'f' user-defined coercion failed with: f: argument 2 is Int64. No function matches 'f(Int64)'. ...";
        assert_eq!(one_line(coercion), "f: argument 2 is Int64");
    }
}
