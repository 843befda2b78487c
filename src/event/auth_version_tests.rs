use serde_json::{Value, json};

use crate::auth::{Verdict, check_state_independent};
use crate::hash::EventHash;
use crate::resolve_conflict::StateMap;
use crate::resolve_room::{ALICE, BOB, CAROL, DAVE, TestRoom, key, pdu, rules};

const ALL: [&str; 10] = ["3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];

/// Whether an event is allowed, in the versions from `since` to `until`.
fn allowed_in(since: u8, until: u8, try_it: impl Fn(&str) -> bool) {
    for version in ALL {
        let number: u8 = version.parse().unwrap();
        let expected = (since..=until).contains(&number);
        assert_eq!(try_it(version), expected, "version {version}");
    }
}

fn create_verdict(version: &str, change: impl Fn(&mut Value)) -> Verdict {
    let rules = rules(version);
    let mut create = json!({
        "type": "m.room.create", "state_key": "", "sender": ALICE,
        "content": {"creator": ALICE, "room_version": version},
        "origin_server_ts": 1, "depth": 1, "prev_events": [], "auth_events": [],
    });
    if !rules.room_id_is_hash() {
        create["room_id"] = "!room:a".into();
    }
    change(&mut create);
    check_state_independent(&pdu(rules, &create), |_| None).unwrap()
}

#[test]
fn create_events_have_their_form() {
    for version in ALL {
        assert!(
            create_verdict(version, |_| ()).is_accept(),
            "version {version}"
        );
        let after_something = create_verdict(version, |create| {
            create["prev_events"] = json!([event_id(version)]);
        });
        assert!(!after_something.is_accept(), "version {version}");
        let other_version = create_verdict(version, |c| c["content"]["room_version"] = "2".into());
        assert!(!other_version.is_accept(), "version {version}");
    }
}

fn event_id(version: &str) -> String {
    EventHash::from([1; 32])
        .to_event_id(rules(version).alphabet())
        .to_string()
}

#[test]
fn a_creator_is_named_until_version_10() {
    allowed_in(11, 12, |version| {
        create_verdict(version, |create| {
            create["content"] = json!({"room_version": version});
        })
        .is_accept()
    });
}

#[test]
fn rooms_are_of_the_creators_server_until_version_11() {
    let elsewhere = |version: &str| {
        create_verdict(version, |create| {
            create["room_id"] = "!room:elsewhere".into();
        })
        .is_accept()
    };
    allowed_in(0, 0, elsewhere);
    let own_id = create_verdict("12", |create| create["room_id"] = "!room:a".into());
    assert!(own_id.rejection().unwrap().rule.contains("names a room"));
}

#[test]
fn additional_creators_are_user_ids_in_version_12() {
    for wrong in [json!("@bob:b"), json!(["bob"]), json!([1]), json!({})] {
        allowed_in(3, 11, |version| {
            create_verdict(version, |c| {
                c["content"]["additional_creators"] = wrong.clone();
            })
            .is_accept()
        });
    }
}

#[test]
fn additional_creators_have_infinite_power_in_version_12() {
    let content = json!({"room_version": "12", "additional_creators": [BOB]});
    let mut room = TestRoom::with_create("12", &content);
    let mut state = StateMap::from([(key("m.room.create", ""), room.create)]);
    state = room.join(&state, ALICE);
    state = room.join_rule(&state, ALICE, "public");
    state = room.join(&state, BOB);
    state = room.join(&state, CAROL);
    let levels = json!({"users": {CAROL: 100}, "ban": 1000, "events": {"m.room.topic": 1000}});
    state = room.state(&state, BOB, "m.room.power_levels", "", &levels);
    state = room.topic(&state, BOB, "topic");
    let ban = json!({"membership": "ban"});
    assert!(
        room.try_state(&state, BOB, "m.room.member", CAROL, &ban)
            .is_ok()
    );
    let one_another = room
        .try_state(&state, BOB, "m.room.member", ALICE, &ban)
        .unwrap_err();
    assert!(
        one_another.contains("not have enough power"),
        "{one_another}"
    );
    for creator in [ALICE, BOB] {
        let levels = json!({"users": {CAROL: 100, creator: 100}});
        let named = room
            .try_state(&state, BOB, "m.room.power_levels", "", &levels)
            .unwrap_err();
        assert!(named.contains("creator"), "{named}");
    }
}

#[test]
fn creators_are_demoted_like_others_until_version_11() {
    allowed_in(3, 11, |version| {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let levels = json!({"users": {ALICE: 0, BOB: 50}});
        room.try_state(&state, ALICE, "m.room.power_levels", "", &levels)
            .is_ok()
    });
}

#[test]
fn knocking_begins_with_version_7_and_reaches_restricted_rooms_with_10() {
    for (join_rule, since) in [("knock", 7), ("knock_restricted", 10), ("public", 13)] {
        allowed_in(since, 12, |version| {
            let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
            let state = room.join_rule(&state, ALICE, join_rule);
            let knock = json!({"membership": "knock"});
            room.try_state(&state, DAVE, "m.room.member", DAVE, &knock)
                .is_ok()
        });
    }
}

#[test]
fn who_knocked_may_leave_and_be_let_in() {
    let (mut room, state) = TestRoom::public("11", &[(BOB, 50)]);
    let state = room.join_rule(&state, ALICE, "knock");
    let state = room.member(&state, DAVE, DAVE, "knock");
    room.member(&state, DAVE, DAVE, "leave");
    let join = json!({"membership": "join"});
    assert!(
        room.try_state(&state, DAVE, "m.room.member", DAVE, &join)
            .is_err()
    );
    let state = room.member(&state, BOB, DAVE, "invite");
    room.join(&state, DAVE);
}

#[test]
fn restricted_joins_begin_with_version_8_and_need_someone_who_may_invite() {
    for (join_rule, since) in [("restricted", 8), ("knock_restricted", 10)] {
        let join = |version: &str, authorised_by: &str| {
            let (mut room, state) = TestRoom::public(version, &[(BOB, 50), (CAROL, 0)]);
            let mut levels = room.levels(&[(BOB, 50), (CAROL, 0)]);
            levels["invite"] = 50.into();
            let state = room.state(&state, ALICE, "m.room.power_levels", "", &levels);
            let state = room.join_rule(&state, ALICE, join_rule);
            let content =
                json!({"membership": "join", "join_authorised_via_users_server": authorised_by});
            room.try_state(&state, DAVE, "m.room.member", DAVE, &content)
                .is_ok()
        };
        allowed_in(since, 12, |version| join(version, BOB));
        allowed_in(since, 12, |version| join(version, ALICE));
        allowed_in(13, 12, |version| join(version, CAROL));
        allowed_in(13, 12, |version| join(version, "@stranger:b"));
    }
}

#[test]
fn invited_users_join_restricted_rooms_without_authorisation() {
    let (mut room, state) = TestRoom::public("8", &[(BOB, 50)]);
    let state = room.join_rule(&state, ALICE, "restricted");
    let join = json!({"membership": "join"});
    assert!(
        room.try_state(&state, DAVE, "m.room.member", DAVE, &join)
            .is_err()
    );
    let state = room.member(&state, BOB, DAVE, "invite");
    room.join(&state, DAVE);
}

#[test]
fn power_levels_are_text_until_version_9() {
    allowed_in(3, 9, |version| {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let mut levels = room.levels(&[(BOB, 50)]);
        levels["ban"] = "50".into();
        room.try_state(&state, ALICE, "m.room.power_levels", "", &levels)
            .is_ok()
    });
}

#[test]
fn notification_levels_are_guarded_from_version_6() {
    allowed_in(3, 5, |version| {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let mut levels = room.levels(&[(BOB, 50)]);
        levels["notifications"] = json!({"room": 60});
        room.try_state(&state, BOB, "m.room.power_levels", "", &levels)
            .is_ok()
    });
}

#[test]
fn aliases_are_anybodys_until_version_5() {
    allowed_in(3, 5, |version| {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 0)]);
        room.try_state(&state, BOB, "m.room.aliases", "b", &json!({}))
            .is_ok()
    });
}

#[test]
fn unfederated_rooms_are_for_one_server() {
    for version in ALL {
        let content = json!({"room_version": version, "creator": ALICE, "m.federate": false});
        let mut room = TestRoom::with_create(version, &content);
        let mut state = StateMap::from([(key("m.room.create", ""), room.create)]);
        state = room.join(&state, ALICE);
        state = room.join_rule(&state, ALICE, "public");
        state = room.join(&state, "@neighbour:a");
        let join = json!({"membership": "join"});
        let error = room
            .try_state(&state, BOB, "m.room.member", BOB, &join)
            .unwrap_err();
        assert!(
            error.contains("not federated"),
            "version {version}: {error}"
        );
    }
}
