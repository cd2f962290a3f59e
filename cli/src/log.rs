//! Logs on stderr.

use std::io::Write;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How logs are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// How much is logged unless `RUST_LOG` says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Warnings, which read like the error line of a command.
    Command,
    /// What a server does.
    Server,
}

/// Begins to log.
pub(super) fn to_stderr(level: Level, format: LogFormat) {
    // Ballista tells of every task and every poll.
    const SERVER: &str = "warn,tamis_cluster=info,tamis_cli=info,tamis_engine=info,tamis_files=info,tamis_models=info,tamis_planner=info,tamis_udfs=info";
    const COMMAND: &str = "warn";
    let default = match level {
        Level::Command => COMMAND,
        Level::Server => SERVER,
    };
    let mut builder = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(default));
    match (level, format) {
        (Level::Command, _) => {
            builder.format(|out, record| writeln!(out, "{}: {}", name(record.level()), record.args()))
        }
        (Level::Server, LogFormat::Text) => builder.format(|out, record| {
            let (time, level) = (out.timestamp_millis(), name(record.level()));
            writeln!(out, "{time} {level}: {}", on_one_line(&record.args().to_string()))
        }),
        (Level::Server, LogFormat::Json) => builder.format(|out, record| {
            let time = out.timestamp_millis().to_string();
            writeln!(out, "{}", as_json(&time, record.level(), record.target(), &record.args().to_string()))
        }),
    };
    builder.init();
    // Who asked is given an error; a trace of the program's stack says nothing to them.
    std::panic::set_hook(Box::new(move |panic| match level {
        Level::Command => log::debug!("{panic}"),
        Level::Server => log::error!("{panic}"),
    }));
}

/// Line ends as they are written in programs: what stands in a query makes no lines of its own.
fn on_one_line(message: &str) -> String {
    message.trim_end().replace('\r', "\\r").replace('\n', "\\n")
}

fn name(level: log::Level) -> &'static str {
    match level {
        log::Level::Error => "error",
        log::Level::Warn => "warning",
        log::Level::Info => "info",
        log::Level::Debug => "debug",
        log::Level::Trace => "trace",
    }
}

/// A line of JSON. The job, stage and task that a message begins with are fields of their own.
fn as_json(time: &str, level: log::Level, target: &str, message: &str) -> Value {
    let mut line = Map::new();
    line.insert("time".into(), json!(time));
    line.insert("level".into(), json!(name(level)));
    line.insert("target".into(), json!(target));
    line.insert("message".into(), json!(message));
    for word in ["job", "stage", "task", "executor"] {
        if let Some(id) = id_after(message, word) {
            line.insert(word.into(), json!(id));
        }
    }
    Value::Object(line)
}

/// The id that follows a word at the message's beginning: "job J, stage 3, task 7: ...".
fn id_after<'a>(message: &'a str, word: &str) -> Option<&'a str> {
    let head = message.split(": ").next()?;
    let mut parts = head.split(", ");
    let part = parts.find(|part| part.split(' ').next() == Some(word))?;
    part.split(' ').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_message_are_fields() {
        let line = as_json("t", log::Level::Warn, "x", "job abc, stage 3, task 7: the disk is full: really");
        assert_eq!(line["job"], "abc");
        assert_eq!(line["stage"], "3");
        assert_eq!(line["task"], "7");
        assert_eq!(line["message"], "job abc, stage 3, task 7: the disk is full: really");
        assert_eq!(as_json("t", log::Level::Info, "x", "ready: stage 9")["stage"], Value::Null);
        assert_eq!(as_json("t", log::Level::Info, "x", "job abc begins: SELECT 1")["job"], "abc");
    }
}
