//! Sessions, tables by file name, results, and the `tamis` command.
//!
//! [`session`] is the only place a session is built: the command, the server and the tests all come through it.

pub mod cli;
mod error;
mod known_scores;
pub mod output;
pub mod session;
pub mod statements;
pub mod stores;
pub mod tables;

pub use error::{EngineError, Place};
