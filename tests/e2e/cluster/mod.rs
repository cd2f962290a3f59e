//! A cluster of real processes on loopback.

mod faults;
mod roles;
mod suite;
mod support;
