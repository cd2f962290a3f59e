//! The SQL functions over models and images, and the runtime that runs the models.
//!
//! Knows DataFusion's expressions, not its plans.

pub mod calls;
pub mod columns;
mod error;
mod fetch;
pub mod functions;
pub mod options;
pub mod runtime;

pub use error::{Error, ForwardError};
