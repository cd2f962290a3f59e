//! Which hosts files may be read from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use url::Host;

use super::public::is_public;

/// Which hosts files may be read from. Text of it: `any`, or `public` with what is allowed besides, `public, 10.0.0.0/8`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// All that the process reaches.
    #[default]
    Any,
    /// Hosts of the public internet, and those that are listed.
    Public(Vec<Allowed>),
}

/// A host or a range of addresses that may be read from although it is not public.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Allowed {
    /// An address, or a range of addresses: `192.168.1.5`, `10.0.0.0/8`.
    Range(IpNet),
    /// One host by name, wherever it lies: `intranet.example`.
    Host(String),
    /// All hosts below a name: `*.example.com`; kept without the star and its dot.
    Below(String),
}

/// Why a text names no host and no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a host; expected a range (10.0.0.0/8), an address (192.168.1.5), a name (intranet.example) \
     or all names below one (*.example.com)"
)]
pub struct NotAHost {
    text: String,
}

impl Addresses {
    /// Whether `host`, as a URL names it, may be read from at whatever address it has.
    pub(super) fn allows_host(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Public(allowed) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                allowed.iter().any(|entry| entry.names(&host))
            }
        }
    }

    /// Whether an address may be connected to.
    pub(super) fn allows_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Public(allowed) => is_public(address) || allowed.iter().any(|entry| entry.holds(address)),
        }
    }
}

impl Allowed {
    fn names(&self, host: &str) -> bool {
        match self {
            Self::Range(_) => false,
            Self::Host(name) => host == name,
            Self::Below(name) => {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }

    fn holds(&self, address: IpAddr) -> bool {
        match self {
            // An IPv4 address is the same host when it is written as an IPv6 one.
            Self::Range(range) => range.contains(&address) || range.contains(&address.to_canonical()),
            Self::Host(_) | Self::Below(_) => false,
        }
    }
}

impl FromStr for Allowed {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let wrong = || NotAHost { text: text.to_string() };
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Range(IpNet::from(address)));
        }
        if text.contains('/') {
            return text.parse().map(Self::Range).map_err(|_| wrong());
        }
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        match Host::parse(name.trim_end_matches('.')) {
            Ok(Host::Domain(name)) if !name.contains('*') && below => Ok(Self::Below(name)),
            Ok(Host::Domain(name)) if !name.contains('*') => Ok(Self::Host(name)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) if range.prefix_len() == range.max_prefix_len() => range.addr().fmt(f),
            Self::Range(range) => range.fmt(f),
            Self::Host(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

impl FromStr for Addresses {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let mut words = text.split(',').map(str::trim);
        match (words.next(), text.contains(',')) {
            (Some("any"), false) => Ok(Self::Any),
            (Some("public"), _) => Ok(Self::Public(words.map(str::parse).collect::<Result<_, _>>()?)),
            _ => Err(NotAHost { text: text.to_string() }),
        }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Public(allowed) => {
                f.write_str("public")?;
                allowed.iter().try_for_each(|entry| write!(f, ", {entry}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(allowed: &[&str]) -> Addresses {
        Addresses::Public(allowed.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn any_address_or_public_ones_alone() {
        assert!(Addresses::Any.allows_address(address("127.0.0.1")));
        assert!(public(&[]).allows_address(address("93.184.215.14")));
        assert!(!public(&[]).allows_address(address("127.0.0.1")));
        assert!(!public(&[]).allows_host("intranet.example"));
    }

    #[test]
    fn ranges_and_addresses_that_are_listed() {
        let addresses = public(&["10.0.0.0/8", "192.168.1.5", "fd00:1::/32"]);
        for text in ["10.1.2.3", "::ffff:10.1.2.3", "192.168.1.5", "fd00:1::9"] {
            assert!(addresses.allows_address(address(text)), "{text}");
        }
        for text in ["172.16.2.3", "192.168.1.6", "fd00:2::9", "127.0.0.1"] {
            assert!(!addresses.allows_address(address(text)), "{text}");
        }
    }

    #[test]
    fn names_that_are_listed() {
        let addresses = public(&["Intranet.example", "*.example.com"]);
        for host in ["intranet.example", "INTRANET.example.", "a.example.com", "a.b.example.com"] {
            assert!(addresses.allows_host(host), "{host}");
        }
        for host in ["example.com", "other.example", "x.intranet.example", "aexample.com", ".example.com", "10.0.0.1"] {
            assert!(!addresses.allows_host(host), "{host}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in ["any", "public", "public, 10.0.0.0/8, 192.168.1.5, fd00::/8, intranet.example, *.example.com"] {
            assert_eq!(text.parse::<Addresses>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_host_says_what_is() {
        for text in ["", "10.0.0.0/33", "http://x", "a b", "*", "*.*.com", "*.10.0.0.1", "host:80", "x/8"] {
            let error = text.parse::<Allowed>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is not a host; expected")), "{error}");
        }
        for text in ["", "none", "any, 10.0.0.0/8", "public,"] {
            assert!(text.parse::<Addresses>().is_err(), "{text}");
        }
    }
}
