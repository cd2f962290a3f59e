//! The SQL functions over models and images, and the runtime that runs the models.
//!
//! Knows DataFusion's expressions, not its plans: a session registers [`functions::all`] and the options of
//! [`options::TamisOptions`]; the planner asks [`calls`] which functions run a model, turns their calls into plan nodes
//! and scores rows through [`runtime::Scoring`]. A call that stays where it is goes through the same runtime.
//!
//! ```
//! use datafusion::prelude::{SessionConfig, SessionContext};
//! use tamis_udfs::{functions, options::TamisOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! let config = SessionConfig::new().with_option_extension(TamisOptions::default());
//! let session = SessionContext::new_with_config(config);
//! for function in functions::all() {
//!     session.register_udf(function.as_ref().clone());
//! }
//! session.sql("SELECT unifilter_error('no/such/picture.jpg', 'a cat')").await?.collect().await?;
//! # Ok(())
//! # }
//! ```

pub mod cache;
pub mod calls;
pub mod columns;
mod error;
mod fetch;
pub mod functions;
pub mod options;
pub mod reach;
pub mod runtime;
pub mod shown;
pub mod web;

pub use error::{Error, ForwardError};
