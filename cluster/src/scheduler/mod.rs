//! Ballista's scheduler as it is used here: how it plans, which executor gets which task, and the watch over executors.

mod ballista;
mod catalog;
mod policy;
mod slots;
mod watch;

pub(crate) use ballista::{BallistaScheduler, Scheduler};
pub(crate) use catalog::Catalog;
pub(crate) use policy::ByModel;
pub(crate) use watch::{Lost, Watch};
