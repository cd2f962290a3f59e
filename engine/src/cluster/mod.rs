//! A cluster of any size: Ballista's scheduler and executors with our functions, nodes, stores and options.
//!
//! The scheduler plans and hands out tasks; executors run them. `tamis serve` is one of each in one process.

mod catalog;
mod control;
pub(crate) mod executor;
mod models;
mod own;
mod planner;
mod policy;
pub(crate) mod scheduler;
mod stages;
mod status;
mod stoppable;
mod tasks;
mod transient;
mod watch;
mod wire;

use std::sync::Arc;

use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use tamis_planner::codec::{FetchNodes, NodeCodec, PlanCodec, ScoreNodes};

pub(crate) use catalog::Catalog;
pub(crate) use executor::ExecutorSettings;
pub(crate) use models::ModelsWanted;
pub(crate) use scheduler::{BallistaScheduler, Scheduler, SchedulerSettings};
pub(crate) use tasks::received;
pub(crate) use watch::{Lost, Watch};

use crate::tables::codec::{RowReaders, ScanNodes};
use wire::{LogicalBytes, PhysicalBytes};

/// The largest message between the processes of a cluster, in bytes: a plan with all its files, a batch of results.
pub(crate) const MESSAGE_BYTES: usize = 256 << 20;

/// How plans travel.
pub(crate) fn codec() -> BallistaCodec<LogicalBytes, PhysicalBytes> {
    BallistaCodec::new(Arc::new(BallistaLogicalExtensionCodec::default()), physical_codec())
}

fn physical_codec() -> Arc<dyn PhysicalExtensionCodec> {
    let kinds: Vec<Arc<dyn NodeCodec>> =
        vec![Arc::new(ScoreNodes::default()), Arc::new(FetchNodes::new(Arc::new(RowReaders))), Arc::new(ScanNodes)];
    Arc::new(PlanCodec::new(kinds, Arc::new(BallistaPhysicalExtensionCodec::default())))
}
