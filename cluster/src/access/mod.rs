//! Who may use a server: users with passwords and tokens, and the processes of the cluster itself.

mod guard;
mod refusals;
mod rules;
mod throttle;
mod users;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::{AUTHORIZATION, USER_AGENT};
use parking_lot::Mutex;
use tamis_udfs::reach::Reach;

pub(crate) use guard::{for_callers, for_members};
pub(crate) use refusals::{Reason, Refusals};
use rules::Rights;
pub use rules::{AccessRules, Grant, ModelsRule, Role};
use throttle::Throttle;
pub use users::{AccessError, UserEntry, hash_password, hash_token};
use users::{Users, name_and_password};

use crate::net::Peer;
pub use crate::secret::{Secret, SecretError, random_token};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// Anyone: no users are known here.
    Anyone,
    /// A user, by name.
    User(String),
}

/// Why a caller is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("this server asks for credentials: give a user's name and password, or a token")]
    NoCredentials,
    #[error("the credentials are wrong, or the session has expired: log in again")]
    WrongCredentials,
    #[error("passwords were wrong too often: try again in {seconds} s")]
    TooOften { seconds: u64 },
    #[error("only processes of the cluster may do this: give this one the cluster's secret, or a certificate")]
    NotAMember,
}

/// Who may use a server.
#[derive(Debug, Default)]
pub struct Access {
    users: Users,
    secret: Option<Secret>,
    /// Whether members show certificates.
    by_certificate: bool,
    /// How long a session lasts.
    session: Duration,
    sessions: Mutex<HashMap<String, Session>>,
    rights: Rights,
    throttle: Throttle,
    /// Held while a password is looked at: one at a time, so that many wrong ones at once are no way around the waits.
    looking: Mutex<()>,
    refusals: Refusals,
}

/// What a configuration says of who may use a server.
#[derive(Debug, Clone, Default)]
pub struct AccessSettings<'a> {
    /// The users. Without any, anyone is a caller.
    pub users: &'a [UserEntry],
    /// What they may reach.
    pub rules: Option<&'a AccessRules>,
    /// What members of the cluster know.
    pub secret: Option<Secret>,
    /// Whether members show a certificate. Without it and a secret, anyone is a member.
    pub by_certificate: bool,
    /// How long a user's session lasts.
    pub session: Duration,
}

#[derive(Debug)]
struct Session {
    caller: Caller,
    ends: Instant,
}

impl Access {
    /// Lets users and members in as the settings say.
    pub fn new(settings: AccessSettings<'_>) -> Result<Self, AccessError> {
        let AccessSettings { users, rules, secret, by_certificate, session } = settings;
        let rights = Rights::new(users, rules)?;
        let users = Users::new(users)?;
        Ok(Self { users, secret, by_certificate, session, rights, ..Self::default() })
    }

    /// Whether there is anything that some callers may not reach.
    pub fn has_limits(&self) -> bool {
        self.rights.are_limited()
    }

    /// What the queries of a caller may reach.
    pub(crate) fn reach(&self, caller: &Caller) -> Reach {
        self.rights.reach(caller)
    }

    /// Whether a caller sees and ends the queries of all.
    pub(crate) fn is_admin(&self, caller: &Caller) -> bool {
        self.rights.is_admin(caller)
    }

    /// What was refused so far.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Whether there are users.
    pub fn knows_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Whether members have to show what they are.
    pub fn knows_members(&self) -> bool {
        self.secret.is_some() || self.by_certificate
    }

    /// Who sends a request with these headers, from an address. Looks at passwords, which takes its time: call it where that is no
    /// matter.
    pub(crate) fn caller(&self, headers: &HeaderMap, address: Option<IpAddr>) -> Result<Caller, Denied> {
        if self.users.is_empty() {
            return Ok(Caller::Anyone);
        }
        let value = headers.get(AUTHORIZATION).ok_or(Denied::NoCredentials)?;
        let found = value.to_str().map_err(|_| Denied::WrongCredentials).and_then(|value| {
            let (scheme, credentials) = value.split_once(' ').ok_or(Denied::WrongCredentials)?;
            match scheme.to_ascii_lowercase().as_str() {
                "basic" => self.by_password(credentials.trim(), address),
                "bearer" => self.by_token(credentials.trim()),
                _ => Err(Denied::WrongCredentials),
            }
        });
        found.inspect_err(|_| self.refusals.count(Reason::Credentials))
    }

    fn by_password(&self, credentials: &str, address: Option<IpAddr>) -> Result<Caller, Denied> {
        let (name, password) = name_and_password(credentials).ok_or(Denied::WrongCredentials)?;
        let _looking = self.looking.lock();
        if let Some(wait) = self.throttle.wait(&name, address, Instant::now()) {
            return Err(Denied::TooOften { seconds: wait.as_secs() + 1 });
        }
        match self.users.by_password(&name, &password) {
            Some(name) => {
                self.throttle.note_right(name);
                Ok(Caller::User(name.into()))
            }
            None => {
                self.throttle.note_wrong(&name, address, Instant::now());
                Err(Denied::WrongCredentials)
            }
        }
    }

    fn by_token(&self, token: &str) -> Result<Caller, Denied> {
        let mut sessions = self.sessions.lock();
        sessions.retain(|_, session| session.ends > Instant::now());
        if let Some(session) = sessions.get(token) {
            return Ok(session.caller.clone());
        }
        self.users.by_token(token).map(|name| Caller::User(name.into())).ok_or(Denied::WrongCredentials)
    }

    /// Whether a session with this token lasts.
    pub(crate) fn has_session(&self, token: &str) -> bool {
        self.sessions.lock().get(token).is_some_and(|session| session.ends > Instant::now())
    }

    /// Begins a session of this caller: whoever shows the token is taken for them until it ends.
    pub(crate) fn begin_session(&self, token: &str, caller: Caller) {
        let session = Session { caller, ends: Instant::now() + self.session };
        self.sessions.lock().insert(token.to_string(), session);
    }

    /// Whether a request comes from a process of the cluster.
    pub(crate) fn check_member(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<(), Denied> {
        let has_certificate = self.by_certificate && peer.is_some_and(|peer| peer.has_certificate);
        let agent = headers.get(USER_AGENT).map(|agent| agent.as_bytes()).unwrap_or_default();
        let knows_secret = self.secret.as_ref().is_some_and(|secret| secret.is_in_user_agent(agent));
        // Where both are asked for, both are needed.
        let is_member = match (self.secret.is_some(), self.by_certificate) {
            (false, false) => true,
            (true, true) => knows_secret && has_certificate,
            _ => knows_secret || has_certificate,
        };
        if is_member { Ok(()) } else { Err(Denied::NotAMember) }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use http::HeaderValue;

    use super::*;

    fn access(session: Duration) -> Access {
        let users = [UserEntry {
            name: "ada".into(),
            password: Some(hash_password("engine").unwrap()),
            tokens: vec![hash_token("0123456789abcdef0123456789abcdef")],
            ..UserEntry::default()
        }];
        let secret = Some(Secret::new("a-secret-of-the-cluster").unwrap());
        Access::new(AccessSettings { users: &users, secret, session, ..AccessSettings::default() }).unwrap()
    }

    fn asking(access: &Access, authorization: &str) -> Result<Caller, Denied> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        access.caller(&headers, None)
    }

    #[test]
    fn users_come_in_by_password_or_token_and_nobody_else() {
        let access = access(Duration::from_secs(60));
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let ada = Ok(Caller::User("ada".into()));
        assert_eq!(asking(&access, &basic("ada:engine")), ada);
        assert_eq!(asking(&access, basic("ada:engine").trim_end_matches('=')), ada);
        assert_eq!(asking(&access, "Bearer 0123456789abcdef0123456789abcdef"), ada);
        for wrong in [
            basic("ada:Engine"),
            basic("eve:engine"),
            basic("ada"),
            basic(":"),
            "Basic ada:engine".into(),
            "Bearer x".into(),
            "Bearer".into(),
            "Digest ada".into(),
        ] {
            assert_eq!(asking(&access, &wrong), Err(Denied::WrongCredentials), "{wrong}");
        }
        assert_eq!(access.caller(&HeaderMap::new(), None), Err(Denied::NoCredentials));
    }

    #[test]
    fn wrong_passwords_make_right_ones_wait_and_tokens_do_not() {
        let access = access(Duration::from_secs(60));
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for _ in 0..5 {
            assert_eq!(asking(&access, &basic("ada:wrong")), Err(Denied::WrongCredentials));
        }
        assert!(matches!(asking(&access, &basic("ada:engine")), Err(Denied::TooOften { seconds: 1..=2 })));
        assert_eq!(asking(&access, "Bearer 0123456789abcdef0123456789abcdef"), Ok(Caller::User("ada".into())));
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(asking(&access, &basic("ada:engine")), Ok(Caller::User("ada".into())));
        assert_eq!(access.refusals().of(Reason::Credentials), 6);
    }

    #[test]
    fn a_session_ends() {
        let access = access(Duration::from_millis(30));
        access.begin_session("s", Caller::User("ada".into()));
        assert_eq!(asking(&access, "Bearer s"), Ok(Caller::User("ada".into())));
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!(asking(&access, "Bearer s"), Err(Denied::WrongCredentials));
    }

    #[test]
    fn members_know_the_secret() {
        let access = access(Duration::from_secs(60));
        let with = |agent: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, HeaderValue::from_str(agent).unwrap());
            access.check_member(&headers, None)
        };
        let secret = Secret::new("a-secret-of-the-cluster").unwrap();
        assert_eq!(with(&format!("{} tonic/0.14", secret.as_user_agent())), Ok(()));
        assert_eq!(with("tonic/0.14"), Err(Denied::NotAMember));
        assert_eq!(with("tamis-cluster/a-secret-of-the-cluste"), Err(Denied::NotAMember));
        assert_eq!(access.check_member(&HeaderMap::new(), None), Err(Denied::NotAMember));
    }

    #[test]
    fn without_users_and_members_all_are_let_in() {
        let open = Access::default();
        assert_eq!(open.caller(&HeaderMap::new(), None), Ok(Caller::Anyone));
        assert_eq!(open.check_member(&HeaderMap::new(), None), Ok(()));
    }
}
