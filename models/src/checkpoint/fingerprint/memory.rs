//! Fingerprints that have been computed before: one small file each.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder of remembered fingerprints. Whatever is wrong with it, a fingerprint is then computed anew.
#[derive(Debug)]
pub(super) struct Memory {
    folder: PathBuf,
}

impl Memory {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The answer to a question (both are hashes), if it is remembered.
    pub(super) fn get(&self, question: &str) -> Option<String> {
        let content = std::fs::read_to_string(self.folder.join(question)).ok()?;
        let fingerprint = content.get(..question.len())?;
        (content == record(question, fingerprint)).then(|| fingerprint.to_string())
    }

    /// Remembers an answer. The file appears whole, so that processes may do this at once.
    pub(super) fn put(&self, question: &str, fingerprint: &str) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let beside = self.folder.join(format!("{question}.{}-{number}", std::process::id()));
        let written = std::fs::create_dir_all(&self.folder)
            .and_then(|()| std::fs::File::create(&beside))
            .and_then(|mut file| file.write_all(record(question, fingerprint).as_bytes()))
            .and_then(|()| std::fs::rename(&beside, self.folder.join(question)));
        if let Err(error) = written {
            log::debug!("the fingerprint was not remembered in {}: {error}", self.folder.display());
            let _ = std::fs::remove_file(beside);
        }
    }
}

/// A file's content: the fingerprint, and a hash that tells it from anything else that may stand there.
fn record(question: &str, fingerprint: &str) -> String {
    let check = blake3::hash(format!("{question} {fingerprint}").as_bytes()).to_hex();
    format!("{fingerprint} {check}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> String {
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    #[test]
    fn what_is_put_is_got_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::new(folder.path().join("made"));
        assert_eq!(memory.get(&hash("q")), None);
        memory.put(&hash("q"), &hash("f"));
        assert_eq!(memory.get(&hash("q")), Some(hash("f")));
        assert_eq!(memory.get(&hash("other")), None);
        assert_eq!(std::fs::read_dir(folder.path().join("made")).unwrap().count(), 1, "a file was left beside");
    }

    #[test]
    fn torn_changed_and_foreign_files_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::new(folder.path().to_path_buf());
        let path = folder.path().join(hash("q"));
        memory.put(&hash("q"), &hash("f"));
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[3] ^= 1;
        for content in [b"".as_slice(), b"x", "é".repeat(64).as_bytes(), &whole[..whole.len() - 2], &flipped] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(memory.get(&hash("q")), None);
        }
        // A record of another question in this one's place.
        memory.put(&hash("p"), &hash("f"));
        std::fs::copy(folder.path().join(hash("p")), &path).unwrap();
        assert_eq!(memory.get(&hash("q")), None);
        memory.put(&hash("q"), &hash("g"));
        assert_eq!(memory.get(&hash("q")), Some(hash("g")));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let memory = Memory::new(file);
        memory.put(&hash("q"), &hash("f"));
        assert_eq!(memory.get(&hash("q")), None);
    }
}
