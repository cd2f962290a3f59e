//! Samples of four levels from raw images: by rules, and from models behind servers on loopback.

mod batches;
mod model;
mod rules;
mod server;
