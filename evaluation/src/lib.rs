//! How well scores agree with the labels that people gave, and how sure that is.
//!
//! Knows numbers, not where they come from: a [`Table`] of labels and of columns of scores goes in, a [`Report`] of figures
//! comes out, which is JSON, Markdown or [`pictures`]. All figures are functions of [`Counts`]: how many rows of each label
//! there are at each score. A resample of the bootstrap changes the counts and nothing else, so that it costs one pass.
//!
//! ```
//! use tamis_evaluation::{Bootstrap, Column, Figure, Table, evaluate};
//!
//! let column = Column { name: "quality".into(), scores: vec![0.2, 1.7, 2.9, f64::NAN] };
//! let table = Table { labels: vec![0, 2, 3, 3], columns: vec![column], ..Table::default() };
//! let report = evaluate(&table, Bootstrap::default())?;
//! let (name, quality) = &report.columns[0];
//! assert_eq!((name.as_str(), quality.all.rows, quality.all.unscored), ("quality", 3, 1));
//! assert_eq!(quality.all.figures.get(Figure::Accuracy), Some(1.0));
//! # Ok::<(), tamis_evaluation::EvaluationError>(())
//! ```

mod bootstrap;
mod calibration;
mod classes;
mod counts;
mod curve;
mod error;
mod evaluate;
mod figures;
pub mod pictures;
mod ranks;
mod report;
mod roc;
mod summaries;
mod table;
mod thin;

pub use bootstrap::{Bootstrap, ByFigure, Difference, Interval};
pub use calibration::{Bin, Calibration};
pub use classes::Confusion;
pub use counts::{Counts, LEVELS, Sample, level};
pub use curve::Kept;
pub use error::EvaluationError;
pub use evaluate::evaluate;
pub use figures::{Figure, Figures};
pub use report::{Comparison, Evaluation, Group, Report, Summary};
pub use roc::Rates;
pub use table::{Column, Groups, Table};
