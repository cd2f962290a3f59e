//! Products of matrices, by the crate that candle uses for its own.
#![expect(unsafe_code, reason = "the product takes pointers, into slices that are checked here")]

use gemm::Parallelism;

/// A matrix where it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `stride` numbers, of which the first `columns` are the matrix'.
    pub(super) fn strided(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows == 0 || values.len() >= (rows - 1) * stride + columns, "a matrix lies within its numbers");
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// [rows, columns], row by row.
    pub(super) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// Its transpose.
    pub(super) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Where a product goes: rows of `stride` numbers.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) stride: usize,
    /// Whether it is added to what is there.
    pub(super) adds: bool,
}

/// `target = scale * left * right`, or `target += ...`.
pub(super) fn product(target: Target<'_>, left: Matrix<'_>, right: Matrix<'_>, scale: f32, on: Parallelism) {
    assert_eq!(left.columns, right.rows, "the sides of a product fit");
    let (rows, columns) = (left.rows, right.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(target.values.len() >= (rows - 1) * target.stride + columns, "a product has room");
    // SAFETY: both sides were checked when they were made, and the target above; strides are those of the checks.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            left.columns,
            target.values.as_mut_ptr(),
            1,
            target.stride as isize,
            target.adds,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.,
            scale,
            false,
            false,
            false,
            on,
        );
    }
}

/// A product on all threads, [rows of left, columns of right].
pub(super) fn multiplied(left: Matrix<'_>, right: Matrix<'_>) -> Vec<f32> {
    let mut values = vec![0.; left.rows * right.columns];
    let target = Target { values: &mut values, stride: right.columns, adds: false };
    product(target, left, right, 1., Parallelism::Rayon(0));
    values
}
