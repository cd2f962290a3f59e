//! Tokenisation: a checkpoint's tokenizer, and the id sequences of captions and documents.
//!
//! An id of `None` is an image's place.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use tokenizers::{AddedToken, Tokenizer};

use crate::checkpoint::Checkpoint;
use crate::{LoadError, SampleError};

/// Marks an image's place in the reference's prompts.
const IMAGE: &str = "<image>";

/// How Qwen2 and Qwen3 split text before byte-pair encoding (transformers' `Qwen2Converter`).
const QWEN_SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A checkpoint's tokenizer and the special ids that scoring needs.
#[derive(Debug)]
pub struct Tokens {
    tokenizer: Tokenizer,
    /// Begins every sequence.
    pub bos: u32,
    /// Ends every sequence that is not cut.
    pub eos: u32,
    /// Removed wherever it stands.
    pub pad: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    added_tokens_decoder: BTreeMap<String, AddedTokenConfig>,
    bos_token: Option<TokenName>,
    eos_token: Option<TokenName>,
    pad_token: Option<TokenName>,
}

#[derive(Debug, Deserialize)]
struct AddedTokenConfig {
    content: String,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    special: bool,
}

impl AddedTokenConfig {
    fn special(content: String) -> Self {
        Self { content, lstrip: false, rstrip: false, normalized: false, single_word: false, special: true }
    }
}

/// A token's text, which files write as a string or as an object.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TokenName {
    Text(String),
    Object { content: String },
}

impl Tokens {
    /// Reads tokenizer.json, or else vocab.json and merges.txt; special tokens by tokenizer_config.json, or else
    /// special_tokens_map.json.
    pub fn open(checkpoint: &Checkpoint) -> Result<Self, LoadError> {
        let fail = |name: &str, reason: String| LoadError::Tokenizer { path: checkpoint.path(name), reason };
        let config: TokenizerConfig = checkpoint.json("tokenizer_config.json")?.unwrap_or_default();
        let map: TokenizerConfig = checkpoint.json("special_tokens_map.json")?.unwrap_or_default();
        let mut tokenizer = match checkpoint.read("tokenizer.json")? {
            Some(bytes) => Tokenizer::from_bytes(&bytes).map_err(|e| fail("tokenizer.json", e.to_string()))?,
            None => from_vocabulary(checkpoint)?,
        };
        // Cutting and padding are the caller's.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| fail("tokenizer.json", e.to_string()))?;
        let mut added: BTreeMap<u32, AddedTokenConfig> =
            config.added_tokens_decoder.into_iter().filter_map(|(id, t)| Some((id.parse().ok()?, t))).collect();
        let older: Option<BTreeMap<String, u32>> = checkpoint.json("added_tokens.json")?;
        for (content, id) in older.into_iter().flatten() {
            added.entry(id).or_insert_with(|| AddedTokenConfig::special(content));
        }
        let tokens = added.values().map(|t| {
            AddedToken::from(t.content.clone(), t.special)
                .lstrip(t.lstrip)
                .rstrip(t.rstrip)
                .normalized(t.normalized)
                .single_word(t.single_word)
        });
        tokenizer.add_tokens(tokens).map_err(|e| fail("tokenizer_config.json", e.to_string()))?;
        for (id, token) in &added {
            if tokenizer.token_to_id(&token.content) != Some(*id) {
                let found = tokenizer.token_to_id(&token.content);
                let reason = format!("added token {:?} should have id {id}, but it has {found:?}", token.content);
                return Err(fail("tokenizer_config.json", reason));
            }
        }
        let id_of = |field: &str, config: Option<TokenName>, map: Option<TokenName>| {
            let name = match config.or(map) {
                Some(TokenName::Text(text)) => text,
                Some(TokenName::Object { content }) => content,
                None => {
                    return Err(LoadError::Config {
                        path: checkpoint.path("tokenizer_config.json"),
                        field: field.into(),
                        found: "absent".into(),
                        expected: "a token's text".into(),
                    });
                }
            };
            tokenizer.token_to_id(&name).ok_or_else(|| LoadError::Config {
                path: checkpoint.path("tokenizer_config.json"),
                field: field.into(),
                found: format!("{name:?}"),
                expected: "a token of the vocabulary".into(),
            })
        };
        let bos = id_of("bos_token", config.bos_token, map.bos_token)?;
        let eos = id_of("eos_token", config.eos_token, map.eos_token)?;
        let pad = id_of("pad_token", config.pad_token, map.pad_token)?;
        Ok(Self { tokenizer, bos, eos, pad })
    }

    /// A text's token ids; nothing is put before or after them.
    pub fn encode(&self, text: &str) -> Result<Vec<Option<u32>>, SampleError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let encoding =
            self.tokenizer.encode_fast(text, false).map_err(|e| SampleError::Text { reason: e.to_string() })?;
        Ok(encoding.get_ids().iter().copied().map(Some).collect())
    }
}

/// The fast tokenizer that transformers would convert a slow Qwen tokenizer to.
fn from_vocabulary(checkpoint: &Checkpoint) -> Result<Tokenizer, LoadError> {
    let fail = |name: &str, reason: String| LoadError::Tokenizer { path: checkpoint.path(name), reason };
    let vocabulary: serde_json::Value = checkpoint.require_json("vocab.json")?;
    let merges = checkpoint.require("merges.txt")?;
    let merges = std::str::from_utf8(&merges).map_err(|e| fail("merges.txt", e.to_string()))?;
    let merges: Vec<_> = merges.lines().filter(|line| !line.is_empty() && !line.starts_with("#version")).collect();
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": { "type": "NFC" },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                { "type": "Split", "pattern": { "Regex": QWEN_SPLIT }, "behavior": "Isolated", "invert": false },
                { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false },
            ],
        },
        "model": {
            "type": "BPE",
            "fuse_unk": false,
            "byte_fallback": false,
            "vocab": vocabulary,
            "merges": merges,
        },
    });
    Tokenizer::from_bytes(tokenizer.to_string()).map_err(|e| fail("vocab.json and merges.txt", e.to_string()))
}

/// Ids of a caption: BOS, the image's place, a newline and the caption as one string, EOS; then cut to `most` ids.
pub fn pair_ids(tokens: &Tokens, caption: &str, most: usize) -> Result<Vec<Option<u32>>, SampleError> {
    let mut ids = vec![Some(tokens.bos), None];
    ids.extend(tokens.encode(&format!("\n{}", caption.replace(IMAGE, "image")))?);
    if ids.last() != Some(&Some(tokens.eos)) {
        ids.push(Some(tokens.eos));
    }
    ids.truncate(most);
    Ok(ids)
}

/// Ids of a document's texts, joined by blank lines; `None` is an image's place.
pub fn document_ids(tokens: &Tokens, texts: &[Option<&str>]) -> Result<Vec<Option<u32>>, SampleError> {
    let slots: Vec<_> =
        texts.iter().map(|t| t.map_or(IMAGE.into(), |t| t.replace(IMAGE, "<image-placeholder>"))).collect();
    prompt_ids(tokens, &slots.join("\n\n"))
}

/// Ids of a text in which `<image>` stands where an image does: each piece between them by itself, between BOS and EOS.
pub fn prompt_ids(tokens: &Tokens, prompt: &str) -> Result<Vec<Option<u32>>, SampleError> {
    let mut ids = Vec::new();
    let mut begins_with_bos = false;
    for (i, chunk) in prompt.split(IMAGE).enumerate() {
        let chunk = tokens.encode(chunk)?;
        if i == 0 {
            begins_with_bos = chunk.first() == Some(&Some(tokens.bos));
            ids.extend(chunk);
        } else {
            ids.push(None);
            // The reference takes a leading BOS for one that its tokenizer put before every chunk.
            ids.extend(chunk.into_iter().skip(usize::from(begins_with_bos)));
        }
    }
    if ids.first() != Some(&Some(tokens.bos)) {
        ids.insert(0, Some(tokens.bos));
    }
    if ids.last() != Some(&Some(tokens.eos)) {
        ids.push(Some(tokens.eos));
    }
    Ok(ids)
}
