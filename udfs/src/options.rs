//! Every `tamis.*` session option, defined once.
//!
//! The table at the end of this file is the one place where an option stands: its getter, key, type, default and line of
//! documentation. `SET`, `SHOW`, the error messages and the page of documentation are made from it.

mod table;
mod value;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Write;

use datafusion::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::error::Result;
use tamis_models::{DeviceChoice, DtypeChoice, Limits};

use crate::error::Error;
use crate::reach::{Reach, Rules};
use table::options;
pub use value::{BatchTokens, InvalidUtf8, OnError};

/// Keys of the form `tamis.model.NAME` name models.
const MODEL_PREFIX: &str = "model.";
const MODEL_DOC: &str = "Where the model NAME lies; `--model NAME=...` sets it";
const MODEL_ACCEPTED: &str = "a folder, an object-store URL or a hub id";

/// What queries may reach, where that is not everything. A server sets it, with each task: it is nobody's to choose.
const ACCESS_KEY: &str = "access";
const ACCESS_DOC: &str = "What queries may reach; the server's to set";

options! {
    unifilter_model: String = "unifilter.model", "default".to_string(),
        "The model that `unifilter` runs: a name (`tamis.model.NAME`), a folder, an object-store URL or a hub id";
    max_text_tokens: usize = "unifilter.max_text_tokens", 75,
        "A caption is cut to this many token ids, the BOS and the image token included";
    max_document_images: usize = "unifilter.max_document_images", 10,
        "A document with more images is not scored";
    max_document_tokens: usize = "unifilter.max_document_tokens", 6000,
        "A document with more token ids is not scored; an image counts as one";
    device: DeviceChoice = "scoring.device", DeviceChoice::Auto,
        "Where models run; `auto` takes the first CUDA device if this build and machine have one that can be used, else the CPU";
    dtype: DtypeChoice = "scoring.dtype", DtypeChoice::Auto,
        "The floating-point type of weights and activations; `auto` is f32 on a CPU and bf16 on a GPU";
    batch_tokens: BatchTokens = "scoring.batch_tokens", BatchTokens::Auto,
        "Positions of the language model's sequence in one forward pass; `auto` suits the device";
    prefetch: usize = "scoring.prefetch", 64,
        "Rows of a model that are decoded and tokenised ahead of the device at most, those on the device included";
    on_error: OnError = "scoring.on_error", OnError::Null,
        "What becomes of a row that cannot be scored: its score is NULL, or the query fails";
    max_image_pixels: u64 = "image.max_pixels", 89_478_485,
        "An image with more pixels is refused before memory is allocated for it";
    cache_path: String = "cache.path", "off".to_string(),
        "Where scores are remembered: a folder or an object-store URL; `off` remembers nothing. The command's default is the user's cache folder";
    cache_max_bytes: u64 = "cache.max_bytes", 1 << 30,
        "Bytes that remembered scores may take, over all models; beyond, the oldest are removed";
    sample_bytes: u64 = "files.sample_bytes", 4 << 20,
        "Bytes of CSV and JSON files that are looked at to find their columns; a table that has no more is read as a whole";
    invalid_utf8: InvalidUtf8 = "files.invalid_utf8", InvalidUtf8::Error,
        "What becomes of a text in a file that is not UTF-8: the query fails and names the place, or U+FFFD stands for it";
    planner_enabled: bool = "planner.enabled", true,
        "Whether model calls become plan nodes; `false` calls the functions where they stand, as often as they stand";
}

impl TamisOptions {
    /// The session's options; the defaults if the session has none of ours.
    pub fn from_config(config: &ConfigOptions) -> Self {
        let own = config.extensions.get::<Self>().cloned();
        own.unwrap_or_else(|| Self { reach: Reach::without_session(), ..Self::default() })
    }

    /// What bounds a sample.
    pub fn limits(&self) -> Limits {
        Limits {
            max_text_tokens: self.max_text_tokens(),
            max_document_images: self.max_document_images(),
            max_document_tokens: self.max_document_tokens(),
            max_image_pixels: self.max_image_pixels(),
        }
    }

    /// The named models: name and location as they were given.
    pub fn models(&self) -> &BTreeMap<String, String> {
        &self.models
    }

    /// What queries may reach.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Sets what queries may reach.
    pub fn set_reach(&mut self, reach: Reach) {
        self.reach = reach;
    }

    /// Takes what queries may reach from another process. What is not understood allows nothing.
    fn receive_reach(&mut self, value: &str) -> Result<(), Error> {
        let refused = |expected| Error::OptionValue { key: full_key(ACCESS_KEY), value: value.to_string(), expected };
        if !self.reach.is_everything() {
            return Err(refused("nothing: it is the server's to set, once"));
        }
        let rules: Result<Rules, _> = serde_json::from_str(value);
        let is_understood = rules.is_ok();
        self.reach = Reach::limited(rules.unwrap_or_default());
        if is_understood { Ok(()) } else { Err(refused("the rules of a server of this version, as JSON")) }
    }

    fn set_key(&mut self, key: &str, value: &str) -> Result<(), Error> {
        if key == ACCESS_KEY {
            return self.receive_reach(value);
        }
        if let Some(name) = key.strip_prefix(MODEL_PREFIX).filter(|name| !name.is_empty()) {
            if value.is_empty() {
                let expected = MODEL_ACCEPTED;
                return Err(Error::OptionValue { key: full_key(key), value: value.to_string(), expected });
            }
            self.models.insert(name.to_string(), value.to_string());
            return Ok(());
        }
        match self.set_defined(key, value) {
            Some(Ok(())) => Ok(()),
            Some(Err(expected)) => Err(Error::OptionValue { key: full_key(key), value: value.to_string(), expected }),
            None => {
                let mut known: Vec<String> = DEFINITIONS.iter().map(|d| full_key(d.key)).collect();
                known.push(full_key("model.NAME"));
                Err(Error::UnknownOption { key: full_key(key), known: known.join(", ") })
            }
        }
    }
}

impl ConfigExtension for TamisOptions {
    const PREFIX: &'static str = "tamis";
}

/// Written by hand: DataFusion's macro leaves the prefix out of `entries`, and options without it never arrive on the
/// executors of a cluster.
impl ExtensionOptions for TamisOptions {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        Ok(self.set_key(key, value)?)
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let defined = DEFINITIONS.iter().zip(self.shown()).map(|(definition, value)| ConfigEntry {
            key: full_key(definition.key),
            value: Some(value),
            description: definition.doc,
        });
        let models = self.models.iter().map(|(name, location)| ConfigEntry {
            key: full_key(&format!("{MODEL_PREFIX}{name}")),
            value: Some(location.clone()),
            description: MODEL_DOC,
        });
        let reach = self.reach.rules().map(|rules| ConfigEntry {
            key: full_key(ACCESS_KEY),
            // Rules that cannot be written are sent as what nobody understands, which allows nothing.
            value: Some(serde_json::to_string(rules).unwrap_or_default()),
            description: ACCESS_DOC,
        });
        defined.chain(models).chain(reach).collect()
    }
}

/// The table of all options in Markdown, for the documentation.
pub fn docs_markdown() -> String {
    let mut page = String::from("| option | default | accepted | meaning |\n|---|---|---|---|\n");
    for (d, default) in DEFINITIONS.iter().zip(TamisOptions::default().shown()) {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{}` | `{default}` | {} | {} |", full_key(d.key), d.accepted, d.doc);
    }
    let _ = writeln!(page, "| `{}` | | {MODEL_ACCEPTED} | {MODEL_DOC} |", full_key("model.NAME"));
    page
}

fn full_key(key: &str) -> String {
    format!("{}.{key}", TamisOptions::PREFIX)
}

#[cfg(test)]
mod tests;
