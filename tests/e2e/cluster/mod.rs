//! A cluster of real processes on loopback.

mod access;
mod faults;
mod random;
mod roles;
mod store;
mod suite;
pub(crate) mod support;
mod tls;
