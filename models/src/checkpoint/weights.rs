//! Tensors of a checkpoint by name, memory-mapped, with errors that name file, tensor and shape.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use crate::LoadError;
use crate::kernels::{Source, Stored};

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
        self.bytes.all()
    }
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Static(&'static [u8]),
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Static(bytes) => bytes,
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    /// The tensor's bytes within its file.
    range: (usize, usize),
}

/// A tensor's numbers, whatever they are stored as.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor {
    /// In f32, the last dimension's one behind the other.
    pub values: Vec<f32>,
    /// Its dimensions.
    pub shape: Vec<usize>,
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

    /// A tensor's numbers, if there is one of this name.
    pub fn values(&self, name: &str) -> Result<Option<StoredTensor>, LoadError> {
        let Some(shape) = self.shape(name).map(<[usize]>::to_vec) else { return Ok(None) };
        let matrix = self.under("").matrix(&shape, name)?;
        Ok(Some(StoredTensor { values: matrix.to_vec(), shape }))
    }

    /// The tensors below `prefix` (which ends in a dot or is empty).
    pub(crate) fn under(&self, prefix: &str) -> Scope<'_> {
        Scope { weights: self, prefix: prefix.to_string() }
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
}

/// A tensor where it lies, checked: [rows, columns].
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    bytes: Arc<Bytes>,
    range: (usize, usize),
    stored: Stored,
    columns: usize,
}

impl Matrix {
    /// Its numbers.
    pub(crate) fn source(&self) -> Source<'_> {
        Source::new(self.stored, &self.bytes.all()[self.range.0..self.range.1], self.columns)
    }
}

impl<'a> Scope<'a> {
    /// The scope one segment deeper.
    pub(crate) fn pp(&self, segment: impl std::fmt::Display) -> Self {
        Self { prefix: format!("{}{segment}.", self.prefix), ..self.clone() }
    }

    /// A tensor of this shape, as a matrix of its first dimension by all others.
    pub(crate) fn matrix(&self, shape: &[usize], name: &str) -> Result<Source<'a>, LoadError> {
        let (file, stored, entry) = self.find(shape, name)?;
        let columns = shape.iter().skip(1).product();
        Ok(Source::new(stored, &file.bytes()[entry.range.0..entry.range.1], columns))
    }

    /// The same, to be kept beyond the loading of the model: it holds its file.
    pub(crate) fn kept(&self, shape: &[usize], name: &str) -> Result<Matrix, LoadError> {
        let (file, stored, entry) = self.find(shape, name)?;
        let columns = shape.iter().skip(1).product();
        Ok(Matrix { bytes: Arc::clone(&file.bytes), range: entry.range, stored, columns })
    }

    /// A tensor of one dimension, in f32.
    pub(crate) fn vector(&self, length: usize, name: &str) -> Result<Vec<f32>, LoadError> {
        let (file, stored, entry) = self.find(&[length], name)?;
        Ok(Source::new(stored, &file.bytes()[entry.range.0..entry.range.1], length).to_vec())
    }

    /// The weights [outputs, inputs] of layers that read the same inputs, and their biases, if they have any, one behind the other.
    pub(crate) fn stacked(
        &self,
        layers: &[(&str, usize)],
        inputs: usize,
        has_bias: bool,
    ) -> Result<(Vec<Source<'a>>, Option<Vec<f32>>), LoadError> {
        let weights = layers.iter().map(|(name, outputs)| self.pp(name).matrix(&[*outputs, inputs], "weight"));
        let weights = weights.collect::<Result<_, _>>()?;
        if !has_bias {
            return Ok((weights, None));
        }
        let mut biases = Vec::new();
        for (name, outputs) in layers {
            biases.extend(self.pp(name).vector(*outputs, "bias")?);
        }
        Ok((weights, Some(biases)))
    }

    /// The tensor of this name, which must have this shape: its file, dtype and place.
    fn find(&self, shape: &[usize], name: &str) -> Result<(&'a WeightsFile, Stored, &'a Entry), LoadError> {
        let name = format!("{}{name}", self.prefix);
        let weights: &'a Weights = self.weights;
        let Some(entry) = weights.entries.get(&name) else {
            let path = weights.describe();
            return Err(LoadError::MissingTensor { path, tensor: name, expected: shape.to_vec() });
        };
        let file = &weights.files[entry.file];
        let path = || file.path.clone();
        if entry.shape != shape {
            let (found, expected) = (entry.shape.clone(), shape.to_vec());
            return Err(LoadError::TensorShape { path: path(), tensor: name, found, expected });
        }
        match entry.dtype {
            Dtype::F32 => Ok((file, Stored::F32, entry)),
            Dtype::BF16 => Ok((file, Stored::Bf16, entry)),
            Dtype::F16 => Ok((file, Stored::F16, entry)),
            other => {
                let reason = format!("tensor {name} is {other:?}, expected f32, bf16 or f16");
                Err(LoadError::Weights { path: path(), reason })
            }
        }
    }
}
