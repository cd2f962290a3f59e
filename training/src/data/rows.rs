//! From rows to samples: pictures decoded and resized, texts as ids, labels checked.

use std::borrow::Cow;
use std::sync::Arc;

use rayon::prelude::*;
use tamis_models::preprocess::{Filter, Rgb, decode, decode_resized, resize};
use tamis_models::text::{Tokens, document_ids, pair_ids, prompt_ids};
use tamis_models::unifilter::Parts as Files;

use super::{Sample, Store};
use crate::TrainingError;

/// What the published processor fills a square with: int(0.5 * 255).
const MEAN: u8 = 127;
/// Stands where an image does.
const IMAGE: &str = "<image>";

/// How a picture becomes a square.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Aspect {
    /// Resized straight, as scoring does it.
    #[default]
    Stretch,
    /// Put in the middle of a grey square first, as the reference trains.
    Pad,
}

/// What a row holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Content<'a> {
    /// A picture and its caption.
    Pair {
        /// The picture's file.
        image: Cow<'a, [u8]>,
        /// The caption.
        text: Cow<'a, str>,
    },
    /// A document as two parallel lists.
    Document {
        /// Pictures' files, null where a text stands.
        images: Vec<Option<Cow<'a, [u8]>>>,
        /// Texts, null where a picture stands.
        texts: Vec<Option<Cow<'a, str>>>,
    },
    /// A text in which `<image>` stands where a picture does.
    Prompt {
        /// The pictures' files.
        images: Vec<Cow<'a, [u8]>>,
        /// The text.
        text: Cow<'a, str>,
    },
}

/// A row of the training data.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    /// What is looked at.
    pub content: Content<'a>,
    /// What it should be given.
    pub label: Option<f64>,
    /// What it is called.
    pub uid: String,
}

/// A row that is no sample, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// What it is called.
    pub uid: String,
    /// Why.
    pub reason: String,
}

/// What a training wants of its samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted {
    /// Captions, to be written word by word: no label is needed.
    Captions,
    /// Scores, labels 0 to 3.
    Scores,
    /// One of so many classes.
    Classes(usize),
}

/// Samples and their pictures.
#[derive(Debug)]
pub struct DataSet {
    /// The samples, in the rows' order.
    pub samples: Vec<Arc<Sample>>,
    /// Rows that are none.
    pub refused: Vec<Refused>,
}

/// Makes samples of rows.
#[derive(Debug)]
pub struct Reader {
    tokens: Tokens,
    filter: Filter,
    side: u32,
    vocabulary: usize,
    aspect: Aspect,
    wanted: Wanted,
    max_pixels: u64,
}

/// A sample whose pictures have no numbers yet.
struct Prepared {
    ids: Vec<Option<u32>>,
    images: Vec<([u8; 32], Option<Vec<u8>>)>,
    label: f32,
}

impl Reader {
    /// For a model of these files.
    pub fn new(files: &Files, aspect: Aspect, wanted: Wanted, max_pixels: u64) -> Result<Self, TrainingError> {
        Ok(Self {
            tokens: Tokens::open(&files.checkpoint)?,
            filter: files.preprocess.filter,
            side: files.vision_config.image_size as u32,
            vocabulary: files.config.vocab_size,
            aspect,
            wanted,
            max_pixels,
        })
    }

    /// Bytes of a picture in the store.
    pub fn picture_bytes(&self) -> usize {
        3 * (self.side * self.side) as usize
    }

    /// How pictures are made, as a word for file names.
    pub fn way(&self) -> String {
        format!("{:?}-{:?}-{}", self.aspect, self.filter, self.side).to_lowercase()
    }

    /// Adds rows to a data set, on all threads.
    pub fn read(&self, rows: &[Row<'_>], store: &mut Store, to: &mut DataSet) -> Result<(), TrainingError> {
        let known = &*store;
        let prepared: Vec<Result<Prepared, String>> = rows.par_iter().map(|row| self.prepare(row, known)).collect();
        for (row, prepared) in rows.iter().zip(prepared) {
            match prepared {
                Ok(sample) => {
                    let mut images = Vec::with_capacity(sample.images.len());
                    for (key, pixels) in &sample.images {
                        images.push(match store.find(key) {
                            Some(number) => number,
                            None => store.add(*key, pixels.as_deref().unwrap_or_default())?,
                        });
                    }
                    let (ids, label, uid) = (sample.ids, sample.label, row.uid.clone());
                    to.samples.push(Arc::new(Sample { ids, images, label, uid }));
                }
                Err(reason) => to.refused.push(Refused { uid: row.uid.clone(), reason }),
            }
        }
        Ok(())
    }

    fn prepare(&self, row: &Row<'_>, store: &Store) -> Result<Prepared, String> {
        let label = self.label(row.label)?;
        let said = |error: tamis_models::SampleError| error.to_string();
        let (mut ids, images): (Vec<Option<u32>>, Vec<&[u8]>) = match &row.content {
            Content::Pair { image, text } => {
                let ids = self.caption(text)?;
                (ids, vec![image.as_ref()])
            }
            Content::Document { images, texts } => {
                if images.len() != texts.len() {
                    return Err(format!(
                        "{} images and {} texts: the lists are not parallel",
                        images.len(),
                        texts.len()
                    ));
                }
                let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
                (
                    document_ids(&self.tokens, &texts).map_err(said)?,
                    images.iter().flatten().map(AsRef::as_ref).collect(),
                )
            }
            Content::Prompt { images, text } => {
                // An image and what is said of it, which is how the reference's list writes captions.
                let ids = match text.strip_prefix(IMAGE) {
                    Some(caption) if self.wanted == Wanted::Captions && !caption.contains(IMAGE) => {
                        self.caption(caption.strip_prefix('\n').unwrap_or(caption))?
                    }
                    _ => prompt_ids(&self.tokens, text).map_err(said)?,
                };
                (ids, images.iter().map(AsRef::as_ref).collect())
            }
        };
        let places = ids.iter().filter(|id| id.is_none()).count();
        if places != images.len() {
            return Err(format!("{} images for {places} places of images", images.len()));
        }
        // As in scoring, and as the reference's mask has it.
        ids.retain(|id| *id != Some(self.tokens.pad));
        if let Some(id) = ids.iter().flatten().find(|id| **id as usize >= self.vocabulary) {
            return Err(format!("token id {id} has no embedding: the tokenizer and the model do not fit"));
        }
        if ids.is_empty() {
            return Err("no token is left".into());
        }
        let images = images.into_iter().map(|bytes| {
            let key = *blake3::hash(bytes).as_bytes();
            let pixels = if store.find(&key).is_some() { None } else { Some(self.picture(bytes)?) };
            Ok((key, pixels))
        });
        Ok(Prepared { ids, images: images.collect::<Result<_, String>>()?, label })
    }

    /// Ids of an image's caption: in stage 1 it ends in a newline, in stage 2 it is as in scoring.
    fn caption(&self, text: &str) -> Result<Vec<Option<u32>>, String> {
        let ids = match self.wanted {
            Wanted::Captions => self
                .tokens
                .encode(&format!("{}\n", text.replace(IMAGE, "image")))
                .map(|ids| [Some(self.tokens.bos), None].into_iter().chain(ids).collect()),
            Wanted::Scores | Wanted::Classes(_) => pair_ids(&self.tokens, text, usize::MAX),
        };
        ids.map_err(|error| error.to_string())
    }

    fn label(&self, label: Option<f64>) -> Result<f32, String> {
        match (self.wanted, label) {
            (Wanted::Captions, label) => Ok(label.unwrap_or(3.) as f32),
            (_, None) => Err("the label is NULL".into()),
            (Wanted::Scores, Some(label)) if (0. ..=3.).contains(&label) => Ok(label as f32),
            (Wanted::Scores, Some(label)) => Err(format!("label {label} is outside of the levels 0 to 3")),
            (Wanted::Classes(count), Some(label)) if label.fract() == 0. && label >= 0. && (label as usize) < count => {
                Ok(label as f32)
            }
            (Wanted::Classes(count), Some(label)) => Err(format!("label {label} is none of the {count} classes")),
        }
    }

    /// A picture's pixels, resized.
    fn picture(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let size = (self.side, self.side);
        let image = match self.aspect {
            Aspect::Stretch => decode_resized(bytes, self.max_pixels, size, self.filter),
            Aspect::Pad => {
                decode(bytes, self.max_pixels).map(|image| resize(&padded(&image), size.0, size.1, self.filter))
            }
        };
        image.map(|image| image.pixels).map_err(|error| format!("image: {error}"))
    }
}

/// A picture in the middle of a square.
fn padded(image: &Rgb) -> Rgb {
    let (width, height) = (image.width as usize, image.height as usize);
    let side = width.max(height);
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    let mut pixels = vec![MEAN; side * side * 3];
    for (row, line) in image.pixels.chunks_exact((width * 3).max(1)).enumerate() {
        pixels[((top + row) * side + left) * 3..][..width * 3].copy_from_slice(line);
    }
    Rgb { width: side as u32, height: side as u32, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_picture_is_in_the_middle() {
        let image = Rgb { width: 3, height: 1, pixels: vec![1; 9] };
        let square = padded(&image);
        assert_eq!((square.width, square.height), (3, 3));
        assert!(square.pixels[..9].iter().chain(&square.pixels[18..]).all(|level| *level == MEAN));
        assert!(square.pixels[9..18].iter().all(|level| *level == 1));
        let narrow = padded(&Rgb { width: 1, height: 4, pixels: vec![9; 12] });
        // (4 - 1) // 2 columns on the left.
        assert_eq!(narrow.pixels[..12], [127, 127, 127, 9, 9, 9, 127, 127, 127, 127, 127, 127]);
    }
}
