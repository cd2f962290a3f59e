//! Queries with model calls, run as a session runs them: how often a row is scored, and that the answers are those of
//! the plain functions.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod fetch;
#[cfg(test)]
mod fewer;
#[cfg(test)]
mod once;
#[cfg(test)]
mod random;
#[cfg(test)]
mod session;
