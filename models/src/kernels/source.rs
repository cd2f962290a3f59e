//! A matrix as a checkpoint has it.

/// How a checkpoint stores a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
}

impl Stored {
    /// Bytes of a number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }
}

/// A row-major matrix [rows, columns] in little-endian bytes, borrowed from where it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    stored: Stored,
    bytes: &'a [u8],
    columns: usize,
}

impl<'a> Source<'a> {
    /// A matrix of `bytes.len() / stored.bytes() / columns` rows.
    pub(crate) fn new(stored: Stored, bytes: &'a [u8], columns: usize) -> Self {
        Self { stored, bytes, columns }
    }

    /// How its numbers are stored.
    #[cfg(any(test, feature = "cuda"))]
    pub(crate) fn stored(&self) -> Stored {
        self.stored
    }

    /// Its bytes.
    #[cfg(any(test, feature = "cuda"))]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn rows(&self) -> usize {
        self.bytes.len() / self.stored.bytes() / self.columns.max(1)
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// One row as f32.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        let width = self.columns * self.stored.bytes();
        let bytes = &self.bytes[row * width..][..width];
        match self.stored {
            Stored::F32 => {
                for (value, b) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *value = f32::from_le_bytes(*b);
                }
            }
            Stored::Bf16 => {
                for (value, b) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *value = f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
                }
            }
            Stored::F16 => {
                for (value, b) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *value = half::f16::from_le_bytes(*b).to_f32();
                }
            }
        }
    }

    /// All of it as f32, row by row.
    pub(crate) fn to_vec(self) -> Vec<f32> {
        let mut values = vec![0.; self.rows() * self.columns];
        for (row, out) in values.chunks_mut(self.columns.max(1)).enumerate() {
            self.row(row, out);
        }
        values
    }
}
