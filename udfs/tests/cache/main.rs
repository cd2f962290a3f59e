//! The score cache between real processes: this program starts itself again.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod child;
mod faults;
mod processes;
mod store;
