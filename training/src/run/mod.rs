//! A training from its first step to its last.

mod evaluation;
mod metrics;
mod report;
mod tensorboard;
mod trainer;

pub use evaluation::Evaluated;
pub use metrics::{Metrics, Step};
pub use report::write_report;
pub use trainer::{Ended, Event, Plan, Trainer};
