//! Why a file of the web could not be read.

use std::error::Error;
use std::io;
use std::net::IpAddr;

use http::StatusCode;

use super::client::{CONNECT, SILENCE};
use crate::shown::{name, text};

/// Why a file of the web could not be read. Messages do not name the URL: whoever shows one does.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// A URL of another kind, at the beginning or behind a redirect.
    #[error("{} is not an http or https URL", name(url))]
    Scheme {
        /// The URL.
        url: String,
    },
    /// A host that the policy of addresses does not allow.
    #[error("{}; an operator can allow it under [access] addresses", not_public(host, address))]
    NotPublic {
        /// The host as the URL names it.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// A name without an address.
    #[error("{} has no address: {reason}", name(host))]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver says.
        reason: String,
        /// Whether it may know more later.
        temporary: bool,
    },
    /// The server cannot be reached, or the connection broke.
    #[error("{reason}")]
    Connection {
        /// What happened.
        reason: String,
    },
    /// A request that cannot be sent, or a client that cannot be made.
    #[error("{reason}")]
    Request {
        /// Why.
        reason: String,
    },
    /// An answer other than 2xx.
    #[error("the server answered {}{}", status_line(*status), hint.as_ref().map(|h| format!(": {h}")).unwrap_or_default())]
    Status {
        /// The answer's status.
        status: StatusCode,
        /// The first line of what the server says besides.
        hint: Option<String>,
    },
    /// A redirect to what is no URL.
    #[error("the server sends on to {:?}: {reason}", name(target))]
    Location {
        /// Where to.
        target: String,
        /// Why that is no URL.
        reason: String,
    },
    /// Too many redirects, perhaps in a circle.
    #[error("more than {limit} redirects, the last to {}", name(last))]
    Redirects {
        /// How many are followed.
        limit: usize,
        /// The last one's target.
        last: String,
    },
    /// A Content-Encoding that is not decoded.
    #[error("the server sends it encoded as {}; gzip, deflate and zstd are decoded", name(encoding))]
    Encoding {
        /// The encoding's name.
        encoding: String,
    },
    /// A body that is not what its Content-Encoding says.
    #[error("decoding {encoding}: {reason}")]
    Decode {
        /// The encoding's name.
        encoding: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl WebError {
    /// Whether the same request may succeed in a moment.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. } => true,
            Self::Unresolved { temporary, .. } => *temporary,
            Self::Status { status, .. } => matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// A name of which the resolver knows no address.
    pub(super) fn unresolved(host: &str, error: &io::Error) -> Self {
        let reason = error.to_string();
        // The standard library keeps the message of the system's resolver alone.
        let temporary = reason.contains("Temporary failure") || reason.contains("Try again");
        Self::Unresolved { host: host.to_string(), reason, temporary }
    }
}

impl From<reqwest::Error> for WebError {
    fn from(error: reqwest::Error) -> Self {
        if let Some(own) = chain(&error).find_map(|cause| cause.downcast_ref::<Self>()) {
            return own.clone();
        }
        if error.is_builder() {
            return Self::Request { reason: causes(&error) };
        }
        let reason = match (error.is_timeout(), error.is_connect()) {
            (true, true) => format!("no connection within {} seconds", CONNECT.as_secs()),
            (true, false) => format!("the server sent nothing for {} seconds", SILENCE.as_secs()),
            (false, true) => format!("cannot connect: {}", causes(&error)),
            (false, false) => causes(&error),
        };
        Self::Connection { reason }
    }
}

/// An error and its causes, from the outermost.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What happened, each cause once; what reqwest and its client say of them tells nothing.
fn causes(error: &reqwest::Error) -> String {
    let mut reason = String::new();
    for cause in chain(error).filter(|cause| !cause.is::<reqwest::Error>()) {
        let message = cause.to_string();
        if message.starts_with("client error (") || reason.contains(&message) {
            continue;
        }
        if !reason.is_empty() {
            reason.push_str(": ");
        }
        reason.push_str(&message);
    }
    match reason.is_empty() {
        true => text(&error.to_string()).into_owned(),
        false => text(&reason).into_owned(),
    }
}

fn not_public(host: &str, address: &IpAddr) -> String {
    match host.parse::<IpAddr>().as_ref() == Ok(address) {
        true => format!("{address} is not a public address"),
        false => format!("{} is {address}, which is not a public address", name(host)),
    }
}

/// `403 Forbidden`; the number alone if it has no name.
fn status_line(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}
