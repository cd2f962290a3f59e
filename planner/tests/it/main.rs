//! Queries with model calls, run as a session runs them: how often a row is scored, and that the answers are those of
//! the plain functions.

mod bounds;
mod once;
mod session;
