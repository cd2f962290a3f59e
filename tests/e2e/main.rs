//! End-to-end tests: the `tamis` command on real files, a real object-store server, real checkpoints.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod bad_input;
mod cache;
mod cluster;
mod command;
mod dtypes;
mod eval;
mod fewer;
mod files;
mod hub;
mod late;
mod models;
mod object_store;
mod once;
mod support;
mod synth;
mod train;
