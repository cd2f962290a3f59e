//! What the prompt can complete.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::TableReference;
use datafusion::sql::parser::DFParser;
use datafusion::sql::resolve::resolve_table_references;

use super::command::quoted;
use tamis_engine::session::Session;

/// Keywords that are worth a Tab.
const KEYWORDS: [&str; 53] = [
    "ALL",
    "AND",
    "ANALYZE",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CROSS",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTERNAL",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "RIGHT",
    "SELECT",
    "SET",
    "SHOW",
    "TABLE",
    "UNION",
    "VIEW",
    "WHERE",
];

/// Names that the session knows.
#[derive(Debug, Default)]
pub(super) struct Names {
    functions: BTreeSet<String>,
    tables: BTreeSet<String>,
    /// Columns by table. Files are tables here once a statement has named them.
    columns: BTreeMap<String, Vec<String>>,
    /// Tables that statements have named.
    mentioned: BTreeSet<String>,
}

impl Names {
    /// Notes the tables that a statement names.
    pub(super) fn learn_tables(&mut self, sql: &str) {
        for statement in DFParser::parse_sql(sql).into_iter().flatten() {
            if let Ok((tables, _)) = resolve_table_references(&statement, true) {
                self.mentioned.extend(tables.into_iter().map(|table| table.table().to_string()));
            }
        }
    }

    /// The tables whose columns are not known yet.
    pub(super) fn unknown_tables(&self) -> Vec<String> {
        self.mentioned.iter().filter(|table| !self.columns.contains_key(*table)).cloned().collect()
    }

    /// Takes what was found in the session.
    pub(super) fn merge(&mut self, found: Self) {
        self.functions = found.functions;
        self.tables = found.tables;
        self.columns.extend(found.columns);
        self.mentioned.clear();
    }

    /// The names that go on from `word`, and what they are.
    pub(super) fn matching(&self, word: &str) -> Vec<String> {
        if word.is_empty() {
            return vec![];
        }
        let lower = word.to_lowercase();
        let is_lower = word.chars().all(|c| !c.is_uppercase());
        let mut found = BTreeSet::new();
        let columns = self.columns.values().flatten();
        for name in columns.chain(&self.tables) {
            if name.to_lowercase().starts_with(&lower) {
                found.insert(if name.chars().any(char::is_uppercase) { format!("\"{name}\"") } else { name.clone() });
            }
        }
        found.extend(self.functions.iter().filter(|f| f.starts_with(&lower)).map(|function| format!("{function}(")));
        for keyword in KEYWORDS.iter().filter(|keyword| keyword.to_lowercase().starts_with(&lower)) {
            found.insert(if is_lower { keyword.to_lowercase() } else { keyword.to_string() });
        }
        found.into_iter().collect()
    }
}

/// Asks the session for its functions and tables, and for the columns of the tables and of `mentioned`.
pub(super) async fn names_of(session: &Session, mentioned: Vec<String>) -> Names {
    let context = session.context();
    let state = context.state();
    let mut names = Names::default();
    names.functions.extend(state.scalar_functions().keys().cloned());
    names.functions.extend(state.aggregate_functions().keys().cloned());
    names.functions.extend(state.window_functions().keys().cloned());
    for catalog in context.catalog_names() {
        let Some(catalog) = context.catalog(&catalog) else { continue };
        for schema in catalog.schema_names().iter().filter(|name| *name != "information_schema") {
            names.tables.extend(catalog.schema(schema).into_iter().flat_map(|schema| schema.table_names()));
        }
    }
    for table in names.tables.iter().cloned().chain(mentioned).collect::<Vec<_>>() {
        // A file may be gone by now; then there is nothing to complete.
        let columns = match context.table_provider(TableReference::bare(table.as_str())).await {
            Ok(provider) => provider.schema().fields().iter().map(|field| field.name().clone()).collect(),
            Err(error) => {
                log::debug!("no columns of {}: {error}", quoted(&table));
                vec![]
            }
        };
        names.columns.insert(table, columns);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use tamis_engine::session::SessionSettings;

    #[tokio::test]
    async fn names_come_from_the_session_and_from_statements() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv").display().to_string();
        std::fs::write(&file, "uid,Width\n1,2\n").unwrap();
        let session = Session::open(&SessionSettings::default()).await.unwrap();
        session.context().sql("CREATE VIEW captions AS SELECT 1 AS language").await.unwrap();

        let mut names = Names::default();
        names.learn_tables(&format!("SELECT * FROM '{file}' WHERE uid > 1"));
        assert_eq!(names.unknown_tables(), [file]);
        let found = names_of(&session, names.unknown_tables()).await;
        names.merge(found);
        assert_eq!(names.matching("ui"), ["uid"]);
        assert!(names.matching("wid").contains(&"\"Width\"".to_string()), "a name with capitals is quoted");
        assert_eq!(names.matching("capt"), ["captions"]);
        assert!(names.matching("lang").contains(&"language".to_string()));
        assert_eq!(names.matching("unif"), ["unifilter(", "unifilter_error("]);
        assert_eq!(names.matching("sel"), ["select"]);
        assert_eq!(names.matching("SEL"), ["SELECT"]);
        assert!(names.matching("").is_empty());
    }

    #[tokio::test]
    async fn a_table_that_cannot_be_opened_is_asked_for_once() {
        let session = Session::open(&SessionSettings::default()).await.unwrap();
        let mut names = Names::default();
        names.learn_tables("SELECT * FROM 'no/such.csv'");
        let found = names_of(&session, names.unknown_tables()).await;
        names.merge(found);
        assert!(names.unknown_tables().is_empty());
    }
}
