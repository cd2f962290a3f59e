//! What makes two models the same: the content of every file that the scores depend on.

use super::{Checkpoint, Weights};
use crate::LoadError;

/// Counts changes of preprocessing that change pixels or token ids.
const PREPROCESSING_VERSION: u32 = 1;

/// The files besides the weights that scores depend on.
const FILES: [&str; 8] = [
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
];

/// BLAKE3 over names and contents of the files of a checkpoint and of its vision tower, the version of the
/// preprocessing and `dtype`: 64 hexadecimal digits.
pub(crate) fn fingerprint(parts: &[(&Checkpoint, &Weights)], dtype: &str) -> Result<String, LoadError> {
    let mut hash = blake3::Hasher::new();
    hash.update(format!("unifilter {PREPROCESSING_VERSION} {dtype}").as_bytes());
    let mut add = |name: &str, bytes: &[u8]| {
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update_rayon(bytes);
    };
    for (part, (checkpoint, weights)) in parts.iter().enumerate() {
        for name in FILES {
            if let Some(bytes) = checkpoint.read(name)? {
                add(&format!("{part}/{name}"), &bytes);
            }
        }
        for file in weights.files() {
            let name = file.path().file_name().unwrap_or_default().to_string_lossy();
            add(&format!("{part}/{name}"), file.bytes());
        }
    }
    Ok(hash.finalize().to_hex().to_string())
}
