//! Any bytes: a picture or an error, never a panic, and the size that `probe` told.
#![no_main]

// The module alone: the rest of the crate would have to be built under the sanitizer for nothing.
#[path = "../../src/preprocess/mod.rs"]
#[allow(dead_code, unused_imports, missing_docs, reason = "a target uses a part of the module")]
pub mod preprocess;

use libfuzzer_sys::fuzz_target;
use preprocess::{Filter, ImageError, decode, decode_resized, probe, resize};

fuzz_target!(|bytes: &[u8]| {
    match decode(bytes, 1 << 20) {
        Ok(image) => {
            let info = probe(bytes).expect("what is decoded can be probed");
            assert_eq!((info.width, info.height), (image.width, image.height));
            assert_eq!(image.pixels.len(), image.width as usize * image.height as usize * 3);
            if image.pixels.len() < 1 << 14 {
                let at_once = decode_resized(bytes, 1 << 20, (13, 11), Filter::Bicubic);
                assert_eq!(at_once.ok(), Some(resize(&image, 13, 11, Filter::Bicubic)));
            }
        }
        // Contained, and yet a bug.
        Err(error @ ImageError::Internal { .. }) => panic!("{error}"),
        Err(_) => {}
    }
});
