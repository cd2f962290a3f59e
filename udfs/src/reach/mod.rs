//! What the queries of a session may reach: files and URLs, models, addresses.
//!
//! Everything, as a rule: on one's own machine a query may do what its user may. A server limits it for its users. The limits are
//! an option of the session (`tamis.access`), so that they travel with each task; whatever opens something asks them before.

mod place;
mod refused;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::config::ConfigOptions;
use datafusion::prelude::SessionConfig;
use serde::{Deserialize, Serialize};

use crate::options::TamisOptions;
use crate::web::Addresses;
pub use place::Place;
use place::{Asked, Location, located, resolved};
pub use refused::Refused;

/// What the queries of a session may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach(Option<Arc<Rules>>);

/// What those may reach who may not reach everything. Without a rule: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Where files may be read.
    pub read: Vec<Place>,
    /// Where files may be written.
    pub write: Vec<Place>,
    /// Where the files of tables lie that may be read by the tables' names.
    pub tables: Vec<Place>,
    /// Which models may be run.
    pub models: Models,
    /// Hosts and ranges of addresses that may be asked besides public ones, as [`Allowed`](crate::web::Allowed) reads them.
    pub addresses: Vec<String>,
}

/// Which models may be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Models {
    /// Those that the session has a name for, and those that lie at these places, which its server has named.
    Named(Vec<String>),
    /// Whatever a query names.
    Any,
}

impl Default for Models {
    fn default() -> Self {
        Self::Named(vec![])
    }
}

/// Whether this process has sessions that may not reach everything.
static HAS_LIMITS: AtomicBool = AtomicBool::new(false);

/// Lets calls that come without a session's options reach nothing from now on. DataFusion evaluates some calls so while it plans: in a
/// process with sessions that may not reach everything, they may be a query's that may not.
pub fn limit_calls_without_session() {
    HAS_LIMITS.store(true, Ordering::Relaxed);
}

/// Whether a call comes without its session's options, and the session may be one that may not reach everything.
pub(crate) fn is_unknown(options: &ConfigOptions) -> bool {
    HAS_LIMITS.load(Ordering::Relaxed) && options.extensions.get::<TamisOptions>().is_none()
}

/// What the queries of a session may reach.
pub fn of(config: &SessionConfig) -> Reach {
    Reach::from_options(config.options())
}

/// Sets what the queries of a session may reach.
pub fn set(config: &mut SessionConfig, reach: Reach) {
    let extensions = &mut config.options_mut().extensions;
    if extensions.get::<TamisOptions>().is_none() {
        extensions.insert(TamisOptions::default());
    }
    if let Some(options) = extensions.get_mut::<TamisOptions>() {
        options.set_reach(reach);
    }
}

impl Reach {
    /// All that the process may.
    pub fn everything() -> Self {
        Self(None)
    }

    /// What the rules say and nothing else.
    pub fn limited(rules: Rules) -> Self {
        Self(Some(Arc::new(rules)))
    }

    /// That of a session with these options.
    pub fn from_options(options: &ConfigOptions) -> Self {
        let own = options.extensions.get::<TamisOptions>().map(|options| options.reach().clone());
        own.unwrap_or_else(Self::without_session)
    }

    /// That of a call that comes without a session's options.
    pub(crate) fn without_session() -> Self {
        match HAS_LIMITS.load(Ordering::Relaxed) {
            true => Self::limited(Rules::default()),
            false => Self::everything(),
        }
    }

    /// Whether nothing is refused.
    pub fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// The rules; `None`: everything may be reached.
    pub fn rules(&self) -> Option<&Rules> {
        self.0.as_deref()
    }

    /// The same and the files of tables, which were opened by the tables' names.
    pub fn with_tables(&self, tables: impl IntoIterator<Item = Place>) -> Self {
        self.changed(|rules| rules.tables.extend(tables))
    }

    /// The same and a model at a place that this process has chosen.
    pub fn with_model(&self, place: &str) -> Self {
        self.changed(|rules| {
            if let Models::Named(places) = &mut rules.models {
                places.push(place.to_string());
            }
        })
    }

    fn changed(&self, change: impl FnOnce(&mut Rules)) -> Self {
        Self(self.0.as_ref().map(|rules| {
            let mut rules = Rules::clone(rules);
            change(&mut rules);
            Arc::new(rules)
        }))
    }

    /// Whether the table of this name may be read: a path, a pattern or a URL.
    pub fn may_read(&self, name: &str) -> Result<(), Refused> {
        let Some(rules) = self.rules() else { return Ok(()) };
        let is_allowed = is_in(&rules.read, Asked::of_pattern(name).as_ref());
        if is_allowed { Ok(()) } else { Err(Refused::Read { name: name.into() }) }
    }

    /// Whether one file may be read: a path or a URL.
    pub fn may_read_file(&self, name: &str) -> Result<(), Refused> {
        let Some(rules) = self.rules() else { return Ok(()) };
        let is_allowed = is_in(&rules.read, Asked::of(name).as_ref());
        if is_allowed { Ok(()) } else { Err(Refused::Read { name: name.into() }) }
    }

    /// Whether a file of a table may be read: its path in the store of this URL.
    pub fn may_read_location(&self, store: &str, path: &str) -> Result<(), Refused> {
        let Some(rules) = self.rules() else { return Ok(()) };
        let is_allowed = match located(store, path) {
            None => false,
            Some(Ok(path)) => {
                let asked = resolved(&path).map(|path| Asked::Here(vec![path]));
                is_in(&rules.read, asked.as_ref()) || has(&rules.tables, &Location::Here(path))
            }
            Some(Err(asked)) => is_in(&rules.read, Some(&asked)) || has(&rules.tables, &Location::There(&asked)),
        };
        let name = || match store {
            "file:///" | "file://" => PathBuf::from("/").join(path).display().to_string(),
            store => format!("{}/{path}", store.trim_end_matches('/')),
        };
        if is_allowed { Ok(()) } else { Err(Refused::Read { name: name() }) }
    }

    /// Whether a file of a table may be read that lies behind a URL.
    pub fn may_read_url(&self, url: &str) -> Result<(), Refused> {
        let Some(rules) = self.rules() else { return Ok(()) };
        let asked = Asked::of(url);
        let is_allowed = is_in(&rules.read, asked.as_ref()) || is_in(&rules.tables, asked.as_ref());
        if is_allowed { Ok(()) } else { Err(Refused::Read { name: url.into() }) }
    }

    /// Whether a file may be written: a path or a URL.
    pub fn may_write(&self, name: &str) -> Result<(), Refused> {
        let Some(rules) = self.rules() else { return Ok(()) };
        let is_allowed = is_in(&rules.write, Asked::of(name).as_ref());
        if is_allowed { Ok(()) } else { Err(Refused::Write { name: name.into() }) }
    }

    /// Whether the model at a place may be run, which the session has no name for.
    pub fn may_run(&self, place: &str) -> Result<(), Refused> {
        match self.rules().map(|rules| &rules.models) {
            Some(Models::Named(places)) if !places.iter().any(|known| known == place) => {
                Err(Refused::Model { name: place.into() })
            }
            _ => Ok(()),
        }
    }

    /// Which hosts may be asked for what lies behind URLs.
    pub fn addresses(&self) -> Addresses {
        match self.rules() {
            None => Addresses::Any,
            Some(rules) => Addresses::Public(rules.addresses.iter().filter_map(|text| text.parse().ok()).collect()),
        }
    }

    /// The same for the files of tables: those of tables that have names are asked for where they lie.
    pub fn addresses_of_tables(&self) -> Addresses {
        let Addresses::Public(mut allowed) = self.addresses() else { return Addresses::Any };
        let tables = self.rules().map(|rules| rules.tables.as_slice()).unwrap_or_default();
        for host in tables.iter().filter_map(|table| table.web_host()?.parse().ok()) {
            if !allowed.contains(&host) {
                allowed.push(host);
            }
        }
        Addresses::Public(allowed)
    }
}

fn is_in(places: &[Place], asked: Option<&Asked>) -> bool {
    asked.is_some_and(|asked| places.iter().any(|place| place.holds(asked)))
}

fn has(places: &[Place], found: &Location<'_>) -> bool {
    places.iter().any(|place| place.has(found))
}
