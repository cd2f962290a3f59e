//! The passes over a picture that comes in bands.

use super::plan::{Axis, Weights};
use super::{Backend, Filter, Rgb, Rows};

/// Rows that go through both passes at once.
pub(in super::super) const BAND: usize = 16;

/// Resizes a picture that is given row by row, from the top: `new`, `push` until all rows were given, `finish`.
pub(in super::super) struct Resizer {
    backend: Backend,
    row_bytes: usize,
    out: (u32, u32),
    /// None if the width stays.
    columns: Option<Columns>,
    /// None if the height stays.
    rows: Option<Descent>,
    /// What is finished.
    pixels: Vec<u8>,
}

/// The weights of the horizontal pass.
struct Columns {
    axis: Axis,
    /// The first block of them: nearly always the only one.
    block: Weights,
}

/// How far the vertical pass is.
struct Descent {
    axis: Axis,
    /// The block of weights that it is in.
    block: Weights,
    /// Rows of the horizontal pass that are still wanted.
    rows: Vec<u8>,
    /// The place of the first of them.
    first: usize,
}

impl Resizer {
    /// For a picture of `source` pixels (width, height) that is to have `out` pixels.
    pub(in super::super) fn new(source: (u32, u32), out: (u32, u32), filter: Filter) -> Self {
        Self::with(Backend::best(), source, out, filter)
    }

    pub(super) fn with(backend: Backend, source: (u32, u32), out: (u32, u32), filter: Filter) -> Self {
        let nothing = [source.0, source.1, out.0, out.1].contains(&0);
        let axis = |source: u32, out: u32| {
            (source != out && !nothing).then(|| Axis::new(source as usize, out as usize, filter))
        };
        let columns = axis(source.0, out.0).map(|axis| Columns { block: axis.block(0), axis });
        let rows = axis(source.1, out.1).map(|axis| Descent { block: axis.block(0), axis, rows: Vec::new(), first: 0 });
        let pixels = Vec::with_capacity(out.0 as usize * out.1 as usize * 3);
        Self { backend, row_bytes: if nothing { 0 } else { source.0 as usize * 3 }, out, columns, rows, pixels }
    }

    /// Takes the next rows, whole ones. Of a picture without pixels, and for one, there are none.
    pub(in super::super) fn push(&mut self, rows: &[u8]) {
        if self.row_bytes == 0 {
            return;
        }
        for band in rows.chunks(BAND * self.row_bytes) {
            self.push_band(band);
        }
    }

    fn push_band(&mut self, band: &[u8]) {
        let narrowed = match &mut self.rows {
            Some(descent) => &mut descent.rows,
            None => &mut self.pixels,
        };
        match &self.columns {
            None => narrowed.extend_from_slice(band),
            Some(columns) => {
                let source = Rows { first: 0, row_bytes: self.row_bytes, pixels: band };
                let out_row_bytes = self.out.0 as usize * 3;
                let start = narrowed.len();
                narrowed.resize(start + band.len() / self.row_bytes * out_row_bytes, 0);
                let out = &mut narrowed[start..];
                columns.for_each(|weights| self.backend.horizontal(&source, weights, out_row_bytes, out));
            }
        }
        if let Some(descent) = &mut self.rows {
            descent.descend(self.backend, self.out.0 as usize * 3, &mut self.pixels);
        }
    }

    /// The resized picture. Rows that were not given leave zeros.
    pub(in super::super) fn finish(mut self) -> Rgb {
        let (width, height) = self.out;
        self.pixels.resize(width as usize * height as usize * 3, 0);
        Rgb { width, height, pixels: self.pixels }
    }
}

impl Columns {
    fn for_each(&self, mut pass: impl FnMut(&Weights)) {
        pass(&self.block);
        let mut next = self.block.end();
        while next < self.axis.output() {
            let block = self.axis.block(next);
            pass(&block);
            next = block.end();
        }
    }
}

impl Descent {
    /// Makes all output rows whose source rows are there, and forgets those that no other needs.
    fn descend(&mut self, backend: Backend, row_bytes: usize, out: &mut Vec<u8>) {
        let end = self.first + self.rows.len() / row_bytes;
        loop {
            let done = out.len() / row_bytes;
            if done == self.block.end() && done < self.axis.output() {
                self.block = self.axis.block(done);
            }
            let wanted = &self.block.windows[done - self.block.first..];
            let ready = wanted.iter().take_while(|window| window.start + window.len <= end).count();
            if ready == 0 {
                let first = wanted.first().map_or(end, |window| window.start.min(end));
                self.rows.drain(..(first - self.first) * row_bytes);
                self.first = first;
                return;
            }
            out.resize((done + ready) * row_bytes, 0);
            let source = Rows { first: self.first, row_bytes, pixels: &self.rows };
            backend.vertical(&source, &self.block, &wanted[..ready], &mut out[done * row_bytes..]);
        }
    }
}
