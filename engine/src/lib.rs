//! Sessions: SQL in, rows out, in one process.
//!
//! [`session`] is the only place a session is built: the command, the cluster and the tests all come through it.

pub mod counts;
mod data;
mod error;
mod known_scores;
pub mod session;
pub mod stand_in;
pub mod statements;

pub use error::EngineError;
