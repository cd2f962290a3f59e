//! How plans travel between the processes of a cluster.

use std::sync::Arc;

use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use tamis_files::tables::codec::{RowReaders, ScanNodes};
use tamis_planner::codec::{FetchNodes, NodeCodec, PlanCodec, ScoreNodes};

use crate::wire::{LogicalBytes, PhysicalBytes};

/// How plans travel.
pub(crate) fn codec() -> BallistaCodec<LogicalBytes, PhysicalBytes> {
    BallistaCodec::new(Arc::new(BallistaLogicalExtensionCodec::default()), physical_codec())
}

/// How physical plans travel: our nodes, else Ballista's.
pub(crate) fn physical_codec() -> Arc<dyn PhysicalExtensionCodec> {
    let kinds: Vec<Arc<dyn NodeCodec>> =
        vec![Arc::new(ScoreNodes::default()), Arc::new(FetchNodes::new(Arc::new(RowReaders))), Arc::new(ScanNodes)];
    Arc::new(PlanCodec::new(kinds, Arc::new(BallistaPhysicalExtensionCodec::default())))
}
