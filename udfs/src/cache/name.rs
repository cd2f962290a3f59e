//! Names of segments: `v1/<model>/<creation time>-<hash of the content>.arrow`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// The folder of this layout; another layout gets another one.
pub(super) const VERSION: &str = "v1";

/// Hexadecimal digits that stand for a model or a content: 128 bits.
const HASH_DIGITS: usize = 32;
/// Hexadecimal digits of the creation time.
const TIME_DIGITS: usize = 10;
const EXTENSION: &str = ".arrow";

/// The folder of a model: the first digits of its fingerprint.
pub(super) fn model_folder(fingerprint: &str) -> String {
    match fingerprint.get(..HASH_DIGITS) {
        Some(digits) if is_hex(digits) => digits.to_string(),
        // Not what models give; whatever it is, it must become a plain file name.
        _ => digits(fingerprint.as_bytes()),
    }
}

/// Whether a folder's name is one that [`model_folder`] makes.
pub(super) fn is_model_folder(name: &str) -> bool {
    name.len() == HASH_DIGITS && is_hex(name)
}

/// What a segment's file name says. Ordered by age, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SegmentName {
    /// Seconds since 1970 at which the newest of its scores was written.
    pub(super) created: u64,
    hash: String,
}

impl SegmentName {
    /// The name of this content.
    pub(super) fn new(created: u64, content: &[u8]) -> Self {
        Self { created, hash: digits(content) }
    }

    /// Reads a file's name; `None` if it is no segment's.
    pub(super) fn parse(file: &str) -> Option<Self> {
        let (time, hash) = file.strip_suffix(EXTENSION)?.split_once('-')?;
        let is_name = time.len() == TIME_DIGITS && is_hex(time) && hash.len() == HASH_DIGITS && is_hex(hash);
        is_name.then(|| Some(Self { created: u64::from_str_radix(time, 16).ok()?, hash: hash.to_string() }))?
    }

    /// Whether this content is the one that the name was made for.
    pub(super) fn is_of(&self, content: &[u8]) -> bool {
        self.hash == digits(content)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0TIME_DIGITS$x}-{}{EXTENSION}", self.created, self.hash)
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn digits(content: &[u8]) -> String {
    let mut hash = blake3::Hasher::new();
    // Below this, handing the work to other threads costs more than the work.
    match content.len() {
        0..=1_000_000 => hash.update(content),
        _ => hash.update_rayon(content),
    };
    let mut digits = hash.finalize().to_hex().to_string();
    digits.truncate(HASH_DIGITS);
    digits
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_sorts_by_age() {
        let old = SegmentName::new(5, b"x");
        let new = SegmentName::new(1_800_000_000, b"a");
        for name in [&old, &new] {
            assert_eq!(SegmentName::parse(&name.to_string()).as_ref(), Some(name));
        }
        assert!(old < new && old.to_string() < new.to_string());
        assert!(new.is_of(b"a") && !new.is_of(b"b"));
    }

    #[test]
    fn other_files_are_no_segments() {
        let name = SegmentName::new(5, b"x").to_string();
        let upper = name.to_uppercase();
        let staged = format!("{name}#1");
        for file in ["", "README.md", "-.arrow", "x.arrow", &name[1..], upper.as_str(), staged.as_str()] {
            assert_eq!(SegmentName::parse(file), None, "{file}");
        }
    }

    #[test]
    fn a_models_folder_is_a_plain_name() {
        let fingerprint = "0123456789abcdef".repeat(4);
        assert_eq!(model_folder(&fingerprint), fingerprint[..32]);
        assert_eq!(model_folder(&fingerprint[..32]), fingerprint[..32]);
        for odd in ["", "toy", "../../etc", &"../".repeat(30), &"é".repeat(40)] {
            assert!(is_model_folder(&model_folder(odd)), "{odd}");
        }
        assert_ne!(model_folder("toy"), model_folder("tory"));
    }
}
