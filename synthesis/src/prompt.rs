//! What a model is asked: versioned texts, one for captions and one for documents.

use serde_json::{Value, json};

/// What kind of samples a prompt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Captions of one image.
    Captions,
    /// Documents.
    Documents,
}

/// A prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// What it asks for.
    pub kind: Kind,
    /// Its name: what the column `prompt` has.
    pub version: String,
    /// Its text.
    pub text: String,
}

impl Prompt {
    /// Ours.
    pub fn of(kind: Kind) -> Self {
        let (version, text) = match kind {
            Kind::Captions => ("captions-1", include_str!("../prompts/captions-1.md")),
            Kind::Documents => ("documents-1", include_str!("../prompts/documents-1.md")),
        };
        Self { kind, version: version.into(), text: text.trim().into() }
    }

    /// A user's, named by its content.
    pub fn own(kind: Kind, text: &str) -> Self {
        let hash = blake3::hash(text.trim().as_bytes()).to_hex();
        Self { kind, version: format!("own-{}", &hash[..12]), text: text.trim().into() }
    }
}

/// The name of the tool, or of the schema, that an answer is written with.
pub(crate) const TOOL: &str = "write_texts";

/// The fields of an answer, level 0 first.
pub(crate) const FIELDS: [&str; 4] = ["level_0", "level_1", "level_2", "level_3"];

/// The JSON schema of an answer.
pub(crate) fn schema() -> Value {
    let text = |what: &str| json!({"type": "string", "description": what});
    json!({
        "type": "object",
        "properties": {
            "level_3": text("the faithful one"),
            "level_2": text("the one with exactly one thing wrong"),
            "level_1": text("the one with remarkable errors"),
            "level_0": text("the unrelated one"),
        },
        "required": ["level_3", "level_2", "level_1", "level_0"],
        "additionalProperties": false,
    })
}

/// What is said after the images.
pub(crate) fn request(kind: Kind, is_plain: bool) -> String {
    let what = match kind {
        Kind::Captions => "Write the four captions of this image.",
        Kind::Documents => "Write the four documents about this one.",
    };
    match is_plain {
        false => what.to_string(),
        true => format!(
            "{what} Answer with one JSON object and nothing else: its keys are level_3, level_2, level_1 and level_0, its values \
             the texts."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_known_by_its_content() {
        let ours = Prompt::of(Kind::Captions);
        assert!(FIELDS.iter().all(|field| ours.text.contains(field)), "{}", ours.text);
        assert!(FIELDS.iter().all(|field| Prompt::of(Kind::Documents).text.contains(field)));
        let own = Prompt::own(Kind::Captions, "Write.");
        assert_eq!(own, Prompt::own(Kind::Captions, "Write.\n"));
        assert_ne!(own.version, Prompt::own(Kind::Captions, "Write!").version);
    }
}
