//! The rows that `--data` of a command names: a query, or a table.

use datafusion::dataframe::DataFrame;

use crate::error::EngineError;
use crate::session::Session;
use crate::statements::{self, StatementError};

/// The words that queries begin with. No path, pattern or URL begins so and goes on with a blank.
const QUERIES: [&str; 3] = ["select", "with", "values"];

impl Session {
    /// The rows of a query (text that begins with SELECT, WITH, VALUES or a parenthesis), or of a table: a path, a pattern, a
    /// URL, or the name of a table that the session has.
    pub async fn data(&self, named: &str) -> Result<DataFrame, EngineError> {
        let named = named.trim().trim_end_matches(';');
        if !is_query(named) && self.context().table_exist(named).unwrap_or(false) {
            return Ok(self.context().table(named).await?);
        }
        let sql = match is_query(named) {
            true => named.to_string(),
            false => format!("SELECT * FROM '{}'", named.replace('\'', "''")),
        };
        let mut parsed = statements::parse(&sql)?;
        let (Some(statement), true) = (parsed.pop_front(), parsed.is_empty()) else {
            return Err(StatementError::NotOne { text: named.to_string() }.into());
        };
        self.plan(statement).await.map_err(|error| error.locate(&sql))
    }
}

fn is_query(text: &str) -> bool {
    let first = text.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    text.starts_with('(') || (first.len() < text.len() && QUERIES.iter().any(|word| first.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::SessionSettings;

    #[test]
    fn queries_are_told_from_places() {
        for query in ["SELECT 1", "with a as (select 1) select * from a", "VALUES(1)", "(SELECT 1)", "select\n1"] {
            assert!(is_query(query), "{query}");
        }
        for place in
            ["select", "data/select *.parquet", "s3://bucket/with/values", "with.parquet", "selected things.csv"]
        {
            assert!(!is_query(place), "{place}");
        }
    }

    #[tokio::test]
    async fn a_query_a_file_and_a_table_give_rows() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it's.csv");
        std::fs::write(&file, "a\n1\n2\n").unwrap();
        let file = file.to_str().unwrap().to_string();
        let settings = SessionSettings { options: vec![], corpus: Some(file.clone()) };
        let session = Session::open(&settings).await.unwrap();
        for named in ["SELECT a;", &file, "corpus", "VALUES (1), (2)"] {
            assert_eq!(session.data(named).await.unwrap().count().await.unwrap(), 2, "{named}");
        }
        assert!(session.data("SELECT 1; SELECT 2").await.is_err());
        let error = session.data("missing.csv").await.unwrap_err().to_string();
        assert!(error.contains("missing.csv"), "{error}");
    }
}
