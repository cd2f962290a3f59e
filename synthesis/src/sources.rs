//! The rows that samples are made of, and their images.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;

use rayon::prelude::*;

use crate::duplicates;
use crate::phash::perceptual_hash;
use crate::rules::{Document, Facts, Part};
use crate::split::{Shares, Split, splits};
use crate::spool::{Blob, Spool};

/// A row of the corpus.
#[derive(Debug, Clone)]
pub struct Source {
    /// The row's name in its table.
    pub uid: String,
    /// The part that its table says it belongs to.
    pub split: Option<Split>,
    /// What it holds.
    pub content: Content,
}

/// What a row holds. Images are known by their number in [`Sources`].
#[derive(Debug, Clone)]
pub enum Content {
    /// An image, with what is known of it.
    Pair {
        /// The image.
        image: usize,
        /// A true caption.
        text: Option<String>,
        /// All that is known of it.
        facts: Option<Facts>,
    },
    /// A document.
    Document(Document<usize>),
}

impl Content {
    /// The images, in order.
    pub fn images(&self) -> Vec<usize> {
        match self {
            Self::Pair { image, .. } => vec![*image],
            Self::Document(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Image(image) => Some(*image),
                    Part::Text(_) => None,
                })
                .collect(),
        }
    }
}

/// What was found out about an encoded image.
#[derive(Debug, Clone, Copy)]
pub struct Examined {
    content: [u8; 32],
    looks: Option<u64>,
}

/// An image's bytes and what was found out, or why it cannot be used.
pub type Looked<'a> = Result<(Cow<'a, [u8]>, Examined), String>;

/// Reads images and looks at them, side by side: each is decoded once. The reason of one that cannot be.
pub fn examine<'a, T: Sync, E: fmt::Display>(
    images: &[T],
    read: impl Fn(&T) -> Result<Cow<'a, [u8]>, E> + Sync,
    max_pixels: u64,
) -> Vec<Looked<'a>> {
    let one = |image: &T| {
        let bytes = read(image).map_err(|error| error.to_string())?;
        let looks = perceptual_hash(&bytes, max_pixels).map_err(|error| error.to_string())?;
        let content = *blake3::hash(&bytes).as_bytes();
        Ok((bytes, Examined { content, looks }))
    };
    images.par_iter().map(one).collect()
}

/// The rows of a corpus; their images lie on disk, each once.
#[derive(Debug)]
pub struct Sources {
    spool: Spool,
    images: Vec<(Examined, Blob)>,
    by_content: HashMap<[u8; 32], usize>,
    rows: Vec<Source>,
}

impl Sources {
    /// No rows yet; images are put aside in a folder that has room for them.
    pub fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self { spool: Spool::new(folder)?, images: vec![], by_content: HashMap::new(), rows: vec![] })
    }

    /// Keeps an image; its number.
    pub fn keep(&mut self, bytes: &[u8], examined: Examined) -> io::Result<usize> {
        if let Some(known) = self.by_content.get(&examined.content) {
            return Ok(*known);
        }
        self.images.push((examined, self.spool.push(bytes)?));
        self.by_content.insert(examined.content, self.images.len() - 1);
        Ok(self.images.len() - 1)
    }

    /// Adds a row.
    pub fn push(&mut self, row: Source) {
        self.rows.push(row);
    }

    /// All rows.
    pub fn rows(&self) -> &[Source] {
        &self.rows
    }

    /// Keeps these rows alone, by their numbers.
    pub fn retain(&mut self, rows: &[usize]) {
        self.rows = rows.iter().filter_map(|row| self.rows.get(*row).cloned()).collect();
    }

    /// Puts other rows in place of all.
    pub fn replace(&mut self, rows: Vec<Source>) {
        self.rows = rows;
    }

    /// An image's bytes, as they were.
    pub fn bytes(&self, image: usize) -> io::Result<Vec<u8>> {
        self.spool.read(self.images[image].1)
    }

    /// The hash of an image's bytes.
    pub fn content(&self, image: usize) -> &[u8; 32] {
        &self.images[image].0.content
    }

    /// The part that each row belongs to: its table's word, else by its images, so that images that differ in at most
    /// `distance` bits of their looks, and those of one document, are in one.
    pub fn splits(&self, shares: Shares, distance: u32, seed: u64) -> Vec<Split> {
        let contents: Vec<_> = self.images.iter().map(|(examined, _)| examined.content).collect();
        let looks: Vec<_> = self.images.iter().map(|(examined, _)| examined.looks).collect();
        let images: Vec<Vec<usize>> = self.rows.iter().map(|row| row.content.images()).collect();
        let together = images.iter().flat_map(|images| images.windows(2).map(|pair| (pair[0], pair[1])));
        let groups = duplicates::groups(&contents, &looks, distance, together);
        let by_image = splits(&contents, &groups, shares, seed);
        let of = |(row, images): (&Source, &Vec<usize>)| {
            row.split.or_else(|| images.first().map(|image| by_image[*image])).unwrap_or(Split::Train)
        };
        self.rows.iter().zip(&images).map(of).collect()
    }
}

/// Documents of `each` rows one after the other; what is left over at the end is no document.
pub fn as_documents(rows: &[Source], each: usize, text: impl Fn(&Source) -> Option<String>) -> Vec<Source> {
    let usable: Vec<(&Source, usize, String)> = rows
        .iter()
        .filter_map(|row| match row.content {
            Content::Pair { image, .. } => Some((row, image, text(row)?)),
            Content::Document(_) => None,
        })
        .collect();
    let document = |rows: &[(&Source, usize, String)]| {
        let parts = rows.iter().flat_map(|(_, image, text)| [Part::Text(text.clone()), Part::Image(*image)]).collect();
        let uids: Vec<&str> = rows.iter().map(|(row, ..)| row.uid.as_str()).collect();
        Source { uid: uids.join("+"), split: rows[0].0.split, content: Content::Document(parts) }
    };
    usable.chunks_exact(each.max(1)).map(document).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::png;
    use tamis_models::preprocess::Rgb;

    fn picture(n: u8, size: u32) -> Vec<u8> {
        let noise = |x: u32, y: u32| blake3::hash(&[n, (x * 8 / size) as u8, (y * 8 / size) as u8]).as_bytes()[0];
        let pixels = (0..size * size).flat_map(|i| [noise(i % size, i / size); 3]).collect();
        png(&Rgb { width: size, height: size, pixels }).unwrap()
    }

    #[test]
    fn copies_in_other_sizes_are_on_one_side() {
        let folder = tempfile::tempdir().unwrap();
        let mut sources = Sources::new(folder.path()).unwrap();
        for n in 0..40 {
            for size in [64, 96] {
                let bytes = picture(n, size);
                let read = |bytes: &Vec<u8>| Ok::<_, String>(Cow::Owned(bytes.clone()));
                let (_, examined) = examine(std::slice::from_ref(&bytes), read, 1 << 20).remove(0).unwrap();
                let image = sources.keep(&bytes, examined).unwrap();
                assert_eq!(sources.keep(&bytes, examined).unwrap(), image, "kept once");
                assert_eq!(sources.bytes(image).unwrap(), bytes);
                let content = Content::Pair { image, text: None, facts: None };
                sources.push(Source { uid: format!("{n}/{size}"), split: None, content });
            }
        }
        let splits = sources.splits("0.5,0.25,0.25".parse().unwrap(), duplicates::NEAR, 1);
        assert!(splits.chunks(2).all(|pair| pair[0] == pair[1]));
        assert!([Split::Train, Split::Validation, Split::Test].iter().all(|split| splits.contains(split)));
    }

    #[test]
    fn rows_make_documents() {
        let row = |n: usize| Source {
            uid: n.to_string(),
            split: None,
            content: Content::Pair { image: n, text: Some(format!("t{n}")), facts: None },
        };
        let rows: Vec<Source> = (0..5).map(row).collect();
        let text = |row: &Source| match &row.content {
            Content::Pair { text, .. } => text.clone(),
            Content::Document(_) => None,
        };
        let documents = as_documents(&rows, 2, text);
        assert_eq!(documents.iter().map(|d| d.uid.as_str()).collect::<Vec<_>>(), ["0+1", "2+3"]);
        assert_eq!(documents[1].content.images(), [2, 3]);
    }
}
