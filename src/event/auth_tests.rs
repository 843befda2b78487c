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
use crate::resolve_room::{ALICE, BOB, CAROL, DAVE, TestRoom, key, pdu};

const ALL: [&str; 10] = ["3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];

fn independent(room: &TestRoom, event: &Pdu) -> Verdict {
    check_state_independent(event, |hash| room.events.get(&hash).cloned()).unwrap()
}

fn rule(verdict: Verdict) -> String {
    verdict.rejection().unwrap().rule
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
    assert_eq!(
        cited(&topic),
        at(&[base[0], base[1], ("m.room.member", BOB)])
    );
    let invite = json!({"membership": "invite"});
    let invite = room.make(&state, BOB, "m.room.member", Some(ALICE), &invite);
    let more = [
        ("m.room.member", ALICE),
        ("m.room.member", BOB),
        ("m.room.join_rules", ""),
    ];
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
    assert!(
        state_needed(&topic)
            .unwrap()
            .contains(&key("m.room.create", ""))
    );
}

#[test]
fn missing_auth_events_are_named() {
    let (mut room, state) = TestRoom::public("11", &[(BOB, 50)]);
    let topic = room.make(&state, BOB, "m.room.topic", Some(""), &json!({}));
    let member = state[&key("m.room.member", BOB)];
    room.events.remove(&member);
    let lookup = |hash| room.events.get(&hash).cloned();
    assert_eq!(
        check_state_independent(&topic, lookup).unwrap_err().missing,
        [member]
    );
    let none = |_: EventHash| None;
    assert_eq!(
        check_state_independent(&topic, none).unwrap_err().missing,
        topic.auth_hashes()
    );
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
        let cites = topic
            .auth_hashes()
            .iter()
            .map(|h| if *h == levels { foreign.hash() } else { *h });
        let topic = with(&topic, "auth_events", ids(&room, cites.collect::<Vec<_>>()));
        let verdict = independent(&room, &topic);
        assert!(
            rule(verdict).contains("not in the same room"),
            "version {version}"
        );
        // The same by way of a state that has got mixed up.
        let mut mixed = state.clone();
        mixed.insert(key("m.room.power_levels", ""), foreign.hash());
        let verdict = room.verdict(&mixed, &topic);
        assert!(
            rule(verdict).contains("of another room"),
            "version {version}"
        );
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
    let without_create = cited
        .iter()
        .copied()
        .filter(|h| *h != room.create)
        .collect();
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

#[test]
fn state_of_others_is_theirs() {
    let (mut room, state) = TestRoom::public("11", &[(BOB, 50)]);
    let own = room.try_state(&state, BOB, "org.example.status", BOB, &json!({}));
    assert!(own.is_ok());
    assert!(
        room.try_state(&state, BOB, "org.example.status", CAROL, &json!({}))
            .is_err()
    );
}

#[test]
fn a_reason_says_who_did_what_and_what_they_lack() {
    let (mut room, state) = TestRoom::public("11", &[(BOB, 50), (CAROL, 7)]);
    let reason = room
        .try_state(&state, CAROL, "m.room.topic", "", &json!({}))
        .unwrap_err();
    assert_eq!(
        reason,
        "m.room.topic by @carol:c is not allowed by the state of the room: sender does not have \
         enough power to send event of type `m.room.topic` (the sender's membership is join, \
         their power level 7)"
    );
    let reason = room
        .try_state(&state, DAVE, "m.room.topic", "", &json!({}))
        .unwrap_err();
    assert!(reason.contains("membership is leave"), "{reason}");
}

fn judged(room: &TestRoom, event: &Pdu, before: &StateMap, current: &StateMap) -> Judgement {
    let at = |state: &StateMap, event_type: &_, state_key: &str| {
        let hash = state.get(&(Clone::clone(event_type), state_key.to_owned()))?;
        room.events.get(hash).cloned()
    };
    let lookup = |hash| room.events.get(&hash).cloned();
    judge(
        event,
        lookup,
        |t, k| at(before, t, k),
        |t, k| at(current, t, k),
    )
    .unwrap()
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
    let unpowered = room.make(
        &state,
        BOB,
        "m.room.topic",
        Some(""),
        &json!({"topic": "no"}),
    );
    let levels = state[&key("m.room.power_levels", "")];
    let cites = unpowered
        .auth_hashes()
        .iter()
        .copied()
        .filter(|hash| *hash != levels);
    let unpowered = with(
        &unpowered,
        "auth_events",
        ids(&room, cites.collect::<Vec<_>>()),
    );
    assert_eq!(
        basis(judged(&room, &unpowered, &state, &state)),
        Some(Basis::AuthEvents)
    );
    let mut twice = unpowered.auth_hashes().to_vec();
    twice.extend_from_slice(unpowered.auth_hashes());
    let twice = with(&unpowered, "auth_events", ids(&room, twice));
    assert_eq!(
        basis(judged(&room, &twice, &state, &state)),
        Some(Basis::Event)
    );
}

/// What is gathered by [`state_needed`] must be all that the rules ask for.
#[test]
fn the_rules_read_no_state_but_what_is_needed() {
    for version in ALL {
        let (mut room, state) = TestRoom::public(version, &[(BOB, 50)]);
        for join_rule in [
            "public",
            "invite",
            "knock",
            "restricted",
            "knock_restricted",
        ] {
            let state = room.join_rule(&state, ALICE, join_rule);
            for membership in ["join", "invite", "leave", "ban", "knock", "other"] {
                for (sender, target) in [(ALICE, BOB), (BOB, BOB), (DAVE, DAVE), (BOB, DAVE)] {
                    let content = json!({
                        "membership": membership, "join_authorised_via_users_server": BOB,
                        "third_party_invite": {"signed": {
                            "token": "t", "mxid": target, "signatures": {},
                        }},
                    });
                    let event = room.make(&state, sender, "m.room.member", Some(target), &content);
                    assert_reads_only_needed(&room, &state, &event);
                }
            }
            for event_type in [
                "m.room.power_levels",
                "m.room.third_party_invite",
                "m.room.topic",
            ] {
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
    assert!(
        read.is_subset(&needed),
        "{event:?}: {read:?} beyond {needed:?}"
    );
}
