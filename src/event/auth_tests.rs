use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::auth::{
    Basis, Judgement, Rejection, Verdict, auth_events_needed, check_auth_events,
    check_state_dependent, check_state_independent, judge, state_needed,
};
use crate::hash::EventHash;
use crate::pdu::Pdu;
use crate::resolve_conflict::StateMap;
use crate::resolve_room::{ALICE, BOB, CAROL, DAVE, TestRoom, key, pdu, rules};

const ALL: [&str; 10] = ["3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];

fn independent(room: &TestRoom, event: &Pdu) -> Verdict {
    check_state_independent(event, |hash| room.events.get(&hash).cloned()).unwrap()
}

fn rule(verdict: Verdict) -> String {
    verdict.rejection().unwrap().rule
}

/// Whether an event is allowed, in the versions from `since` to `until`.
fn allowed_in(since: u8, until: u8, try_it: impl Fn(&str) -> bool) {
    for version in ALL {
        let number: u8 = version.parse().unwrap();
        let expected = (since..=until).contains(&number);
        assert_eq!(try_it(version), expected, "version {version}");
    }
}

/// An event like another, with one field set anew.
fn with(event: &Pdu, field: &str, value: Value) -> Arc<Pdu> {
    let mut json: Value = serde_json::from_str(event.json()).unwrap();
    json[field] = value;
    pdu(event.rules(), &json)
}

fn ids(room: &TestRoom, hashes: impl IntoIterator<Item = EventHash>) -> Value {
    let id = |hash: EventHash| hash.to_event_id(room.rules.alphabet()).to_string();
    hashes.into_iter().map(id).collect::<Vec<_>>().into()
}

#[test]
fn ordinary_life_is_allowed_in_every_version() {
    for version in ALL {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50), (CAROL, 0)]);
        let state = room.topic(&state, BOB, "topic");
        room.member(&state, BOB, CAROL, "ban");
        for event in room.events.values() {
            let verdict = independent(&room, event);
            assert!(verdict.is_accept(), "version {version}: {verdict:?}");
        }
    }
}

#[test]
fn auth_types_name_what_allows_an_event() {
    let (mut room, state) = TestRoom::public("11", &[(BOB, 50)]);
    let cited = |event: &Pdu| -> BTreeSet<_> { event.auth_hashes().iter().copied().collect() };
    let at = |keys: &[(&str, &str)]| -> BTreeSet<_> {
        keys.iter().map(|(t, k)| state[&key(t, k)]).collect()
    };
    let base = [("m.room.create", ""), ("m.room.power_levels", "")];
    let topic = room.make(&state, BOB, "m.room.topic", Some(""), &json!({}));
    assert_eq!(cited(&topic), at(&[base[0], base[1], ("m.room.member", BOB)]));
    let invite = json!({"membership": "invite"});
    let invite = room.make(&state, BOB, "m.room.member", Some(ALICE), &invite);
    let more = [("m.room.member", ALICE), ("m.room.member", BOB), ("m.room.join_rules", "")];
    assert_eq!(cited(&invite), at(&[&base[..], &more[..]].concat()));
    let kick = json!({"membership": "leave"});
    let kick = room.make(&state, ALICE, "m.room.member", Some(BOB), &kick);
    assert_eq!(cited(&kick), at(&[&base[..], &more[..2]].concat()));
}

#[test]
fn version_12_never_cites_the_create_event_but_needs_it() {
    let (mut room, state) = TestRoom::public("12", &[(BOB, 50)]);
    let topic = room.make(&state, BOB, "m.room.topic", Some(""), &json!({}));
    assert!(!topic.auth_hashes().contains(&room.create));
    assert!(auth_events_needed(&topic).contains(&room.create));
    assert!(state_needed(&topic).unwrap().contains(&key("m.room.create", "")));
}

#[test]
fn missing_auth_events_are_named() {
    let (mut room, state) = TestRoom::public("11", &[(BOB, 50)]);
    let topic = room.make(&state, BOB, "m.room.topic", Some(""), &json!({}));
    let member = state[&key("m.room.member", BOB)];
    room.events.remove(&member);
    let lookup = |hash| room.events.get(&hash).cloned();
    assert_eq!(check_state_independent(&topic, lookup).unwrap_err().missing, [member]);
    let none = |_: EventHash| None;
    assert_eq!(check_state_independent(&topic, none).unwrap_err().missing, topic.auth_hashes());
}

#[test]
fn an_auth_event_of_another_room_is_a_rejection() {
    for version in ALL {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let elsewhere = if room.rules.room_id_is_hash() {
            EventHash::from([7; 32]).to_room_id().to_string()
        } else {
            "!elsewhere:a".to_owned()
        };
        let levels = state[&key("m.room.power_levels", "")];
        let foreign = with(&room.events[&levels], "room_id", elsewhere.into());
        room.events.insert(foreign.hash(), Arc::clone(&foreign));
        let topic = room.make(&state, BOB, "m.room.topic", Some(""), &json!({}));
        let cites = topic.auth_hashes().iter().map(|h| if *h == levels { foreign.hash() } else { *h });
        let topic = with(&topic, "auth_events", ids(&room, cites.collect::<Vec<_>>()));
        let verdict = independent(&room, &topic);
        assert!(rule(verdict).contains("not in the same room"), "version {version}");
        // The same by way of a state that has got mixed up.
        let mut mixed = state.clone();
        mixed.insert(key("m.room.power_levels", ""), foreign.hash());
        let verdict = room.verdict(&mixed, &topic);
        assert!(rule(verdict).contains("of another room"), "version {version}");
    }
}

#[test]
fn auth_events_are_cited_once_each_and_only_the_right_ones() {
    let (mut room, state) = TestRoom::public("11", &[(BOB, 50), (CAROL, 0)]);
    let topic = room.make(&state, BOB, "m.room.topic", Some(""), &json!({}));
    let cited = topic.auth_hashes().to_vec();
    let verdict = |cites: Vec<EventHash>| {
        let topic = with(&topic, "auth_events", ids(&room, cites));
        independent(&room, &topic)
    };
    assert!(verdict(cited.clone()).is_accept());
    assert!(rule(verdict([&cited[..], &cited[..1]].concat())).contains("duplicate"));
    let carols = state[&key("m.room.member", CAROL)];
    assert!(rule(verdict([&cited[..], &[carols]].concat())).contains("unexpected"));
    let without_create = cited.iter().copied().filter(|h| *h != room.create).collect();
    assert!(rule(verdict(without_create)).contains("no `m.room.create`"));
}

#[test]
fn rejected_auth_events_vouch_for_nothing() {
    let (mut room, state) = TestRoom::public("11", &[(BOB, 50)]);
    let topic = room.make(&state, BOB, "m.room.topic", Some(""), &json!({}));
    let member = state[&key("m.room.member", BOB)];
    let rejected = Pdu::clone(&room.events[&member]).with_rejected(true);
    room.events.insert(member, Arc::new(rejected));
    assert!(rule(independent(&room, &topic)).contains("rejected auth event"));
    let lookup = |hash| room.events.get(&hash).cloned();
    let rejection = check_auth_events(&topic, lookup).rejection().unwrap();
    assert_eq!(rejection.basis, Basis::AuthEvents);
}

#[test]
fn a_room_of_version_12_must_be_named_after_a_create_event() {
    let (mut room, state) = TestRoom::public("12", &[(BOB, 50)]);
    let other = state[&key("m.room.member", BOB)];
    let topic = room.make(&state, BOB, "m.room.topic", Some(""), &json!({}));
    let topic = with(&topic, "room_id", other.to_room_id().as_str().into());
    let topic = with(&topic, "auth_events", json!([]));
    assert!(rule(independent(&room, &topic)).contains("not named after"));
}

#[test]
fn a_rejected_create_event_begins_no_room() {
    let (mut room, state) = TestRoom::public("12", &[(BOB, 50)]);
    let topic = room.make(&state, BOB, "m.room.topic", Some(""), &json!({}));
    let create = Pdu::clone(&room.events[&room.create]).with_rejected(true);
    room.events.insert(create.hash(), Arc::new(create));
    assert!(rule(independent(&room, &topic)).contains("rejected `m.room.create`"));
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
        assert!(create_verdict(version, |_| ()).is_accept(), "version {version}");
        let after_something =
            create_verdict(version, |create| create["prev_events"] = json!([event_id(version)]));
        assert!(!after_something.is_accept(), "version {version}");
        let other_version = create_verdict(version, |c| c["content"]["room_version"] = "2".into());
        assert!(!other_version.is_accept(), "version {version}");
    }
}

fn event_id(version: &str) -> String {
    EventHash::from([1; 32]).to_event_id(rules(version).alphabet()).to_string()
}

#[test]
fn a_creator_is_named_until_version_10() {
    allowed_in(11, 12, |version| {
        create_verdict(version, |create| create["content"] = json!({"room_version": version}))
            .is_accept()
    });
}

#[test]
fn rooms_are_of_the_creators_server_until_version_11() {
    let elsewhere = |version: &str| {
        create_verdict(version, |create| create["room_id"] = "!room:elsewhere".into()).is_accept()
    };
    allowed_in(0, 0, elsewhere);
    let own_id = create_verdict("12", |create| create["room_id"] = "!room:a".into());
    assert!(rule(own_id).contains("names a room"));
}

#[test]
fn additional_creators_are_user_ids_in_version_12() {
    for wrong in [json!("@bob:b"), json!(["bob"]), json!([1]), json!({})] {
        allowed_in(3, 11, |version| {
            create_verdict(version, |c| c["content"]["additional_creators"] = wrong.clone())
                .is_accept()
        });
    }
}

#[test]
fn additional_creators_have_infinite_power_in_version_12() {
    let content = json!({"room_version": "12", "additional_creators": [BOB]});
    let mut room = TestRoom::with_create("12", content);
    let mut state = StateMap::from([(key("m.room.create", ""), room.create)]);
    state = room.join(&state, ALICE);
    state = room.join_rule(&state, ALICE, "public");
    state = room.join(&state, BOB);
    state = room.join(&state, CAROL);
    let levels = json!({"users": {CAROL: 100}, "ban": 1000, "events": {"m.room.topic": 1000}});
    state = room.state(&state, BOB, "m.room.power_levels", "", levels);
    state = room.topic(&state, BOB, "topic");
    let ban = json!({"membership": "ban"});
    assert!(room.try_state(&state, BOB, "m.room.member", CAROL, &ban).is_ok());
    let one_another = room.try_state(&state, BOB, "m.room.member", ALICE, &ban).unwrap_err();
    assert!(one_another.contains("not have enough power"), "{one_another}");
    for creator in [ALICE, BOB] {
        let levels = json!({"users": {CAROL: 100, creator: 100}});
        let named = room.try_state(&state, BOB, "m.room.power_levels", "", &levels).unwrap_err();
        assert!(named.contains("creator"), "{named}");
    }
}

#[test]
fn creators_are_demoted_like_others_until_version_11() {
    allowed_in(3, 11, |version| {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let levels = json!({"users": {ALICE: 0, BOB: 50}});
        room.try_state(&state, ALICE, "m.room.power_levels", "", &levels).is_ok()
    });
}

#[test]
fn knocking_begins_with_version_7_and_reaches_restricted_rooms_with_10() {
    for (join_rule, since) in [("knock", 7), ("knock_restricted", 10), ("public", 13)] {
        allowed_in(since, 12, |version| {
            let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
            let state = room.join_rule(&state, ALICE, join_rule);
            let knock = json!({"membership": "knock"});
            room.try_state(&state, DAVE, "m.room.member", DAVE, &knock).is_ok()
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
    assert!(room.try_state(&state, DAVE, "m.room.member", DAVE, &join).is_err());
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
            let state = room.state(&state, ALICE, "m.room.power_levels", "", levels);
            let state = room.join_rule(&state, ALICE, join_rule);
            let content =
                json!({"membership": "join", "join_authorised_via_users_server": authorised_by});
            room.try_state(&state, DAVE, "m.room.member", DAVE, &content).is_ok()
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
    assert!(room.try_state(&state, DAVE, "m.room.member", DAVE, &join).is_err());
    let state = room.member(&state, BOB, DAVE, "invite");
    room.join(&state, DAVE);
}

#[test]
fn power_levels_are_text_until_version_9() {
    allowed_in(3, 9, |version| {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let mut levels = room.levels(&[(BOB, 50)]);
        levels["ban"] = "50".into();
        room.try_state(&state, ALICE, "m.room.power_levels", "", &levels).is_ok()
    });
}

#[test]
fn notification_levels_are_guarded_from_version_6() {
    allowed_in(3, 5, |version| {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        let mut levels = room.levels(&[(BOB, 50)]);
        levels["notifications"] = json!({"room": 60});
        room.try_state(&state, BOB, "m.room.power_levels", "", &levels).is_ok()
    });
}

#[test]
fn aliases_are_anybodys_until_version_5() {
    allowed_in(3, 5, |version| {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 0)]);
        room.try_state(&state, BOB, "m.room.aliases", "b", &json!({})).is_ok()
    });
}

#[test]
fn unfederated_rooms_are_for_one_server() {
    for version in ALL {
        let content = json!({"room_version": version, "creator": ALICE, "m.federate": false});
        let mut room = TestRoom::with_create(version, content);
        let mut state = StateMap::from([(key("m.room.create", ""), room.create)]);
        state = room.join(&state, ALICE);
        state = room.join_rule(&state, ALICE, "public");
        state = room.join(&state, "@neighbour:a");
        let join = json!({"membership": "join"});
        let error = room.try_state(&state, BOB, "m.room.member", BOB, &join).unwrap_err();
        assert!(error.contains("not federated"), "version {version}: {error}");
    }
}

#[test]
fn state_of_others_is_theirs() {
    let (mut room, state) = TestRoom::public("11", &[(BOB, 50)]);
    let own = room.try_state(&state, BOB, "org.example.status", BOB, &json!({}));
    assert!(own.is_ok());
    assert!(room.try_state(&state, BOB, "org.example.status", CAROL, &json!({})).is_err());
}

#[test]
fn a_reason_says_who_did_what_and_what_they_lack() {
    let (mut room, state) = TestRoom::public("11", &[(BOB, 50), (CAROL, 7)]);
    let reason = room.try_state(&state, CAROL, "m.room.topic", "", &json!({})).unwrap_err();
    assert_eq!(
        reason,
        "m.room.topic by @carol:c is not allowed by the state of the room: sender does not have \
         enough power to send event of type `m.room.topic` (the sender's membership is join, \
         their power level 7)"
    );
    let reason = room.try_state(&state, DAVE, "m.room.topic", "", &json!({})).unwrap_err();
    assert!(reason.contains("membership is leave"), "{reason}");
}

fn judged(room: &TestRoom, event: &Pdu, before: &StateMap, current: &StateMap) -> Judgement {
    let at = |state: &StateMap, event_type: &_, state_key: &str| {
        let hash = state.get(&(Clone::clone(event_type), state_key.to_owned()))?;
        room.events.get(hash).cloned()
    };
    let lookup = |hash| room.events.get(&hash).cloned();
    judge(event, lookup, |t, k| at(before, t, k), |t, k| at(current, t, k)).unwrap()
}

#[test]
fn received_events_are_judged_in_order() {
    let (mut room, state) = TestRoom::public("11", &[(BOB, 50)]);
    let banned = room.member(&state, ALICE, BOB, "ban");
    let topic = room.make(&state, BOB, "m.room.topic", Some(""), &json!({}));
    let basis = |judgement| match judgement {
        Judgement::Accepted => None,
        Judgement::SoftFailed(Rejection { basis, .. })
        | Judgement::Rejected(Rejection { basis, .. }) => Some(basis),
    };
    assert_eq!(judged(&room, &topic, &state, &state), Judgement::Accepted);
    let evasion = judged(&room, &topic, &state, &banned);
    assert!(matches!(evasion, Judgement::SoftFailed(_)));
    assert_eq!(basis(evasion), Some(Basis::CurrentState));
    let too_late = judged(&room, &topic, &banned, &banned);
    assert!(matches!(too_late, Judgement::Rejected(_)));
    assert_eq!(basis(too_late), Some(Basis::State));
    let unpowered = room.make(&state, BOB, "m.room.topic", Some(""), &json!({"topic": "no"}));
    let levels = state[&key("m.room.power_levels", "")];
    let cites = unpowered.auth_hashes().iter().copied().filter(|hash| *hash != levels);
    let unpowered = with(&unpowered, "auth_events", ids(&room, cites.collect::<Vec<_>>()));
    assert_eq!(basis(judged(&room, &unpowered, &state, &state)), Some(Basis::AuthEvents));
    let mut twice = unpowered.auth_hashes().to_vec();
    twice.extend_from_slice(unpowered.auth_hashes());
    let twice = with(&unpowered, "auth_events", ids(&room, twice));
    assert_eq!(basis(judged(&room, &twice, &state, &state)), Some(Basis::Event));
}

/// What is gathered by [`state_needed`] must be all that the rules ask for.
#[test]
fn the_rules_read_no_state_but_what_is_needed() {
    for version in ALL {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        for join_rule in ["public", "invite", "knock", "restricted", "knock_restricted"] {
            let state = room.join_rule(&state, ALICE, join_rule);
            for membership in ["join", "invite", "leave", "ban", "knock", "other"] {
                for (sender, target) in [(ALICE, BOB), (BOB, BOB), (DAVE, DAVE), (BOB, DAVE)] {
                    let content = json!({
                        "membership": membership, "join_authorised_via_users_server": BOB,
                        "third_party_invite": {"signed": {
                            "token": "t", "mxid": target, "signatures": {},
                        }},
                    });
                    let event =
                        room.make(&state, sender, "m.room.member", Some(target), &content);
                    assert_reads_only_needed(&room, &state, &event);
                }
            }
            for event_type in ["m.room.power_levels", "m.room.third_party_invite", "m.room.topic"] {
                let event = room.make(&state, BOB, event_type, Some(""), &json!({}));
                assert_reads_only_needed(&room, &state, &event);
            }
        }
    }
}

fn assert_reads_only_needed(room: &TestRoom, state: &StateMap, event: &Pdu) {
    let read = Mutex::new(BTreeSet::new());
    check_state_dependent(event, |event_type, state_key| {
        let at = (event_type.clone(), state_key.to_owned());
        read.lock().unwrap().insert(at.clone());
        room.events.get(state.get(&at)?).cloned()
    });
    let needed: BTreeSet<_> = state_needed(event).unwrap().into_iter().collect();
    let read = read.into_inner().unwrap();
    assert!(read.is_subset(&needed), "{event:?}: {read:?} beyond {needed:?}");
}
