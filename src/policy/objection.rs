//! The rules that may object to a request, and the order in which they are asked: first what the
//! account may at all, then what it is done to, where, and with whom.

use crate::{
    denial::Denial,
    request::{Account, Action, Direction, Peer, Request, Requester, Standing},
    rules::{RoomClass, Rules},
};

/// A named rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Stable: logs and `explain` show it.
    pub name: &'static str,
    /// Why the request must be denied, if this rule finds so.
    pub objection: fn(&Rules, &Request<'_>) -> Option<Denial>,
}

/// All rules, in the order asked.
pub const RULES: &[Rule] = &[
    Rule {
        name: "account.locked",
        objection: locked,
    },
    Rule {
        name: "account.suspended",
        objection: suspended,
    },
    Rule {
        name: "account.role",
        objection: role,
    },
    Rule {
        name: "target.account",
        objection: target,
    },
    Rule {
        name: "room.class",
        objection: class,
    },
    Rule {
        name: "server.agreement",
        objection: agreement,
    },
];

/// What a suspended account may do. A list of what is allowed, so that a new act is forbidden until
/// somebody decides otherwise. Client-server API, «Account suspension»; what the specification does
/// not name is allowed if nobody else sees it.
const SUSPENDED_MAY: [Action; 10] = [
    Action::LogIn,
    Action::LogOut,
    Action::Read,
    Action::ManageKeys,
    Action::ChangeSettings,
    Action::AddContact,
    Action::Deactivate,
    Action::Leave,
    Action::RedactOwn,
    Action::LookUp,
];

/// Client-server API, «Account locking»: all endpoints but logout are closed, and no new session
/// begins.
fn locked(_: &Rules, request: &Request<'_>) -> Option<Denial> {
    let account = account(request)?;
    let denied = account.standing == Standing::Locked && request.action != Action::LogOut;
    denied.then_some(Denial::Locked)
}

fn suspended(rules: &Rules, request: &Request<'_>) -> Option<Denial> {
    let account = account(request)?;
    let allowed = account.standing != Standing::Suspended
        || SUSPENDED_MAY.contains(&request.action)
        || (request.action == Action::Send && in_contact_room(rules, request));
    (!allowed).then_some(Denial::Suspended)
}

fn role(rules: &Rules, request: &Request<'_>) -> Option<Denial> {
    let account = account(request)?;
    match rules.roles.get(account.role) {
        None => Some(Denial::RoleUnknown),
        Some(role) => (!role.may.contains(&request.action)).then_some(Denial::RoleLacks),
    }
}

/// Client-server API, `PUT /admin/lock` and `/admin/suspend`: not oneself, not an administrator.
fn target(rules: &Rules, request: &Request<'_>) -> Option<Denial> {
    let restricts = [Action::LockAccount, Action::SuspendAccount].contains(&request.action);
    let target = request.target.filter(|_| restricts)?;
    if account(request).is_some_and(|account| account.id == target.id) {
        return Some(Denial::OwnAccount);
    }
    let role = rules.roles.get(target.role)?;
    role.administers().then_some(Denial::AdministratorAccount)
}

fn class(rules: &Rules, request: &Request<'_>) -> Option<Denial> {
    let room = request.room?;
    // Nobody is kept in a room against their will.
    if request.action == Action::Leave {
        return None;
    }
    let Some(class) = rules.classes.get(room.class) else {
        return Some(Denial::ClassUnknown);
    };
    if !class.federated && exchange(request).is_some() {
        return Some(Denial::ClassUnfederated);
    }
    withholds(class, request).then_some(Denial::ClassWithholds)
}

fn agreement(rules: &Rules, request: &Request<'_>) -> Option<Denial> {
    let (peer, direction) = exchange(request)?;
    // A room that an agreement no longer covers can still be left.
    if request.action == Action::Leave {
        return None;
    }
    let rights = rules.server(peer.server);
    (!rights.cover(peer.purpose, direction)).then_some(Denial::ServerLacks)
}

fn withholds(class: &RoomClass, request: &Request<'_>) -> bool {
    let of_role = account(request).and_then(|account| class.withheld_from.get(account.role));
    class.withheld.contains(&request.action)
        || of_role.is_some_and(|actions| actions.contains(&request.action))
}

fn in_contact_room(rules: &Rules, request: &Request<'_>) -> bool {
    let id = request.room.and_then(|room| room.id);
    id.is_some_and(|id| rules.contact_rooms.contains(id))
}

fn account<'a>(request: &Request<'a>) -> Option<Account<'a>> {
    match request.requester {
        Requester::Account(account) => Some(account),
        Requester::Server(_) | Requester::Homeserver => None,
    }
}

/// The other server, if there is one, and who asks whom.
fn exchange<'a>(request: &Request<'a>) -> Option<(Peer<'a>, Direction)> {
    match request.requester {
        Requester::Server(peer) => Some((peer, Direction::Inbound)),
        Requester::Account(_) | Requester::Homeserver => {
            request.peer.map(|peer| (peer, Direction::Outbound))
        }
    }
}
