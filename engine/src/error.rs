//! What can go wrong in the engine, and how DataFusion's errors read for a person.

use std::error::Error;
use std::fmt;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::statements;

/// An error and what caused it, each once: libraries say "transport error" and leave the rest to the cause.
fn causes(error: &(dyn Error + 'static)) -> String {
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

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A query could not be parsed, planned or run.
    #[error("{}", query_message(.0))]
    Query(#[source] Box<DataFusionError>),
    /// An error whose place in the SQL text was found afterwards.
    #[error("{place}: {source}")]
    At {
        /// Where the statement is wrong.
        place: Place,
        /// What is wrong.
        #[source]
        source: Box<EngineError>,
    },
    /// A session option was refused.
    #[error("option {key}={value}: {}", describe(.source).1)]
    Option {
        /// The option's name.
        key: String,
        /// The value that was given.
        value: String,
        /// Why it was refused.
        #[source]
        source: Box<DataFusionError>,
    },
    /// A query without FROM names columns, and there is no corpus to take them from.
    #[error("{place}: this query names columns but no table; add FROM 'FILE', or give --corpus PATH")]
    NoCorpus {
        /// Where the query begins.
        place: Place,
    },
    /// A sample of a table that cannot be taken.
    #[error("{place}: {sample}: {reason}")]
    Sample {
        /// Where the table stands.
        place: Place,
        /// The sample as the user wrote it.
        sample: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The corpus cannot be read.
    #[error("corpus {location}: {}", describe(.source).1)]
    Corpus {
        /// The corpus as the user named it.
        location: String,
        /// Why it cannot be read.
        #[source]
        source: Box<DataFusionError>,
    },
    /// A result file's extension is not one of a format that can be written.
    #[error("{location}: cannot tell the format to write; use one of {known}")]
    OutputFormat {
        /// The output as the user named it.
        location: String,
        /// The extensions that are understood.
        known: &'static str,
    },
    /// Several results for one file.
    #[error("more than one of the statements gives rows, and --output holds one result; keep one of them")]
    SeveralOutputs,
    /// No result for the file.
    #[error("none of the statements gives rows: nothing to write to {location}")]
    NoOutput {
        /// The output as the user named it.
        location: String,
    },
    /// A result could not be written to a file or an object store.
    #[error("writing {location}: {}", describe(.source).1)]
    Write {
        /// The output as the user named it.
        location: String,
        /// The cause.
        #[source]
        source: Box<DataFusionError>,
    },
    /// The result could not be printed.
    #[error("writing the result: {0}")]
    Print(#[source] std::io::Error),
    /// A file of SQL could not be read.
    #[error("reading {path}: {source}")]
    Script {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The prompt could not be set up.
    #[error("the prompt failed: {0}")]
    Prompt(#[source] rustyline::error::ReadlineError),
    /// A model could not be inspected.
    #[error(transparent)]
    Model(#[from] tamis_models::LoadError),
    /// The score cache could not be looked at or emptied.
    #[error(transparent)]
    Cache(#[from] tamis_udfs::cache::CacheError),
    /// A task of the query ended without a result.
    #[error("the query's task failed: {0}")]
    Task(#[source] tokio::task::JoinError),
    /// A server's address cannot be listened at.
    #[error("listening at {address}: {source}; choose another with --bind")]
    Bind {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A server ended.
    #[error("serving: {0}")]
    Serve(#[source] std::io::Error),
    /// An executor's folder cannot be used.
    #[error("using {path} for results: {source}", path = path.display())]
    WorkDir {
        /// The folder.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another process of the cluster did not answer as it should.
    #[error("{doing} {address}: {}", causes(.source.as_ref()))]
    Cluster {
        /// What was being done.
        doing: &'static str,
        /// With which process.
        address: String,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A server answered with an error.
    #[error("{message}")]
    Remote {
        /// What it said.
        message: String,
    },
    /// TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::net::TlsError),
    /// The users or the cluster's secret cannot be used.
    #[error(transparent)]
    Access(#[from] crate::access::AccessError),
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// The async runtime could not be started.
    #[error("starting threads: {0}")]
    Runtime(#[source] std::io::Error),
}

impl EngineError {
    /// Whether the command line is at fault, not the query.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Option { .. } | Self::OutputFormat { .. } | Self::Config(_) | Self::Access(_) | Self::Tls(_)
        )
    }

    /// What went wrong with another process of the cluster.
    pub(crate) fn cluster(doing: &'static str, address: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Cluster { doing, address: address.to_string(), source: source.into() }
    }

    /// Adds the place in `sql` to a planning error that came without one.
    pub fn locate(self, sql: &str) -> Self {
        let Self::Query(source) = &self else { return self };
        let (None, message) = describe(source) else { return self };
        match statements::locate(sql, &message) {
            Some(place) => Self::At { place, source: Box::new(self) },
            None => self,
        }
    }

    /// Whether the reader of our output has gone (`| head`), which is no failure.
    pub fn is_broken_pipe(&self) -> bool {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

impl From<DataFusionError> for EngineError {
    fn from(error: DataFusionError) -> Self {
        Self::Query(Box::new(error))
    }
}

/// The message of a query's error, with its place in front if that is known.
fn query_message(error: &DataFusionError) -> String {
    match describe(error) {
        (Some(place), message) => format!("{place}: {message}"),
        (None, message) => message,
    }
}

/// An error of DataFusion in one line, without the prefixes that tell which of its stages it passed through.
pub(crate) fn describe(error: &DataFusionError) -> (Option<Place>, String) {
    let place = error.diagnostic().and_then(|d| d.span).and_then(|span| place(span.start.line, span.start.column));
    let (found, message) = unwrap(error);
    (place.or(found), one_line(&message))
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
        other => (None, other.strip_backtrace()),
    }
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
        assert_eq!(EngineError::from(error).to_string(), "the cause");
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("Error during planning: a\n\tb.\n"), "a b");
        let coercion = "Function 'f' user-defined coercion failed with: f: argument 2 is Int64. No function matches 'f(Int64)'. ...";
        assert_eq!(one_line(coercion), "f: argument 2 is Int64");
    }

    #[test]
    fn a_closed_pipe_is_found_below_other_errors() {
        let error = EngineError::Print(std::io::ErrorKind::BrokenPipe.into());
        assert!(error.is_broken_pipe());
        assert!(!EngineError::SeveralOutputs.is_broken_pipe());
    }
}
