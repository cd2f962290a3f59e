//! The prompt's own commands, which begin with a backslash.

/// What `\?` shows.
pub(super) const HELP: &str = "\
\\?          this help
\\q          leave (also Ctrl-D)
\\d          list the tables
\\d NAME     list a table's columns; NAME may be a file: \\d data/*.parquet
\\timing     show how long each statement takes, or stop showing it
Ctrl-C      clear the line, or stop the query that runs
Tab         complete keywords, functions, tables, columns and, within quotes, file names

A file is a table: SELECT * FROM 'data/*.parquet' LIMIT 5;
SHOW ALL; lists the options, SET tamis.scoring.on_error = 'fail'; sets one.";

/// The statement behind `\d`.
pub(super) const TABLES: &str = "SELECT table_schema, table_name, table_type FROM information_schema.tables \
    WHERE table_schema <> 'information_schema' ORDER BY table_schema, table_name";

/// A command of the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Quit,
    Tables,
    Columns(String),
    Timing,
}

impl Command {
    /// `None` if the line is SQL; an error if the command is not known.
    pub(super) fn parse(line: &str) -> Option<Result<Self, String>> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let command = line.strip_prefix('\\')?;
        let (name, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let argument = argument.trim();
        Some(match (name, argument) {
            ("?" | "h", "") => Ok(Self::Help),
            ("q", "") => Ok(Self::Quit),
            ("timing", "") => Ok(Self::Timing),
            ("d", "") => Ok(Self::Tables),
            ("d", table) => Ok(Self::Columns(table.to_string())),
            _ => Err(format!("there is no command {line}; \\? lists them")),
        })
    }
}

/// A table's name as SQL: as it is if it is a plain or quoted name, in quotes if it is a file.
pub(super) fn quoted(table: &str) -> String {
    let is_quoted = table.starts_with(['\'', '"']);
    if is_quoted || table.chars().all(|c| c.is_alphanumeric() || c == '_') {
        table.to_string()
    } else {
        format!("'{}'", table.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        assert_eq!(Command::parse("SELECT 1;"), None);
        assert_eq!(Command::parse(" \\q "), Some(Ok(Command::Quit)));
        assert_eq!(Command::parse("\\d;"), Some(Ok(Command::Tables)));
        assert_eq!(Command::parse("\\d  a b.parquet"), Some(Ok(Command::Columns("a b.parquet".into()))));
        assert!(Command::parse("\\x").unwrap().unwrap_err().contains("\\x"));
    }

    #[test]
    fn file_names_are_quoted() {
        assert_eq!(quoted("corpus"), "corpus");
        assert_eq!(quoted("'a.csv'"), "'a.csv'");
        assert_eq!(quoted("it's/*.parquet"), "'it''s/*.parquet'");
    }
}
