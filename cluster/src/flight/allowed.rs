//! Which statements may be given by those who may not reach everything.
//!
//! Tables that a query names are looked at where they are opened. Here are the statements that open something by themselves, or that
//! change what the session's queries do with the processes that all share.

use datafusion::config::ConfigOptions;
use datafusion::sql::parser::{ResetStatement, Statement};
use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Set, Statement as SqlStatement, Value};
use tamis_udfs::options::TamisOptions;
use tamis_udfs::reach::{Reach, Refused};

use crate::models::is_a_name;

/// Options that name memory and work that all share: they may be made less, not more.
const BOUNDS: [&str; 7] = [
    "tamis.unifilter.max_text_tokens",
    "tamis.unifilter.max_document_images",
    "tamis.unifilter.max_document_tokens",
    "tamis.scoring.prefetch",
    "tamis.image.max_pixels",
    "datafusion.execution.batch_size",
    "datafusion.execution.target_partitions",
];
/// Options that concern nobody else.
const OWN: [&str; 2] = ["tamis.scoring.on_error", "tamis.planner.enabled"];
/// Groups of options that concern nobody else.
const OWN_GROUPS: [&str; 4] =
    ["datafusion.execution.", "datafusion.optimizer.", "datafusion.explain.", "datafusion.format."];
/// What among them names resources of the processes.
const SHARED: [&str; 6] = [
    "datafusion.execution.planning_concurrency",
    "datafusion.execution.meta_fetch_concurrency",
    "datafusion.execution.sort_spill_reservation_bytes",
    "datafusion.execution.max_spill_file_size_bytes",
    "datafusion.execution.minimum_parallel_output_files",
    "datafusion.execution.parquet.maximum_parallel_row_group_writers",
];
const CACHE_PATH: &str = "tamis.cache.path";
const DEFAULT_MODEL: &str = "tamis.unifilter.model";
const MODEL: &str = "tamis.model.";

/// Why a statement may not be given.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAllowed {
    /// It opens what may not be reached.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It sets an option that is the server's.
    #[error("setting {key}: this option is the server's; {instead}")]
    Option {
        /// The option.
        key: String,
        /// What can be done instead.
        instead: &'static str,
    },
}

/// Whether a statement may be given in a session that may reach so much, of a server with these options.
pub(super) fn check(statement: &Statement, reach: &Reach, server: &ConfigOptions) -> Result<(), NotAllowed> {
    match statement {
        Statement::Explain(explain) => check(&explain.statement, reach, server),
        Statement::CopyTo(copy) => Ok(reach.may_write(&copy.target)?),
        Statement::CreateExternalTable(table) => {
            Ok(table.locations.iter().try_for_each(|location| reach.may_read(location))?)
        }
        Statement::Reset(ResetStatement::Variable(name)) => set(&key(name), None, reach, server),
        Statement::Statement(statement) => check_sql(statement, reach, server),
    }
}

fn check_sql(statement: &SqlStatement, reach: &Reach, server: &ConfigOptions) -> Result<(), NotAllowed> {
    match statement {
        SqlStatement::Explain { statement, .. } | SqlStatement::Prepare { statement, .. } => {
            check_sql(statement, reach, server)
        }
        SqlStatement::Set(Set::SingleAssignment { variable, values, .. }) => {
            set(&key(variable), values.first(), reach, server)
        }
        // DataFusion understands no other way to set something but a time zone.
        _ => Ok(()),
    }
}

/// An option's key, as DataFusion reads it.
fn key(name: &ObjectName) -> String {
    let parts = name.0.iter().map(|part| part.as_ident().map_or("", |ident| ident.value.as_str()));
    parts.collect::<Vec<_>>().join(".").to_lowercase()
}

/// What an option is set to, as DataFusion reads it; `None` for what it does not understand or is no plain text or number.
fn text(value: &Expr) -> Option<String> {
    match value {
        Expr::Identifier(ident) if ident.quote_style.is_some() => Some(ident.value.clone()),
        Expr::Identifier(ident) => Some(ident.value.to_ascii_lowercase()),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            number @ Value::Number(..) => Some(number.to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Whether an option may be set to a value, or reset.
fn set(key: &str, value: Option<&Expr>, reach: &Reach, server: &ConfigOptions) -> Result<(), NotAllowed> {
    let refused = |instead| Err(NotAllowed::Option { key: key.into(), instead });
    if key == "tamis.access" {
        return refused("what you may reach is in its configuration");
    }
    if reach.is_everything() {
        return Ok(());
    }
    let own = TamisOptions::from_config(server);
    let value = value.and_then(text);
    let value = value.as_deref();
    match key {
        CACHE_PATH if value == Some("off") || value == Some(&own.cache_path()) => Ok(()),
        CACHE_PATH => refused("set it to 'off', or leave it"),
        DEFAULT_MODEL => match value {
            Some(name) if is_a_name(name) || name == "default" => Ok(()),
            Some(place) => Ok(reach.may_run(place)?),
            None => refused("set it to a model's name"),
        },
        key if key.starts_with(MODEL) => match reach.may_run(value.unwrap_or_default()) {
            Ok(()) => Ok(()),
            Err(_) => refused("ask an operator for a name in [models], or for [access] models = \"any\""),
        },
        key if BOUNDS.contains(&key) => {
            let most = server.entries().into_iter().find(|entry| entry.key == key).and_then(|entry| entry.value);
            let most: Option<u64> = most.and_then(|most| most.parse().ok());
            match (value.and_then(|value| value.parse::<u64>().ok()), most) {
                // For batches and partitions nought stands for as much as there is.
                (Some(value), Some(most)) if (1..=most).contains(&value) => Ok(()),
                _ => refused("it can be made less than it is, not more"),
            }
        }
        key if SHARED.contains(&key) => refused("ask an operator for [options]"),
        key if OWN.contains(&key) || OWN_GROUPS.iter().any(|group| key.starts_with(group)) => Ok(()),
        "timezone" | "time.zone" => Ok(()),
        _ => refused("ask an operator for [options]"),
    }
}

#[cfg(test)]
mod tests {
    use tamis_engine::session::{base_config, with_options};
    use tamis_engine::statements::parse;
    use tamis_udfs::reach::{Models, Place, Rules};

    use super::*;

    fn checked(sql: &str, reach: &Reach) -> Result<(), String> {
        let options = [("tamis.cache.path".to_string(), "/var/scores".to_string())];
        let server = with_options(base_config(), &options).unwrap();
        let statement = parse(sql).unwrap().pop_front().unwrap();
        check(&statement, reach, server.options()).map_err(|refused| refused.to_string())
    }

    fn user() -> Reach {
        Reach::limited(Rules { read: vec![Place::parse("/data").unwrap()], ..Rules::default() })
    }

    #[test]
    fn what_concerns_nobody_else_may_be_set() {
        for sql in [
            "SELECT 1",
            "SET tamis.cache.path = 'off'",
            "SET tamis.cache.path = '/var/scores'",
            "SET tamis.unifilter.model = 'strict'",
            "SET tamis.scoring.on_error = 'fail'",
            "SET tamis.scoring.prefetch = 8",
            "SET tamis.image.max_pixels = '1000'",
            "SET datafusion.execution.time_zone = '+02:00'",
            "SET TIME ZONE = '+02:00'",
            "SET datafusion.optimizer.max_passes = 1",
            "RESET datafusion.execution.time_zone",
            "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/data/x/'",
        ] {
            assert_eq!(checked(sql, &user()), Ok(()), "{sql}");
        }
    }

    #[test]
    fn what_reaches_further_is_refused_and_named() {
        for (sql, expected) in [
            ("SET tamis.cache.path = '/elsewhere'", "setting tamis.cache.path: "),
            ("SET \"tamis\".\"cache\".\"PATH\" = '/elsewhere'", "setting tamis.cache.path: "),
            ("RESET tamis.cache.path", "setting tamis.cache.path: "),
            ("SET tamis.cache.max_bytes = 1", "setting tamis.cache.max_bytes: "),
            ("SET tamis.access = '{}'", "setting tamis.access: "),
            ("SET TAMIS.ACCESS = '{}'", "setting tamis.access: "),
            ("RESET tamis.access", "setting tamis.access: "),
            ("SET tamis.model.x = '/models/x'", "setting tamis.model.x: "),
            ("SET tamis.unifilter.model = '/models/x'", "model /models/x: "),
            ("SET tamis.unifilter.model = 's3://models/x'", "model s3://models/x: "),
            ("SET tamis.scoring.device = 'cuda:1'", "setting tamis.scoring.device: "),
            ("SET tamis.scoring.prefetch = 100000", "setting tamis.scoring.prefetch: "),
            ("SET tamis.image.max_pixels = 99999999999", "setting tamis.image.max_pixels: "),
            ("SET datafusion.execution.target_partitions = 0", "setting datafusion.execution.target_partitions: "),
            ("SET datafusion.runtime.temp_directory = '/tmp'", "setting datafusion.runtime.temp_directory: "),
            ("SET datafusion.runtime.memory_limit = '1T'", "setting datafusion.runtime.memory_limit: "),
            ("RESET datafusion.runtime.memory_limit", "setting datafusion.runtime.memory_limit: "),
            ("SET datafusion.catalog.location = '/'", "setting datafusion.catalog.location: "),
            ("SET datafusion.sql_parser.dialect = 'mysql'", "setting datafusion.sql_parser.dialect: "),
            ("SET ballista.job.name = 'x'", "setting ballista.job.name: "),
            ("COPY (SELECT 1) TO '/data/x.csv'", "writing /data/x.csv: you may not write there"),
            ("EXPLAIN COPY (SELECT 1) TO '/data/x.csv'", "writing /data/x.csv: you may not write there"),
            (
                "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
                "reading /etc/passwd: you may not read there",
            ),
            ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/data/../etc/'", "reading /data/../etc/: "),
            ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'file:/etc/passwd'", "reading file:/etc/passwd: "),
        ] {
            let refused = checked(sql, &user()).unwrap_err();
            assert!(refused.starts_with(expected), "{sql}: {refused}");
        }
    }

    #[test]
    fn who_may_run_any_model_may_name_one_and_who_reaches_everything_sets_all_but_that() {
        let any = Reach::limited(Rules { models: Models::Any, ..Rules::default() });
        assert_eq!(checked("SET tamis.model.x = '/models/x'", &any), Ok(()));
        assert_eq!(checked("SET tamis.unifilter.model = '/models/x'", &any), Ok(()));
        let everything = Reach::everything();
        assert_eq!(checked("SET tamis.cache.path = '/elsewhere'", &everything), Ok(()));
        assert_eq!(checked("SET datafusion.runtime.memory_limit = '1G'", &everything), Ok(()));
        assert!(checked("SET tamis.access = '{}'", &everything).is_err());
    }
}
