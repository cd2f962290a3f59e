//! Sessions, tables by file name, results, and the `tamis` command.
//!
//! [`session`] is the only place a session is built: the command, the server and the tests all come through it.

mod access;
pub mod cli;
mod cluster;
mod config;
mod counts;
mod error;
mod flight;
mod known_scores;
mod net;
pub mod output;
mod rest;
pub mod session;
mod stand_in;
pub mod statements;
pub mod stores;
pub mod tables;

pub use error::{EngineError, Place};
