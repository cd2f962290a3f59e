//! A cluster of any size: Ballista's scheduler and executors with our functions, nodes, stores and options.
//!
//! The scheduler plans and hands out tasks; executors run them. `tamis serve` is one of each in one process.

mod executor;
mod own;
mod stages;
mod status;
mod stoppable;
mod tasks;
mod transient;

use std::sync::Arc;

use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tamis_planner::codec::{FetchNodes, PlanCodec, ScoreNodes};

use crate::tables::codec::{RowReaders, ScanNodes};

/// The largest message between the processes of a cluster, in bytes: a plan with all its files, a batch of results.
pub(crate) const MESSAGE_BYTES: usize = 256 << 20;

/// How plans travel.
pub(crate) fn codec() -> BallistaCodec<LogicalPlanNode, PhysicalPlanNode> {
    let kinds: Vec<Arc<dyn tamis_planner::codec::NodeCodec>> = vec![
        Arc::new(ScoreNodes::default()),
        Arc::new(FetchNodes::new(Arc::new(RowReaders))),
        Arc::new(ScanNodes),
    ];
    let physical = PlanCodec::new(kinds, Arc::new(BallistaPhysicalExtensionCodec::default()));
    BallistaCodec::new(Arc::new(BallistaLogicalExtensionCodec::default()), Arc::new(physical))
}
