//! The state of files as far as it can be told without reading them.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A change this soon after another one may leave a file's time as it is: clocks of file systems tick coarsely.
const COARSE: Duration = Duration::from_secs(2);

/// Paths, sizes and times of files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps {
    files: Vec<(String, PathBuf, Option<Stamp>)>,
}

/// A file's state. The inode and the time of its last change of any kind tell a file that was put in another's place with
/// the same size and time, as `cp -p` and `rsync -t` do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: u128,
    changed: u128,
    inode: u64,
}

impl Stamps {
    /// Adds a file under a name; its absence counts too. `None` if its state cannot be told.
    pub(super) fn add(&mut self, name: &str, path: &Path) -> Option<()> {
        let path = std::path::absolute(path).ok()?;
        let stamp = match std::fs::metadata(&path) {
            Ok(metadata) => Some(Stamp::of(&metadata)?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(_) => return None,
        };
        self.files.push((name.to_string(), path, stamp));
        Some(())
    }

    /// A hash of the states, and of what is asked about the files.
    pub(super) fn digest(&self, question: &str) -> String {
        blake3::hash(format!("{question}\n{:?}", self.files).as_bytes()).to_hex().to_string()
    }

    /// Whether all files have been left alone for long enough that their next change will show.
    pub(super) fn are_settled(&self) -> bool {
        let now = nanos(SystemTime::now());
        let stamps = self.files.iter().filter_map(|(_, _, stamp)| *stamp);
        stamps.map(|stamp| stamp.modified.max(stamp.changed)).all(|time| time + COARSE.as_nanos() < now)
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Option<Self> {
        let modified = nanos(metadata.modified().ok()?);
        #[cfg(unix)]
        let (changed, inode) = {
            use std::os::unix::fs::MetadataExt;
            let seconds = u128::try_from(metadata.ctime()).ok()?;
            (seconds * 1_000_000_000 + u128::try_from(metadata.ctime_nsec()).ok()?, metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed, inode) = (modified, 0);
        Some(Self { size: metadata.len(), modified, changed, inode })
    }
}

fn nanos(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}
