//! A cluster of any size: Ballista's scheduler and executors with our functions, nodes, stores and options, and Flight SQL.
//!
//! [`server`] is the process that clients ask: it plans and hands out tasks. [`executor`] runs them. `tamis serve` is one of
//! each in one process. [`flight::client`] is how the command asks a server.

pub mod access;
mod codec;
mod error;
pub mod executor;
pub mod flight;
mod gather;
mod models;
pub mod net;
mod opaque;
pub mod queries;
mod scheduler;
mod secret;
pub mod server;
mod session;
mod wire;

pub use error::ClusterError;

/// The largest message between the processes of a cluster, in bytes: a plan with all its files, a batch of results.
const MESSAGE_BYTES: usize = 256 << 20;
