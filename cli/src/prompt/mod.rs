//! The interactive prompt.

mod command;
mod complete;
mod helper;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use super::Ending;
use super::run::{Runner, ended_early, interruptible};
use crate::error::CommandError;
use command::Command;
use complete::Names;
use helper::PromptHelper;

const GREETING: &str = "Statements end with a semicolon. \\? for help, \\q or Ctrl-D to leave.";

type Line = Result<String, ReadlineError>;

/// Reads and runs statements until the user leaves. An error does not end the prompt.
pub(super) async fn run(runner: Runner) -> Result<Ending, CommandError> {
    let names = Arc::new(RwLock::new(Names::default()));
    let mut editor = Some(editor(Arc::clone(&names))?);
    let history = history_file();
    if let (Some(path), Some(editor)) = (&history, &mut editor) {
        // There is no history the first time.
        let _ = editor.load_history(path);
    }
    if !runner.is_quiet {
        eprintln!("tamis {}. {GREETING}", env!("CARGO_PKG_VERSION"));
    }
    let mut prompt = Prompt { runner, names, has_timing: false };
    loop {
        prompt.learn_names().await;
        let (back, line) = read_line(editor.take()).await?;
        match line {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) => {
                let mut back = back;
                let _ = back.add_history_entry(line.trim_end());
                if let Some(path) = &history
                    && let Err(error) = back.append_history(path)
                {
                    log::debug!("the history was not saved: {error}");
                }
                editor = Some(back);
                if prompt.handle(&line).await? {
                    return Ok(Ending::Done);
                }
                continue;
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => return Ok(Ending::Done),
            Err(error) => return Err(CommandError::Prompt(error)),
        }
        editor = Some(back);
    }
}

type PromptEditor = Editor<PromptHelper, FileHistory>;

/// Reads a line on a thread that may block.
async fn read_line(editor: Option<PromptEditor>) -> Result<(PromptEditor, Line), CommandError> {
    let read = tokio::task::spawn_blocking(move || {
        let mut editor = editor?;
        let line = editor.readline("tamis> ");
        Some((editor, line))
    });
    read.await.map_err(ended_early)?.ok_or(CommandError::Prompt(ReadlineError::Eof))
}

fn editor(names: Arc<RwLock<Names>>) -> Result<PromptEditor, CommandError> {
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(false).build();
    let mut editor = Editor::with_config(config).map_err(CommandError::Prompt)?;
    editor.set_helper(Some(PromptHelper::new(names)));
    Ok(editor)
}

/// `~/.local/state/tamis/history`, or where `XDG_STATE_HOME` says. The folder is made.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = state.or_else(|| Some(std::env::home_dir()?.join(".local/state")))?.join("tamis");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

struct Prompt {
    runner: Runner,
    names: Arc<RwLock<Names>>,
    has_timing: bool,
}

impl Prompt {
    /// Runs one input; true ends the prompt.
    async fn handle(&mut self, line: &str) -> Result<bool, CommandError> {
        let sql = match Command::parse(line) {
            None => line.to_string(),
            Some(Ok(Command::Quit)) => return Ok(true),
            Some(Ok(Command::Help)) => {
                eprintln!("{}", command::HELP);
                return Ok(false);
            }
            Some(Ok(Command::Timing)) => {
                self.has_timing = !self.has_timing;
                eprintln!("timing is {}", if self.has_timing { "on" } else { "off" });
                return Ok(false);
            }
            Some(Ok(Command::Tables)) => command::TABLES.to_string(),
            Some(Ok(Command::Columns(table))) => format!("DESCRIBE {}", command::quoted(&table)),
            Some(Err(message)) => {
                eprintln!("error: {message}");
                return Ok(false);
            }
        };
        self.names.write().learn_tables(&sql);
        let started = Instant::now();
        let runner = self.runner.clone();
        match interruptible(async move { runner.run(&sql, None).await }).await {
            Ok(Some(rows)) if self.has_timing => eprintln!("{rows} rows in {:.3} s", started.elapsed().as_secs_f64()),
            Ok(Some(_)) => {}
            Ok(None) => eprintln!("interrupted"),
            Err(error) if error.is_broken_pipe() => return Err(error),
            Err(error) => eprintln!("error: {error}"),
        }
        Ok(false)
    }

    /// Brings what can be completed up to date with the session.
    async fn learn_names(&self) {
        let unknown = self.names.read().unknown_tables();
        let found = complete::names_of(&self.runner.session, unknown).await;
        self.names.write().merge(found);
    }
}
