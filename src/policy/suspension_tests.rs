//! One table: what a member of each standing may do. An act that is missing from it fails.

use std::collections::BTreeSet;

use ruma_common::{owned_room_id, room_id, user_id};

use crate::{
    Account, Action, Code, DEFAULT_CLASS, Decision, Denial, MEMBER, Request, Requester, Room,
    Rules, Standing, decide,
};

/// Action; active, suspended, locked: `+` allowed, `-` denied because of the standing, `r` denied
/// because members lack the right.
const TABLE: &str = "
    log_in           + + -
    log_out          + + +
    read             + + -
    manage_keys      + + -
    change_settings  + + -
    change_profile   + - -
    add_contact      + + -
    remove_contact   + - -
    deactivate       + + -
    create_room      + - -
    join             + - -
    knock            + - -
    invite           + - -
    leave            + + -
    send             + - -
    redact_own       + + -
    redact_other     + - -
    moderate         + - -
    publish          + - -
    upload           + - -
    report           + - -
    look_up          + + -
    federate         + - -
    administer       r - -
    lock_account     r - -
    suspend_account  r - -
";

const STANDINGS: [(Standing, Denial); 3] = [
    (Standing::Active, Denial::RoleLacks),
    (Standing::Suspended, Denial::Suspended),
    (Standing::Locked, Denial::Locked),
];

fn member(standing: Standing) -> Requester<'static> {
    Requester::Account(Account {
        id: user_id!("@ada:town.example"),
        role: MEMBER,
        standing,
    })
}

fn named(name: &str) -> Action {
    serde_json::from_str(&format!("\"{name}\"")).unwrap()
}

#[test]
fn what_members_of_each_standing_may_do() {
    let rules = Rules::default();
    let mut seen = BTreeSet::new();
    for line in TABLE.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let action = named(words.next().unwrap());
        seen.insert(action);
        for ((standing, denial), mark) in STANDINGS.into_iter().zip(words) {
            let expected = match mark {
                "+" => Decision::Allow,
                _ => Decision::Deny(denial),
            };
            let decision = decide(&rules, &Request::new(member(standing), action));
            assert_eq!(decision, expected, "{action:?} while {standing:?}");
        }
    }
    let all: BTreeSet<_> = Action::ALL.iter().copied().collect();
    assert_eq!(seen, all, "the table names every action");
}

#[test]
fn a_suspended_account_may_send_where_it_can_reach_the_administrators() {
    let mut rules = Rules::default();
    rules
        .contact_rooms
        .insert(owned_room_id!("!help:town.example"));
    let send = |id| {
        Request::new(member(Standing::Suspended), Action::Send).in_room(Room {
            id: Some(id),
            class: DEFAULT_CLASS,
        })
    };
    let help = send(room_id!("!help:town.example"));
    assert_eq!(decide(&rules, &help), Decision::Allow);
    let other = send(room_id!("!other:town.example"));
    assert_eq!(decide(&rules, &other), Decision::Deny(Denial::Suspended));
    let invite = Request {
        action: Action::Invite,
        ..help
    };
    assert_eq!(decide(&rules, &invite), Decision::Deny(Denial::Suspended));
}

#[test]
fn standings_have_their_own_codes() {
    assert_eq!(Denial::Locked.code(), Code::UserLocked);
    assert_eq!(Denial::Suspended.code(), Code::UserSuspended);
    let others = Denial::ALL
        .iter()
        .filter(|denial| denial.code() == Code::Forbidden);
    assert_eq!(others.count(), Denial::ALL.len() - 2);
}

#[test]
fn every_denial_has_a_text_of_its_own() {
    let keys: BTreeSet<_> = Denial::ALL.iter().map(|denial| denial.text_key()).collect();
    let texts: BTreeSet<_> = Denial::ALL.iter().map(Denial::to_string).collect();
    assert_eq!(
        (keys.len(), texts.len()),
        (Denial::ALL.len(), Denial::ALL.len())
    );
}
