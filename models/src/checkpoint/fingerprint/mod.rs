//! What makes two models the same: the content of every file that the scores depend on.

mod memory;
mod stamp;

use std::path::Path;

use super::{Checkpoint, Location, PREPARATION, Weights, cache_folder};
use crate::device::Arithmetic;
use crate::unifilter::Parts;
use crate::{DeviceChoice, DtypeChoice, LoadError};
use memory::Memory;
use stamp::Stamps;

/// Counts changes of preprocessing that change pixels or token ids.
const PREPROCESSING_VERSION: u32 = 1;

/// The files besides the weights that scores depend on.
fn files() -> impl Iterator<Item = &'static str> {
    std::iter::once("config.json").chain(PREPARATION)
}

/// Identifies a model's weights, configuration, tokenizer, preprocessing and arithmetic (dtype, CPU or GPU) without
/// loading it: 64 hexadecimal digits.
///
/// The first time, all of its files are read. The result is remembered in the user's cache folder by their paths, sizes
/// and times, so that the next time costs a look at each file. Blocks.
pub fn fingerprint(location: &Location, device: DeviceChoice, dtype: DtypeChoice) -> Result<String, LoadError> {
    Parts::open(location)?.fingerprint(Arithmetic::of(device, dtype))
}

/// BLAKE3 over names and contents of the files of a checkpoint and of its vision tower, the version of the
/// preprocessing and the arithmetic; computed once for files that have not changed since.
pub(crate) fn of_parts(parts: &[(&Checkpoint, &Weights)], arithmetic: Arithmetic) -> Result<String, LoadError> {
    let memory = cache_folder().map(|folder| Memory::new(folder.join("fingerprints")));
    remembered(memory.as_ref(), parts, arithmetic)
}

fn remembered(
    memory: Option<&Memory>,
    parts: &[(&Checkpoint, &Weights)],
    arithmetic: Arithmetic,
) -> Result<String, LoadError> {
    let kind = kind(arithmetic);
    let (Some(memory), Some(stamps)) = (memory, stamps(parts)) else { return compute(parts, &kind) };
    let question = stamps.digest(&kind);
    if let Some(known) = memory.get(&question) {
        return Ok(known);
    }
    let fingerprint = compute(parts, &kind)?;
    // A file that changed while it was read, or so lately that its time may not show the next change.
    if stamps.are_settled() && self::stamps(parts).as_ref() == Some(&stamps) {
        memory.put(&question, &fingerprint);
    }
    Ok(fingerprint)
}

fn kind(arithmetic: Arithmetic) -> String {
    format!("unifilter {PREPROCESSING_VERSION} {}", arithmetic.identity())
}

fn compute(parts: &[(&Checkpoint, &Weights)], kind: &str) -> Result<String, LoadError> {
    let mut hash = blake3::Hasher::new();
    hash.update(kind.as_bytes());
    let mut add = |name: &str, bytes: &[u8]| {
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update_rayon(bytes);
    };
    for (part, (checkpoint, weights)) in parts.iter().enumerate() {
        for name in files() {
            if let Some(bytes) = checkpoint.read(name)? {
                add(&format!("{part}/{name}"), &bytes);
            }
        }
        for file in weights.files() {
            add(&format!("{part}/{}", file_name(file.path())), file.bytes());
        }
    }
    Ok(hash.finalize().to_hex().to_string())
}

/// The state of every file that counts; `None` if some are not files (the built-in checkpoint) or cannot be looked at.
fn stamps(parts: &[(&Checkpoint, &Weights)]) -> Option<Stamps> {
    let mut stamps = Stamps::default();
    for (part, (checkpoint, weights)) in parts.iter().enumerate() {
        let folder = checkpoint.folder()?;
        for name in files() {
            stamps.add(&format!("{part}/{name}"), &folder.join(name))?;
        }
        for file in weights.files() {
            stamps.add(&format!("{part}/{}", file_name(file.path())), file.path())?;
        }
    }
    Some(stamps)
}

fn file_name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

#[cfg(test)]
mod tests;
