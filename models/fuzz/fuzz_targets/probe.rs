//! Any bytes: a size or an error, never a panic.
#![no_main]

// The module alone: the rest of the crate would have to be built under the sanitizer for nothing.
#[path = "../../src/preprocess/mod.rs"]
#[allow(dead_code, unused_imports, missing_docs, reason = "a target uses a part of the module")]
pub mod preprocess;

use libfuzzer_sys::fuzz_target;
use preprocess::probe;

fuzz_target!(|bytes: &[u8]| {
    let _ = probe(bytes);
});
