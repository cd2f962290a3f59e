//! What can go wrong: loading a model, preparing a sample, running a forward pass.

use std::path::PathBuf;

use crate::preprocess::ImageError;

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file of the checkpoint is absent.
    #[error("model {model}: no {file} in {looked_in}; {hint}")]
    MissingFile {
        /// The model as the user named it.
        model: String,
        /// The file that was wanted.
        file: String,
        /// Where it was looked for.
        looked_in: String,
        /// What to do about it.
        hint: String,
    },
    /// A file could not be read.
    #[error("reading {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A JSON file is not what it should be.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause, with the field, line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A configuration field is absent or has a value that is not supported.
    #[error("{}: field {field} is {found}, expected {expected}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The field's name.
        field: String,
        /// What stands there ("absent" if nothing does).
        found: String,
        /// What would have been understood.
        expected: String,
    },
    /// A tensor is absent from the checkpoint.
    #[error("{}: no tensor {tensor} (expected shape {expected:?})", path.display())]
    MissingTensor {
        /// The safetensors file or the folder of shards.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("{}: tensor {tensor} has shape {found:?}, expected {expected:?}", path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// A safetensors file is damaged, or a tensor's dtype is not one of f32, bf16, f16.
    #[error("{}: {reason}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer's files could not be read.
    #[error("{}: {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Fetching from a hub or an object store failed.
    #[error("model {model}: {action} failed: {source}; {hint}")]
    Fetch {
        /// The model as the user named it.
        model: String,
        /// What was being done.
        action: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What to do about it.
        hint: String,
    },
    /// The device or dtype asked for cannot be had.
    #[error("device {device}: {reason}")]
    Device {
        /// The device as the user named it.
        device: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// The checkpoint is another one than when it was looked at.
    #[error("the model's files have changed since the query began; run it again")]
    Changed,
    /// The device refused a tensor.
    #[error("building the model from {}: {source}", path.display())]
    Build {
        /// The checkpoint.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why one sample cannot be scored. The message is what `unifilter_error` shows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// An image cannot be decoded.
    #[error("image{}: {source}", position.map(|i| format!(" {i}")).unwrap_or_default())]
    Image {
        /// The image's index in a document, counted from 0; `None` for a pair.
        position: Option<usize>,
        /// The cause.
        #[source]
        source: ImageError,
    },
    /// A document's lists are not of the same length.
    #[error("document has {images} images and {texts} texts; the two lists must be parallel")]
    UnequalLists {
        /// Length of the list of images.
        images: usize,
        /// Length of the list of texts.
        texts: usize,
    },
    /// A document without an image.
    #[error("document has no image")]
    NoImage,
    /// A document with more images than are scored.
    #[error("document has {found} images, more than the {limit} that are scored (tamis.unifilter.max_document_images)")]
    TooManyImages {
        /// How many there are.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A document with more token ids than are scored.
    #[error(
        "document has {found} token ids, more than the {limit} that are scored (tamis.unifilter.max_document_tokens)"
    )]
    TooManyTokens {
        /// How many there are.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A document's slots with neither text nor image, or both at once, leave image tokens and images unequal in number.
    #[error(
        "document has {images} images for {placeholders} image positions: a slot holds both a text and an image, or neither"
    )]
    Placeholders {
        /// How many images there are.
        images: usize,
        /// How many positions wait for an image.
        placeholders: usize,
    },
    /// Tokenisation failed.
    #[error("text: {reason}")]
    Text {
        /// Why.
        reason: String,
    },
}

/// Why a forward pass failed. It concerns the batch, not a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The device refused an operation: out of memory, a kernel that failed.
    #[error("forward pass over {rows} rows: {source}")]
    Forward {
        /// How many rows the batch had.
        rows: usize,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A sample was not prepared for this model.
    #[error("forward pass: a sample was not prepared for this model: {reason}")]
    Sample {
        /// What is wrong with it.
        reason: String,
    },
    /// A score came out as NaN or infinite.
    #[error("forward pass gave a score that is not a finite number; the checkpoint or the dtype is at fault")]
    NotFinite,
}
