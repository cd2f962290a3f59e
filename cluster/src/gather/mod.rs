//! A query's plan on a cluster: the maps over a scan's partitions are tasks of executors, all else runs in this process.
//!
//! The plan is the one that a single process would run, and stays so: where a task ends, its rows take the place of the partition
//! that they are. So the answer is one process' answer, whatever the plan's shape (docs/adr/0013).

mod cut;
mod fed;
mod part;
mod places;
mod query;
mod run;
mod settle;
mod spool;

pub(crate) use cut::{cut, sorted_last};
pub(crate) use query::{News, Query};
pub(crate) use settle::settle;
