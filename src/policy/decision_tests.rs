//! Roles, room classes and agreements as data: a small administration, and what it may do.

use ruma_common::{UserId, room_id, server_name, user_id};

use crate::{
    ADMIN, Account, Action, Decision, Denial, MEMBER, Peer, Purpose, Request, Requester, Room,
    Rules, Standing, decide, explain,
};

/// A town: partners may only talk where they were invited; the council's rooms are for its own
/// members and never published; one neighbour may exchange but not invite, one server is shut out.
const TOWN: &str = r#"{
    "roles": {
        "admin": {"may": ["log_in", "log_out", "read", "join", "invite", "leave", "send",
            "publish", "federate", "administer", "lock_account", "suspend_account"]},
        "member": {"may": ["log_in", "log_out", "read", "create_room", "join", "invite", "leave",
            "send", "publish", "look_up"]},
        "partner": {"may": ["log_in", "log_out", "read", "join", "leave", "send"]}
    },
    "classes": {
        "default": {"federated": true},
        "council": {"federated": false, "withheld": ["publish"],
            "withheld_from": {"partner": ["join", "read", "send"]}}
    },
    "servers": {
        "neighbour.example": {"inbound": ["exchange", "join", "keys", "media", "profile"],
            "outbound": ["exchange", "invite", "join", "keys", "media", "profile"]},
        "shut.example": {"inbound": [], "outbound": []}
    },
    "other_servers": {"inbound": ["exchange", "media"], "outbound": ["exchange", "media"]}
}"#;

fn town() -> Rules {
    let rules: Rules = serde_json::from_str(TOWN).unwrap();
    assert_eq!(rules.problems(), []);
    rules
}

fn account(id: &'static UserId, role: &'static str) -> Account<'static> {
    Account {
        id,
        role,
        standing: Standing::Active,
    }
}

fn ask(role: &'static str, action: Action) -> Request<'static> {
    let account = account(user_id!("@ada:town.example"), role);
    Request::new(Requester::Account(account), action)
}

fn room(class: &'static str) -> Room<'static> {
    Room {
        id: Some(room_id!("!room:town.example")),
        class,
    }
}

fn from(server: &'static str, purpose: Purpose) -> Request<'static> {
    let server = <&ruma_common::ServerName>::try_from(server).unwrap();
    Request::new(
        Requester::Server(Peer { server, purpose }),
        Action::Federate,
    )
}

fn assert_decisions(rules: &Rules, cases: &[(Request<'_>, Option<Denial>)]) {
    for (request, denial) in cases {
        let expected = denial.map_or(Decision::Allow, Decision::Deny);
        assert_eq!(decide(rules, request), expected, "{request:?}");
    }
}

#[test]
fn a_role_grants_what_it_names_and_nothing_else() {
    let cases = [
        (ask(ADMIN, Action::Administer), None),
        (ask(ADMIN, Action::CreateRoom), Some(Denial::RoleLacks)),
        (ask(MEMBER, Action::CreateRoom), None),
        (ask(MEMBER, Action::Administer), Some(Denial::RoleLacks)),
        (ask("partner", Action::Send), None),
        (ask("partner", Action::CreateRoom), Some(Denial::RoleLacks)),
        (ask("partner", Action::Invite), Some(Denial::RoleLacks)),
        (ask("stranger", Action::Read), Some(Denial::RoleUnknown)),
    ];
    assert_decisions(&town(), &cases);
}

#[test]
fn a_room_class_withholds() {
    let council = room("council");
    let cases = [
        (ask(MEMBER, Action::Publish).in_room(room("default")), None),
        (
            ask(MEMBER, Action::Publish).in_room(council),
            Some(Denial::ClassWithholds),
        ),
        (
            ask(ADMIN, Action::Publish).in_room(council),
            Some(Denial::ClassWithholds),
        ),
        (ask(MEMBER, Action::Join).in_room(council), None),
        (ask("partner", Action::Join).in_room(room("default")), None),
        (
            ask("partner", Action::Join).in_room(council),
            Some(Denial::ClassWithholds),
        ),
        (ask("partner", Action::Leave).in_room(council), None),
        (
            ask(MEMBER, Action::Send).in_room(room("gone")),
            Some(Denial::ClassUnknown),
        ),
        (ask(MEMBER, Action::Leave).in_room(room("gone")), None),
    ];
    assert_decisions(&town(), &cases);
}

#[test]
fn a_class_that_is_not_federated_keeps_servers_out() {
    let neighbour = server_name!("neighbour.example");
    let invite = ask(MEMBER, Action::Invite).with_peer(neighbour, Purpose::Invite);
    let join = from("neighbour.example", Purpose::Join);
    let cases = [
        (invite.in_room(room("default")), None),
        (
            invite.in_room(room("council")),
            Some(Denial::ClassUnfederated),
        ),
        (ask(MEMBER, Action::Invite).in_room(room("council")), None),
        (join.in_room(room("default")), None),
        (
            join.in_room(room("council")),
            Some(Denial::ClassUnfederated),
        ),
    ];
    assert_decisions(&town(), &cases);
}

#[test]
fn an_agreement_is_read_in_the_direction_asked() {
    let neighbour = server_name!("neighbour.example");
    let cases = [
        (from("neighbour.example", Purpose::Exchange), None),
        (
            from("neighbour.example", Purpose::Invite),
            Some(Denial::ServerLacks),
        ),
        (
            ask(MEMBER, Action::Invite).with_peer(neighbour, Purpose::Invite),
            None,
        ),
        (
            from("shut.example", Purpose::Exchange),
            Some(Denial::ServerLacks),
        ),
        (from("unheard.example", Purpose::Exchange), None),
        (
            from("unheard.example", Purpose::Join),
            Some(Denial::ServerLacks),
        ),
    ];
    assert_decisions(&town(), &cases);
}

#[test]
fn the_homeserver_itself_keeps_agreements_too() {
    let own = Request::new(Requester::Homeserver, Action::Federate);
    let to = |server| own.with_peer(server, Purpose::Exchange);
    let cases = [
        (own, None),
        (to(server_name!("neighbour.example")), None),
        (to(server_name!("shut.example")), Some(Denial::ServerLacks)),
    ];
    assert_decisions(&town(), &cases);
}

#[test]
fn a_room_can_be_left_through_a_server_that_was_shut_out() {
    let shut = server_name!("shut.example");
    let leave = ask(MEMBER, Action::Leave).with_peer(shut, Purpose::Exchange);
    let join = ask(MEMBER, Action::Join).with_peer(shut, Purpose::Join);
    assert_decisions(&town(), &[(leave, None), (join, Some(Denial::ServerLacks))]);
}

#[test]
fn administrators_lock_others_but_no_administrator_and_not_themselves() {
    for action in [Action::LockAccount, Action::SuspendAccount] {
        let on = |id, role| ask(ADMIN, action).on_account(account(id, role));
        let member = on(user_id!("@bob:town.example"), MEMBER);
        let peer = on(user_id!("@eve:town.example"), ADMIN);
        let own = on(user_id!("@ada:town.example"), ADMIN);
        let cases = [
            (member, None),
            (peer, Some(Denial::AdministratorAccount)),
            (own, Some(Denial::OwnAccount)),
        ];
        assert_decisions(&town(), &cases);
    }
}

#[test]
fn explain_shows_every_rule_and_the_first_objection_decides() {
    let council = room("council");
    let shut = server_name!("shut.example");
    let request = ask("partner", Action::Join)
        .in_room(council)
        .with_peer(shut, Purpose::Join);
    let opinions = explain(&town(), &request);
    let told: Vec<_> = opinions
        .iter()
        .map(|one| (one.rule, one.objection))
        .collect();
    let expected = [
        ("account.locked", None),
        ("account.suspended", None),
        ("account.role", None),
        ("target.account", None),
        ("room.class", Some(Denial::ClassUnfederated)),
        ("server.agreement", Some(Denial::ServerLacks)),
    ];
    assert_eq!(told, expected);
    let decision = decide(&town(), &request);
    assert_eq!(decision, Decision::Deny(Denial::ClassUnfederated));
    assert_eq!(decision.into_result(), Err(Denial::ClassUnfederated));
}
