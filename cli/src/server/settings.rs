//! From a configuration to what servers are started with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tamis_cluster::access::{Access, AccessSettings, Secret};
use tamis_cluster::executor::ExecutorSettings;
use tamis_cluster::net::{ClientTls, Endpoint, Link, ServerTls};
use tamis_cluster::server::SchedulerSettings;

use super::config::{Config, TlsConfig};
use crate::error::CommandError;
use crate::remembered;

/// Where a server listens if nothing else is said.
const BIND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50050);
/// Where an executor looks for its scheduler if nothing else is said.
const SCHEDULER: &str = "http://127.0.0.1:50050";
const KEEP_RESULTS: u64 = 600;
const DRAIN: u64 = 60;
const SESSION: u64 = 12 * 60 * 60;

/// What a process is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Both,
    Scheduler,
    Executor,
}

/// A configuration that has been looked through.
pub(super) struct Server {
    role: Role,
    config: Config,
    link: Link,
    tls: Option<ServerTls>,
    access: Arc<Access>,
}

impl Server {
    pub(super) fn new(mut config: Config, role: Role) -> Result<Self, CommandError> {
        let TlsConfig { certificate, key, authority } = &config.tls;
        let own = match (certificate.as_deref(), key.as_deref()) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(CommandError::Usage("tls.certificate and tls.key come together".into())),
        };
        let tls = own.map(|(certificate, key)| ServerTls::read(certificate, key, authority.as_deref())).transpose()?;
        // The processes of one cluster talk to each other as they talk to clients; one process talks to itself.
        let client = match (role, own) {
            (Role::Both, _) => None,
            (Role::Executor, None) if authority.is_none() => None,
            (_, None) if authority.is_none() => None,
            (_, own) => Some(client_tls(authority.as_deref(), own)?),
        };
        let has_limits = !config.users.is_empty() || config.access.is_some();
        if role == Role::Both && config.cluster.secret.is_none() && (has_limits || tls.is_some()) {
            // The executor is in this process: nobody else need know the secret.
            config.cluster.secret = Some(Secret::random()?);
        }
        let by_certificate = role != Role::Both && authority.is_some();
        let session = Duration::from_secs(config.session.unwrap_or(SESSION));
        let secret = config.cluster.secret.clone();
        let (users, rules) = (config.users.as_slice(), config.access.as_ref());
        let settings = AccessSettings { users, rules, secret: secret.clone(), by_certificate, session };
        let access = Access::new(settings)?;
        if role == Role::Scheduler && access.has_limits() && !access.knows_members() {
            return Err(CommandError::Usage(
                "there are users or [access], but nothing tells the cluster's own processes from others: set cluster.secret \
                 (TAMIS_CLUSTER_SECRET) or tls.authority here and for the executors"
                    .into(),
            ));
        }
        let link = Link { tls: client, secret };
        Ok(Self { role, config, link, tls, access: Arc::new(access) })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn drain(&self) -> Duration {
        Duration::from_secs(self.config.drain.unwrap_or(DRAIN))
    }

    fn is_insecure(&self) -> bool {
        self.config.insecure.unwrap_or(false)
    }

    pub(super) fn scheduler(&self) -> Result<SchedulerSettings, CommandError> {
        let bind = match &self.config.bind {
            Some(text) => text.parse().map_err(|e| {
                CommandError::Usage(format!("bind = {text}: {e}; write ADDRESS:PORT, such as 127.0.0.1:50050"))
            })?,
            None => BIND,
        };
        if !bind.ip().is_loopback() && !self.access.knows_users() && !self.is_insecure() {
            return Err(CommandError::Usage(format!(
                "listening at {bind}: others reach this address, and nobody is asked for credentials; add users to the \
                 configuration (see `tamis user --help`), or say --insecure"
            )));
        }
        Ok(SchedulerSettings {
            bind,
            link: self.link.clone(),
            tls: self.tls.clone(),
            is_alone: self.role == Role::Both,
            access: Arc::clone(&self.access),
            options: self.options(),
            tables: self.config.tables.clone().into_iter().collect(),
            memory: self.config.memory,
            keep_results: Duration::from_secs(self.config.keep_results.unwrap_or(KEEP_RESULTS)),
            limits: self.config.limits.limits(self.access.knows_users())?,
        })
    }

    /// The executor of `tamis serve`, whose scheduler is in the same process.
    pub(super) fn own_executor(&self, scheduler: &Endpoint) -> Result<ExecutorSettings, CommandError> {
        let bind = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Ok(self.executor_at(scheduler.clone(), bind, None, None))
    }

    /// The executor of `tamis executor`.
    pub(super) fn executor(&self) -> Result<ExecutorSettings, CommandError> {
        let url = self.config.scheduler.as_deref().unwrap_or(SCHEDULER);
        let scheduler: Endpoint =
            url.parse().map_err(|reason| CommandError::Usage(format!("the scheduler: {reason}")))?;
        if scheduler.is_tls && self.link.tls.is_none() {
            return Err(CommandError::Usage(format!(
                "the scheduler {scheduler} is asked over TLS: give --tls-authority, the certificate of the authority that \
                 has signed its certificate"
            )));
        }
        let bind = match &self.config.bind {
            Some(text) => text
                .parse()
                .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)))
                .map_err(|e| CommandError::Usage(format!("bind = {text}: {e}; write an address, or ADDRESS:PORT")))?,
            None => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
        };
        if !bind.ip().is_loopback() && !self.access.knows_members() && !self.is_insecure() {
            return Err(CommandError::Usage(format!(
                "listening at {bind}: others reach this address, and nobody is asked what they are; set cluster.secret \
                 (TAMIS_CLUSTER_SECRET) or tls.authority, or say --insecure"
            )));
        }
        if bind.ip().is_unspecified() && self.config.advertise.is_none() {
            return Err(CommandError::Usage(format!(
                "listening at {bind}, which is every address: say with --advertise under which one the others find this \
                 executor"
            )));
        }
        Ok(self.executor_at(scheduler, bind, self.config.advertise.clone(), self.tls.clone()))
    }

    fn executor_at(
        &self,
        scheduler: Endpoint,
        bind: SocketAddr,
        advertised: Option<String>,
        tls: Option<ServerTls>,
    ) -> ExecutorSettings {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        ExecutorSettings {
            scheduler,
            link: self.link.clone(),
            tls,
            access: Arc::clone(&self.access),
            bind: bind.ip(),
            advertised,
            port: bind.port(),
            slots: self.config.slots.unwrap_or(processors).max(1),
            work_dir: self.config.work_dir.clone(),
            memory: self.config.memory,
            options: self.options(),
        }
    }

    fn options(&self) -> Vec<(String, String)> {
        let mut options = self.config.session_options();
        options.splice(0..0, remembered::option());
        options
    }
}

/// What a client trusts and shows.
pub(crate) fn client_tls(authority: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<ClientTls, CommandError> {
    Ok(ClientTls::read(authority, own)?)
}
