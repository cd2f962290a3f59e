//! What was asked and answered, on disk before anything else happens.
//!
//! A file of one JSON record a line, only ever added to. An answer is on the disk (`fsync`) before its request counts as done,
//! so that whatever ends the process, no answer that has arrived is paid for again. A last line that was not written to its
//! end is cut off. What was asked and has no answer when the process ends may have been paid for: that alone is not known.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sample::Usage;
use crate::validation::Texts;

/// What every journal begins with.
const BEGIN: &[u8] = br#"{"begin":"#;

/// What the answers of a journal depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The prompt's version.
    pub prompt: String,
    /// The seed.
    pub seed: u64,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// The first line.
    Begin(Identity),
    /// A request is about to be sent.
    Asked { key: String },
    /// A good answer.
    Answer { key: String, texts: Texts, usage: Usage },
    /// An answer that cannot be used.
    Rejected { key: String, reason: String, usage: Usage },
    /// A batch of these requests is about to be made; the time is in seconds since 1970.
    BatchWanted { keys: Vec<String>, at: u64 },
    /// It was made, and has this id.
    BatchMade { id: String, keys: Vec<String> },
    /// All its results are here.
    BatchDone { id: String },
    /// A batch that was wanted was not found: it was not made.
    BatchNotMade,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It is there, and nobody said to go on with it.
    #[error(
        "{} holds the answers of an earlier run, {answers} of them: --resume goes on with it; to pay for all of them again, \
         delete it",
        path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
        /// How many answers it has.
        answers: usize,
    },
    /// It belongs to another run.
    #[error("{} is of a run with another {what}: {found} there, {wanted} here; use another --journal", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the journal has.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Another process writes it.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A line is none of a journal.
    #[error("{}, line {line}: not a line of a journal: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// What a journal tells.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) answers: HashMap<String, (Texts, Usage)>,
    /// How often an answer could not be used, and the last reason.
    pub(crate) rejected: HashMap<String, (u32, String)>,
    /// Asked, and not answered when the process ended.
    pub(crate) unknown: usize,
    /// Batches that were made, and whose results are not here.
    pub(crate) batches: BTreeMap<String, Vec<String>>,
    /// A batch that was about to be made, and its time.
    pub(crate) wanted: Option<(Vec<String>, u64)>,
    pub(crate) spent: Usage,
}

impl Told {
    /// Takes in a record; `asked` are the requests that have no answer so far.
    pub(crate) fn take(&mut self, record: Record, asked: &mut HashSet<String>) {
        match record {
            Record::Begin(_) => {}
            Record::Asked { key } => {
                asked.insert(key);
            }
            Record::Answer { key, texts, usage } => {
                self.spent += usage;
                asked.remove(&key);
                self.answers.insert(key, (texts, usage));
            }
            Record::Rejected { key, reason, usage } => {
                self.spent += usage;
                asked.remove(&key);
                let before = self.rejected.get(&key).map_or(0, |(times, ..)| *times);
                self.rejected.insert(key, (before + 1, reason));
            }
            Record::BatchWanted { keys, at } => self.wanted = Some((keys, at)),
            Record::BatchMade { id, keys } => {
                self.wanted = None;
                self.batches.insert(id, keys);
            }
            Record::BatchDone { id } => {
                self.batches.remove(&id);
            }
            Record::BatchNotMade => self.wanted = None,
        }
    }
}

/// A journal that is written.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens a journal, or begins one. One that is there is gone on with only where `resume` says so.
    pub(crate) fn open(path: &Path, identity: &Identity, resume: bool) -> Result<(Self, Told), JournalError> {
        let io = |source| JournalError::Io { path: path.to_path_buf(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => JournalError::InUse { path: path.to_path_buf() },
            std::fs::TryLockError::Error(source) => io(source),
        })?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let is_other = whole == 0 && !bytes.starts_with(BEGIN) && !BEGIN.starts_with(&bytes);
        if whole < bytes.len() && !is_other {
            log::info!("{}: the last line was not written to its end and is left out", path.display());
            file.set_len(whole as u64).map_err(io)?;
        }
        let mut told = Told::default();
        let mut asked = HashSet::new();
        let mut found = None;
        let end = if is_other { bytes.len() } else { whole };
        for (i, line) in bytes[..end].split_inclusive(|byte| *byte == b'\n').enumerate() {
            let damaged = |source| JournalError::Damaged { path: path.to_path_buf(), line: i + 1, source };
            match serde_json::from_slice(line).map_err(damaged)? {
                Record::Begin(identity) => found = Some(identity),
                record => told.take(record, &mut asked),
            }
        }
        told.unknown = asked.len();
        let mut journal = Self { file, path: path.to_path_buf() };
        match found {
            Some(_) if !resume => {
                return Err(JournalError::Exists { path: path.to_path_buf(), answers: told.answers.len() });
            }
            Some(found) => journal.same(&found, identity)?,
            None => {
                journal.append(&Record::Begin(identity.clone()))?;
                // The file's name is to be on the disk as well.
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
            }
        }
        Ok((journal, told))
    }

    fn same(&self, found: &Identity, wanted: &Identity) -> Result<(), JournalError> {
        let seeds = (found.seed.to_string(), wanted.seed.to_string());
        let pairs = [
            ("provider", &found.provider, &wanted.provider),
            ("model", &found.model, &wanted.model),
            ("prompt", &found.prompt, &wanted.prompt),
            ("seed", &seeds.0, &seeds.1),
        ];
        match pairs.into_iter().find(|(_, found, wanted)| found != wanted) {
            Some((what, found, wanted)) => {
                let (found, wanted) = (found.clone(), wanted.clone());
                Err(JournalError::Other { path: self.path.clone(), what, found, wanted })
            }
            None => Ok(()),
        }
    }

    /// Adds a record; it is on the disk when this returns, but for one that only says what was asked.
    pub(crate) fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        let io = |source| JournalError::Io { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(record).map_err(|e| io(e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(io)?;
        if !matches!(record, Record::Asked { .. }) {
            self.file.sync_data().map_err(io)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
