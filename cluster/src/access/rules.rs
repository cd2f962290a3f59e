//! What each user may reach, as the configuration says it.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use tamis_udfs::reach::{Models, Place, Reach, Rules};
use tamis_udfs::web::Allowed;

use super::{AccessError, Caller, UserEntry};

/// `[access]`: what users may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessRules {
    /// Where all may read: absolute paths and URLs.
    pub read: Vec<String>,
    /// Where all may write.
    pub write: Vec<String>,
    /// Which models all may run.
    pub models: ModelsRule,
    /// Hosts and ranges of addresses that may be asked besides public ones.
    pub addresses: Vec<String>,
    /// More, for some.
    pub grants: Vec<Grant>,
}

/// `[[access.grants]]`: what some users may reach besides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grant {
    /// Who, by name.
    pub users: Vec<String>,
    /// Who, by group.
    pub groups: Vec<String>,
    /// Where they may read.
    pub read: Vec<String>,
    /// Where they may write.
    pub write: Vec<String>,
    /// Which models they may run.
    pub models: ModelsRule,
    /// Hosts and ranges of addresses that may be asked besides public ones.
    pub addresses: Vec<String>,
}

/// Which models may be run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelsRule {
    /// Those that the server has a name for.
    #[default]
    Named,
    /// Folders, URLs and hub ids in queries, too.
    Any,
}

/// What a user may do with the queries of others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Nothing: they see and end their own.
    #[default]
    User,
    /// All: they see and end any, and reach all that the processes can.
    Admin,
}

/// What each caller may reach and do.
#[derive(Debug, Default)]
pub(super) struct Rights {
    /// What those may reach that are not named; `None`: everything.
    others: Option<Rules>,
    users: HashMap<String, (Role, Rules)>,
}

impl Rights {
    /// Those of a configuration. Without users and without rules everyone may do everything.
    pub(super) fn new(entries: &[UserEntry], access: Option<&AccessRules>) -> Result<Self, AccessError> {
        if entries.is_empty() && access.is_none() {
            return Ok(Self::default());
        }
        let none = AccessRules::default();
        let AccessRules { read, write, models, addresses, grants } = access.unwrap_or(&none);
        let mut all = Rules::default();
        add(&mut all, "access", [read, write, addresses], *models)?;
        let mut users: HashMap<String, (Role, Rules)> =
            entries.iter().map(|user| (user.name.clone(), (user.role, all.clone()))).collect();
        let groups: HashSet<&str> = entries.iter().flat_map(|user| user.groups.iter().map(String::as_str)).collect();
        for (at, grant) in grants.iter().enumerate() {
            let key = format!("access.grants[{at}]");
            let wrong = |part: &str, reason: String| AccessError::Rule { key: format!("{key}.{part}"), reason };
            if grant.users.is_empty() && grant.groups.is_empty() {
                return Err(wrong("users", "it is for nobody: name users or groups".into()));
            }
            if let Some(unknown) = grant.users.iter().find(|user| !users.contains_key(user.as_str())) {
                return Err(wrong("users", format!("there is no user {unknown}")));
            }
            if let Some(unknown) = grant.groups.iter().find(|group| !groups.contains(group.as_str())) {
                return Err(wrong("groups", format!("no user is of a group {unknown}")));
            }
            let is_meant = |user: &&UserEntry| {
                grant.users.contains(&user.name) || user.groups.iter().any(|group| grant.groups.contains(group))
            };
            for user in entries.iter().filter(is_meant) {
                if let Some((_, rules)) = users.get_mut(&user.name) {
                    add(rules, &key, [&grant.read, &grant.write, &grant.addresses], grant.models)?;
                }
            }
        }
        Ok(Self { others: Some(all), users })
    }

    /// Whether there is anything that somebody may not reach.
    pub(super) fn are_limited(&self) -> bool {
        self.others.is_some()
    }

    /// What a caller may reach.
    pub(super) fn reach(&self, caller: &Caller) -> Reach {
        let Some(others) = &self.others else { return Reach::everything() };
        match caller {
            Caller::Anyone => Reach::limited(others.clone()),
            Caller::User(name) => match self.users.get(name) {
                Some((Role::Admin, _)) => Reach::everything(),
                Some((Role::User, rules)) => Reach::limited(rules.clone()),
                None => Reach::limited(Rules::default()),
            },
        }
    }

    /// Whether a caller sees and ends the queries of all. Where nobody is known by name, everyone does.
    pub(super) fn is_admin(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Anyone => true,
            Caller::User(name) => self.users.get(name).is_some_and(|(role, _)| *role == Role::Admin),
        }
    }
}

fn add(
    rules: &mut Rules,
    key: &str,
    [read, write, addresses]: [&Vec<String>; 3],
    models: ModelsRule,
) -> Result<(), AccessError> {
    let wrong = |part: &str, reason: String| AccessError::Rule { key: format!("{key}.{part}"), reason };
    let places = |part: &str, texts: &[String]| {
        let places = texts.iter().map(|text| Place::parse(text)).collect::<Result<Vec<_>, _>>();
        places.map_err(|reason| wrong(part, reason))
    };
    rules.read.extend(places("read", read)?);
    rules.write.extend(places("write", write)?);
    for address in addresses {
        let allowed: Allowed = address.parse().map_err(|e| wrong("addresses", format!("{e}")))?;
        rules.addresses.push(allowed.to_string());
    }
    if models == ModelsRule::Any {
        rules.models = Models::Any;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, groups: &[&str], role: Role) -> UserEntry {
        let groups = groups.iter().map(ToString::to_string).collect();
        UserEntry { name: name.into(), groups, role, ..UserEntry::default() }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn without_users_and_rules_everyone_reaches_everything() {
        let rights = Rights::new(&[], None).unwrap();
        assert!(rights.reach(&Caller::Anyone).is_everything() && rights.is_admin(&Caller::Anyone));
        assert!(!rights.are_limited());
        // With rules they hold for all.
        let rules = AccessRules { read: texts(&["/data"]), ..AccessRules::default() };
        let rights = Rights::new(&[], Some(&rules)).unwrap();
        let reach = rights.reach(&Caller::Anyone);
        assert!(reach.may_read("/data/x").is_ok() && reach.may_read("/etc/x").is_err() && rights.are_limited());
    }

    #[test]
    fn users_reach_what_is_for_all_and_what_is_for_them() {
        let users =
            [user("ada", &[], Role::User), user("bob", &["curators"], Role::User), user("eve", &[], Role::Admin)];
        let grants = vec![
            Grant { users: texts(&["ada"]), read: texts(&["s3://corpora/"]), ..Grant::default() },
            Grant { groups: texts(&["curators"]), models: ModelsRule::Any, ..Grant::default() },
        ];
        let rules = AccessRules { read: texts(&["/data"]), grants, ..AccessRules::default() };
        let rights = Rights::new(&users, Some(&rules)).unwrap();
        let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| rights.reach(&Caller::User(name.into())));
        assert!(
            ada.may_read("/data/x").is_ok() && ada.may_read("s3://corpora/x").is_ok() && ada.may_run("/x").is_err()
        );
        assert!(
            bob.may_read("/data/x").is_ok() && bob.may_read("s3://corpora/x").is_err() && bob.may_run("/x").is_ok()
        );
        assert!(eve.is_everything() && rights.is_admin(&Caller::User("eve".into())));
        assert!(!rights.is_admin(&Caller::User("ada".into())));
        assert!(rights.reach(&Caller::User("nobody".into())).may_read("/data/x").is_err());
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said_with_its_key() {
        let users = [user("ada", &["curators"], Role::User)];
        let granted = |grant: Grant| AccessRules { grants: vec![grant], ..AccessRules::default() };
        for (rules, expected) in [
            (
                AccessRules { read: texts(&["data"]), ..AccessRules::default() },
                "access.read: data: expected an absolute",
            ),
            (
                AccessRules { write: texts(&["/a*"]), ..AccessRules::default() },
                "access.write: /a*: a place is no pattern",
            ),
            (AccessRules { addresses: texts(&["10.0.0.0/99"]), ..AccessRules::default() }, "access.addresses: "),
            (
                granted(Grant { users: texts(&["eve"]), ..Grant::default() }),
                "access.grants[0].users: there is no user eve",
            ),
            (granted(Grant { groups: texts(&["all"]), ..Grant::default() }), "access.grants[0].groups: no user is of"),
            (granted(Grant::default()), "access.grants[0].users: it is for nobody"),
            (
                granted(Grant { users: texts(&["ada"]), read: texts(&["x"]), ..Grant::default() }),
                "access.grants[0].read: x",
            ),
        ] {
            let error = Rights::new(&users, Some(&rules)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}, expected {expected}");
        }
    }
}
