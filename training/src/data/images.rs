//! Pictures of a training in files: each once, resized, and what a frozen tower makes of them.
//!
//! A training reads each picture once an epoch, in another order each time, and may have more of them than memory. So they lie
//! in a file of records of one size, and so do their pooled features where the tower is frozen.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::TrainingError;

/// Records of one size by number.
#[derive(Debug)]
struct Records {
    path: PathBuf,
    file: File,
    size: usize,
    count: usize,
}

impl Records {
    /// Opens or makes the file. A record that was not written whole is none.
    fn open(path: PathBuf, size: usize) -> Result<Self, TrainingError> {
        let open = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let file = open.map_err(TrainingError::io("opening", &path))?;
        let length = file.metadata().map_err(TrainingError::io("opening", &path))?.len() as usize;
        let count = length / size.max(1);
        file.set_len((count * size) as u64).map_err(TrainingError::io("opening", &path))?;
        Ok(Self { path, file, size, count })
    }

    /// Keeps the first so many.
    fn truncate(&mut self, count: usize) -> Result<(), TrainingError> {
        self.count = self.count.min(count);
        self.file.set_len((self.count * self.size) as u64).map_err(TrainingError::io("cutting", &self.path))
    }

    fn push(&mut self, record: &[u8]) -> Result<(), TrainingError> {
        debug_assert_eq!(record.len(), self.size);
        self.file.write_all(record).map_err(TrainingError::io("writing", &self.path))?;
        self.count += 1;
        Ok(())
    }

    fn read(&self, number: u32) -> Result<Vec<u8>, TrainingError> {
        let mut record = vec![0; self.size];
        let offset = u64::from(number) * self.size as u64;
        self.file.read_exact_at(&mut record, offset).map_err(TrainingError::io("reading", &self.path))?;
        Ok(record)
    }
}

/// The pictures of a training.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    pixels: Records,
    keys: Records,
    numbers: HashMap<[u8; 32], u32>,
    features: Option<Records>,
}

impl Store {
    /// Opens the store in a folder, or makes one, for pictures of `size` bytes. `way` tells how they are made: pictures made another
    /// way lie in other files.
    pub fn open(folder: &Path, way: &str, size: usize) -> Result<Self, TrainingError> {
        std::fs::create_dir_all(folder).map_err(TrainingError::io("making", folder))?;
        let mut pixels = Records::open(folder.join(format!("pixels-{way}.bin")), size)?;
        // Two that add pictures would mix them up.
        pixels.file.try_lock().map_err(|_| {
            TrainingError::Data(format!(
                "{}: another training uses this folder of images; name another one with --cache",
                folder.display()
            ))
        })?;
        let mut keys = Records::open(folder.join(format!("keys-{way}.bin")), 32)?;
        // A picture counts when its key is there too.
        let count = pixels.count.min(keys.count);
        pixels.truncate(count)?;
        keys.truncate(count)?;
        let mut all = vec![];
        let mut file = File::open(&keys.path).map_err(TrainingError::io("opening", &keys.path))?;
        file.read_to_end(&mut all).map_err(TrainingError::io("reading", &keys.path))?;
        let numbers = all.as_chunks::<32>().0.iter().enumerate().map(|(number, key)| (*key, number as u32)).collect();
        Ok(Self { folder: folder.to_path_buf(), pixels, keys, numbers, features: None })
    }

    /// The number of the picture of this content, if it is here.
    pub fn find(&self, key: &[u8; 32]) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// Adds a picture, unless it is here; its number.
    pub(crate) fn add(&mut self, key: [u8; 32], pixels: &[u8]) -> Result<u32, TrainingError> {
        if let Some(number) = self.find(&key) {
            return Ok(number);
        }
        let number = self.pixels.count as u32;
        self.pixels.push(pixels)?;
        self.keys.push(&key)?;
        self.numbers.insert(key, number);
        Ok(number)
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.pixels.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A picture's pixels.
    pub(crate) fn pixels(&self, number: u32) -> Result<Vec<u8>, TrainingError> {
        self.pixels.read(number)
    }

    /// Opens the features of a frozen tower, `size` numbers a picture; how many pictures have theirs already.
    pub(crate) fn open_features(&mut self, tower: &str, size: usize) -> Result<usize, TrainingError> {
        let records = Records::open(self.folder.join(format!("features-{tower}.bin")), size * size_of::<f32>())?;
        let count = records.count.min(self.len());
        self.features = Some(records);
        Ok(count)
    }

    /// Adds the features of the next picture.
    pub(crate) fn push_features(&mut self, features: &[f32]) -> Result<(), TrainingError> {
        match &mut self.features {
            Some(records) => records.push(bytemuck::cast_slice(features)),
            None => Ok(()),
        }
    }

    /// A picture's features, if they were opened.
    pub(crate) fn features(&self, number: u32) -> Result<Option<Vec<f32>>, TrainingError> {
        let Some(records) = &self.features else { return Ok(None) };
        let bytes = records.read(number)?;
        Ok(Some(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stay_and_torn_ones_go() -> Result<(), TrainingError> {
        let folder = tempfile::tempdir().map_err(TrainingError::io("making", "a folder"))?;
        let open = || Store::open(folder.path(), "stretch", 3);
        let mut store = open()?;
        assert_eq!((store.add([1; 32], b"abc")?, store.add([2; 32], b"def")?, store.add([1; 32], b"abc")?), (0, 1, 0));
        let other = open().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(other.contains("another training"), "{other}");
        drop(store);
        // Killed between the picture and its key.
        let mut pixels = OpenOptions::new().append(true).open(folder.path().join("pixels-stretch.bin")).unwrap();
        pixels.write_all(b"ghij").unwrap();
        let mut store = open()?;
        assert_eq!((store.len(), store.find(&[2; 32])), (2, Some(1)));
        assert_eq!((store.add([3; 32], b"xyz")?, store.pixels(2)?), (2, b"xyz".to_vec()));
        assert_eq!(store.open_features("t", 2)?, 0);
        store.push_features(&[1., 2.])?;
        assert_eq!((store.open_features("t", 2)?, store.features(0)?), (1, Some(vec![1., 2.])));
        Ok(())
    }
}
