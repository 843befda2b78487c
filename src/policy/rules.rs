//! The rules as data: roles, room classes, and what other servers may do. An administration edits
//! them; the default is an open server with members and administrators.

use std::collections::{BTreeMap, BTreeSet};

use ruma_common::{OwnedRoomId, OwnedServerName, ServerName};
use serde::{Deserialize, Serialize};

use crate::partners::Partners;
use crate::request::{Action, Direction, Purpose};

/// The role that the default rules give every right.
pub const ADMIN: &str = "admin";
/// The role that the default rules give every right but administration.
pub const MEMBER: &str = "member";
/// The class of rooms that were given no other.
pub const DEFAULT_CLASS: &str = "default";

/// Rights that only administrators have by default.
const ADMINISTRATION: [Action; 3] = [
    Action::Administer,
    Action::LockAccount,
    Action::SuspendAccount,
];

/// Everything that [`crate::decide`] goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// What accounts may do, by the name of their role. An account whose role is absent may nothing.
    pub roles: BTreeMap<String, Role>,
    /// What is different in rooms, by the name of their class. In a room whose class is absent
    /// nothing is allowed but to leave.
    pub classes: BTreeMap<String, RoomClass>,
    /// What particular servers may do; a server named here gets nothing of `other_servers`.
    #[serde(default)]
    pub servers: BTreeMap<OwnedServerName, ServerRights>,
    /// What every other server may do.
    pub other_servers: ServerRights,
    /// Rooms in which suspended accounts may still send, to talk with the administrators.
    #[serde(default)]
    pub contact_rooms: BTreeSet<OwnedRoomId>,
    /// Agreements that administrators set while the server runs; a server that has one gets
    /// nothing of `servers` and `other_servers`.
    #[serde(skip)]
    pub partners: Partners,
}

/// What accounts with a role may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Nothing else is granted.
    pub may: BTreeSet<Action>,
}

impl Role {
    /// Whether it is an administrator's: these cannot be locked or suspended.
    pub fn administers(&self) -> bool {
        self.may.contains(&Action::Administer)
    }
}

/// What is different in rooms of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomClass {
    /// Whether other servers may take part.
    pub federated: bool,
    /// What nobody may do there.
    #[serde(default)]
    pub withheld: BTreeSet<Action>,
    /// What accounts with these roles may not do there either.
    #[serde(default)]
    pub withheld_from: BTreeMap<String, BTreeSet<Action>>,
}

/// What another server may ask of us, and we of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRights {
    /// What we answer.
    pub inbound: BTreeSet<Purpose>,
    /// What we ask for.
    pub outbound: BTreeSet<Purpose>,
}

impl ServerRights {
    /// Everything, both ways.
    pub fn all() -> Self {
        let all: BTreeSet<_> = Purpose::ALL.iter().copied().collect();
        Self {
            inbound: all.clone(),
            outbound: all,
        }
    }

    /// Nothing, either way.
    pub fn none() -> Self {
        Self {
            inbound: BTreeSet::new(),
            outbound: BTreeSet::new(),
        }
    }

    /// Whether this is covered.
    pub fn cover(&self, purpose: Purpose, direction: Direction) -> bool {
        match direction {
            Direction::Inbound => self.inbound.contains(&purpose),
            Direction::Outbound => self.outbound.contains(&purpose),
        }
    }
}

impl Default for Rules {
    /// Members may everything but administer; every server may everything; one class of rooms.
    fn default() -> Self {
        let all: BTreeSet<_> = Action::ALL.iter().copied().collect();
        let member = all.iter().copied();
        let member = Role {
            may: member
                .filter(|action| !ADMINISTRATION.contains(action))
                .collect(),
        };
        let class = RoomClass {
            federated: true,
            withheld: BTreeSet::new(),
            withheld_from: BTreeMap::new(),
        };
        Self {
            roles: BTreeMap::from([(ADMIN.into(), Role { may: all }), (MEMBER.into(), member)]),
            classes: BTreeMap::from([(DEFAULT_CLASS.into(), class)]),
            servers: BTreeMap::new(),
            other_servers: ServerRights::all(),
            contact_rooms: BTreeSet::new(),
            partners: Partners::default(),
        }
    }
}

/// What makes rules unfit for use, though each part reads well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Whoever loads such rules could never change them again.
    #[error("no role may administer; add \"administer\" to one")]
    NoAdministrator,
    /// Rooms that were given no class could not be used.
    #[error("the class \"{DEFAULT_CLASS}\" is missing; add it")]
    NoDefaultClass,
    /// A typing mistake would silently withhold nothing.
    #[error("the class \"{class}\" names the unknown role \"{role}\"; add the role or correct it")]
    RoleUnknown {
        /// The class that names it.
        class: String,
        /// The name without a role.
        role: String,
    },
}

impl Rules {
    /// The rights of a server, at this moment.
    pub fn server(&self, name: &ServerName) -> ServerRights {
        let rights = || self.servers.get(name).unwrap_or(&self.other_servers);
        self.partners.of(name).unwrap_or_else(|| rights().clone())
    }

    /// What is wrong with the rules; ask before they come into force. Empty if nothing is.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !self.roles.values().any(Role::administers) {
            problems.push(Problem::NoAdministrator);
        }
        if !self.classes.contains_key(DEFAULT_CLASS) {
            problems.push(Problem::NoDefaultClass);
        }
        for (class, rights) in &self.classes {
            let named = rights.withheld_from.keys();
            let unknown = named.filter(|role| !self.roles.contains_key(*role));
            problems.extend(unknown.map(|role| Problem::RoleUnknown {
                class: class.clone(),
                role: role.clone(),
            }));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_rules_have_no_problem() {
        assert_eq!(Rules::default().problems(), []);
    }

    #[test]
    fn unfit_rules_are_told_what_is_wrong() {
        let mut rules = Rules::default();
        rules.roles.remove(ADMIN);
        let class = rules.classes.remove(DEFAULT_CLASS);
        let mut class = class.unwrap();
        class.withheld_from.insert("membr".into(), BTreeSet::new());
        rules.classes.insert("staff".into(), class);
        let unknown = Problem::RoleUnknown {
            class: "staff".into(),
            role: "membr".into(),
        };
        let expected = [Problem::NoAdministrator, Problem::NoDefaultClass, unknown];
        assert_eq!(rules.problems(), expected);
    }

    #[test]
    fn rules_survive_being_written_down() {
        let rules = Rules::default();
        let text = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<Rules>(&text).unwrap(), rules);
    }

    #[test]
    fn a_misspelt_right_is_refused() {
        for text in [r#"{"may": ["reed"]}"#, r#"{"may": [], "might": []}"#] {
            assert!(serde_json::from_str::<Role>(text).is_err(), "{text}");
        }
    }
}
