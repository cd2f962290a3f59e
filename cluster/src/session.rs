//! The sessions of a cluster: a scheduler's, and what an executor begins a task's with.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use ballista_core::config::BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK;
use ballista_core::extension::SessionConfigExt;
use ballista_core::registry::BallistaFunctionRegistry;
use datafusion::error::DataFusionError;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::optimizer::Optimizer;
use datafusion::prelude::{SessionConfig, SessionContext};
use parking_lot::Mutex;
use tamis_engine::EngineError;
use tamis_engine::session::{SessionParts, base_config, build, with_options};
use tamis_udfs::reach::Reach;
use tamis_udfs::web::Addresses;

use crate::MESSAGE_BYTES;
use crate::net::Link;

/// Into so many partitions a cluster's queries are cut, where nothing else says into how many: Ballista's own default.
const PARTITIONS: usize = 16;

/// The configuration of the sessions of a cluster.
pub(crate) fn cluster_config(options: &[(String, String)], link: &Link) -> Result<SessionConfig, EngineError> {
    let base = base_config();
    let planning = base.options().optimizer.clone();
    let mut config = base
        .upgrade_for_ballista()
        .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES)
        .with_ballista_override_create_grpc_client_endpoint(link.customizer());
    // Plans are those of one process, but that a scan's rows stay in its partitions: so far executors run them.
    config.options_mut().optimizer = planning;
    let config = config.with_round_robin_repartition(false);
    // A task is what is tried again when it fails, and what an executor takes when it is free: one partition of a scan.
    let config = config.set_usize(BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK, 1).with_target_partitions(PARTITIONS);
    with_options(config, options)
}

/// A session whose queries the cluster runs. It plans; nothing is executed in it but statements about the session itself.
pub(crate) fn cluster_session(
    id: &str,
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
    planner: Arc<dyn QueryPlanner + Send + Sync>,
) -> SessionContext {
    build(SessionParts { config, runtime, rules: Optimizer::new().rules, planner, id: Some(id.into()) })
}

/// What a process' queries share: object stores, memory of so many bytes, and a folder for what spills.
pub(crate) fn runtime(memory: Option<usize>, spilled: Option<PathBuf>) -> Result<Arc<RuntimeEnv>, EngineError> {
    let mut runtime = RuntimeEnvBuilder::from_runtime_env(tamis_files::runtime()?.as_ref());
    if let Some(folder) = spilled {
        runtime = runtime.with_temp_file_path(folder);
    }
    if let Some(bytes) = memory {
        runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
    }
    Ok(runtime.build_arc()?)
}

/// What queries share, for each policy of addresses that they may ask.
#[derive(Debug)]
pub(crate) struct Runtimes {
    any: Arc<RuntimeEnv>,
    within: Mutex<HashMap<Addresses, Arc<RuntimeEnv>>>,
}

/// There are as many policies as grants; beyond so many, start afresh.
const MOST_POLICIES: usize = 256;

impl Runtimes {
    /// Of queries that may ask any address; others have all but the stores in common with them.
    pub(crate) fn new(any: Arc<RuntimeEnv>) -> Self {
        Self { any, within: Mutex::default() }
    }

    /// That of queries that may reach so much.
    pub(crate) fn within(&self, reach: &Reach) -> Result<Arc<RuntimeEnv>, DataFusionError> {
        let addresses = reach.addresses_of_tables();
        if addresses == Addresses::Any {
            return Ok(Arc::clone(&self.any));
        }
        let mut within = self.within.lock();
        if let Some(known) = within.get(&addresses) {
            return Ok(Arc::clone(known));
        }
        let made = tamis_files::runtime_within(&self.any, addresses.clone())?;
        if within.len() >= MOST_POLICIES {
            within.clear();
        }
        within.insert(addresses, Arc::clone(&made));
        Ok(made)
    }
}

/// What an executor knows of functions: all that a session does.
pub(crate) fn function_registry() -> Result<BallistaFunctionRegistry, EngineError> {
    let (config, planner) = (cluster_config(&[], &Link::default())?, tamis_planner::query_planner());
    Ok((&cluster_session("functions", config, tamis_files::runtime()?, planner).state()).into())
}
