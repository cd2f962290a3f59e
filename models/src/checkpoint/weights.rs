//! Tensors of a checkpoint by name, memory-mapped, with errors that name file, tensor and shape.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use crate::LoadError;

/// One safetensors file.
#[derive(Debug, Clone)]
pub struct WeightsFile {
    path: PathBuf,
    bytes: Arc<Bytes>,
}

impl WeightsFile {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its content.
    pub fn bytes(&self) -> &[u8] {
        match &*self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Static(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Static(&'static [u8]),
}

#[derive(Debug, Clone)]
struct Entry {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    /// The tensor's bytes within its file.
    range: (usize, usize),
}

/// The tensors of one or several safetensors files.
#[derive(Debug, Clone, Default)]
pub struct Weights {
    files: Vec<WeightsFile>,
    entries: BTreeMap<String, Entry>,
}

impl Weights {
    /// Maps a file into memory and reads its header.
    #[expect(unsafe_code, reason = "mapping a file is the one way not to hold the weights twice while loading")]
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), LoadError> {
        let io = |source| LoadError::Io { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the mapping is read only. Were another process to truncate the file while the model is being loaded,
        // the read would fault: as for every program that maps weights, a checkpoint must not be changed in place.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        self.add(path.to_path_buf(), Bytes::Mapped(map))
    }

    /// Takes a file that is built into the program.
    pub(super) fn add_static(&mut self, path: PathBuf, bytes: &'static [u8]) -> Result<(), LoadError> {
        self.add(path, Bytes::Static(bytes))
    }

    fn add(&mut self, path: PathBuf, bytes: Bytes) -> Result<(), LoadError> {
        let file = WeightsFile { path, bytes: Arc::new(bytes) };
        let damaged = |reason: String| LoadError::Weights {
            path: file.path.clone(),
            reason: format!("not a safetensors file: {reason}"),
        };
        let (header, metadata) = SafeTensors::read_metadata(file.bytes()).map_err(|e| damaged(e.to_string()))?;
        let data = header + size_of::<u64>();
        for (name, info) in metadata.tensors() {
            let range = (data + info.data_offsets.0, data + info.data_offsets.1);
            if range.1 > file.bytes().len() {
                return Err(damaged(format!(
                    "tensor {name} ends at byte {}, the file at {}",
                    range.1,
                    file.bytes().len()
                )));
            }
            let entry = Entry { file: self.files.len(), dtype: info.dtype, shape: info.shape.clone(), range };
            self.entries.insert(name, entry);
        }
        self.files.push(file);
        Ok(())
    }

    /// The files, in order.
    pub fn files(&self) -> &[WeightsFile] {
        &self.files
    }

    /// Names, shapes and dtypes of all tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], String)> {
        self.entries
            .iter()
            .map(|(name, e)| (name.as_str(), e.shape.as_slice(), format!("{:?}", e.dtype).to_lowercase()))
    }

    /// The shape of a tensor, if there is one of this name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|e| e.shape.as_slice())
    }

    /// The tensors below `prefix` (which ends in a dot or is empty), to be loaded as `dtype` onto `device`.
    pub(crate) fn under<'a>(&'a self, prefix: &str, dtype: DType, device: &'a Device) -> Scope<'a> {
        Scope { weights: self, prefix: prefix.to_string(), dtype, device }
    }

    fn describe(&self) -> PathBuf {
        match self.files.as_slice() {
            [one] => one.path.clone(),
            [first, ..] => first.path.parent().unwrap_or(&first.path).join("*.safetensors"),
            [] => PathBuf::new(),
        }
    }
}

/// A part of a checkpoint's names, as models walk them: one `pp` a segment.
#[derive(Debug, Clone)]
pub(crate) struct Scope<'a> {
    weights: &'a Weights,
    prefix: String,
    dtype: DType,
    device: &'a Device,
}

impl Scope<'_> {
    /// The scope one segment deeper.
    pub(crate) fn pp(&self, segment: impl std::fmt::Display) -> Self {
        Self { prefix: format!("{}{segment}.", self.prefix), ..self.clone() }
    }

    /// Loads a tensor, which must have this shape.
    pub(crate) fn get(&self, shape: &[usize], name: &str) -> Result<Tensor, LoadError> {
        let name = format!("{}{name}", self.prefix);
        let Some(entry) = self.weights.entries.get(&name) else {
            let path = self.weights.describe();
            return Err(LoadError::MissingTensor { path, tensor: name, expected: shape.to_vec() });
        };
        let file = &self.weights.files[entry.file];
        let path = || file.path.clone();
        if entry.shape != shape {
            let (found, expected) = (entry.shape.clone(), shape.to_vec());
            return Err(LoadError::TensorShape { path: path(), tensor: name, found, expected });
        }
        let dtype = match entry.dtype {
            Dtype::F32 => DType::F32,
            Dtype::BF16 => DType::BF16,
            Dtype::F16 => DType::F16,
            other => {
                let reason = format!("tensor {name} is {other:?}, expected f32, bf16 or f16");
                return Err(LoadError::Weights { path: path(), reason });
            }
        };
        let bytes = &file.bytes()[entry.range.0..entry.range.1];
        Tensor::from_raw_buffer(bytes, dtype, shape, self.device)
            .and_then(|t| t.to_dtype(self.dtype))
            .map_err(|source| LoadError::Candle { path: path(), source })
    }
}
