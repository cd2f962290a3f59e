//! The checkpoint that is built into the program, so that every command works offline.
//!
//! See `assets/tiny-qwen3/README.md`: its weights are random, its scores mean nothing.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../assets/tiny-qwen3/", $name)))),*]
    };
}

/// Relative path and content of each file.
pub(super) static FILES: &[(&str, &[u8])] = files![
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "siglip2-tiny-patch14-384/config.json",
    "siglip2-tiny-patch14-384/model.safetensors",
    "siglip2-tiny-patch14-384/preprocessor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
];
