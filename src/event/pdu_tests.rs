use ruma_common::server_name;
use serde_json::json;

use super::*;
use crate::Draft;
use crate::fixtures::{CREATE, draft, key, patched, room, rules, wire};

fn stored(version: &str, json: &serde_json::Value) -> Result<Pdu, UnreadableEvent> {
    Pdu::from_stored(rules(version), CREATE, json.to_string().as_bytes())
}

#[test]
fn stored_events_read_back() {
    for rules in RoomRules::all() {
        let draft = Draft {
            state_key: Some("\u{e9}\"\n"),
            ..draft(rules)
        };
        let pdu = draft.sign(server_name!("domain"), &key()).unwrap();
        let read = Pdu::from_stored(rules, pdu.hash(), pdu.json().as_bytes()).unwrap();
        assert_eq!(read, pdu);
        assert_eq!(read.event_id(), pdu.event_id());
        assert_eq!(read.room_id(), room(rules));
        assert_eq!(read.sender(), "@u:domain");
        assert_eq!(*read.event_type(), TimelineEventType::RoomMessage);
        assert_eq!(read.state_key(), Some("\u{e9}\"\n"));
        assert_eq!(read.depth(), 7);
        assert_eq!(read.prev_hashes(), [CREATE]);
        assert_eq!(read.auth_hashes(), []);
        assert_eq!(
            read.content_json(),
            r#"{"body":"hello","msgtype":"m.text"}"#
        );
    }
}

#[test]
fn damaged_events_are_errors() {
    for patch in [
        json!({"sender": "ABSENT"}),
        json!({"room_id": "ABSENT"}),
        json!({"content": "ABSENT"}),
        json!({"prev_events": ["$x"]}),
        json!({"origin_server_ts": -1}),
        json!({"depth": "7"}),
    ] {
        let found = stored("12", &patched(wire(rules("12")), &patch));
        assert_eq!(found.err().map(|error| error.hash), Some(CREATE), "{patch}");
    }
    assert!(Pdu::from_stored(rules("12"), CREATE, b"\xff").is_err());
    assert!(Pdu::from_stored(rules("12"), CREATE, b"").is_err());
}

#[test]
fn ruma_sees_what_the_event_says() {
    let message = stored("12", &wire(rules("12"))).unwrap();
    assert_eq!(Event::room_id(&message), Some(room(rules("12"))));
    assert_eq!(Event::content(&message).get(), message.content_json());
    let ids: Vec<_> = Event::prev_events(&message).collect();
    assert_eq!(ids, [&CREATE.to_event_id(rules("12").alphabet())]);
    let patch = json!({"type": "m.room.create", "room_id": "ABSENT", "state_key": ""});
    let create = stored("12", &patched(wire(rules("12")), &patch)).unwrap();
    assert_eq!(Event::room_id(&create), None);
    assert_eq!(create.room_id(), room(rules("12")));
    let patch = json!({"type": "m.room.create", "state_key": ""});
    let create = stored("11", &patched(wire(rules("11")), &patch)).unwrap();
    assert_eq!(Event::room_id(&create), Some(room(rules("11"))));
}

#[test]
fn verdict_comes_from_beside_the_event() {
    let pdu = stored("11", &wire(rules("11"))).unwrap();
    assert!(!pdu.rejected());
    let rejected = pdu.with_rejected(true);
    assert!(Event::rejected(&rejected));
    assert!(rejected.redact().unwrap().rejected());
}

#[test]
fn redacts_is_an_id_or_nothing() {
    for value in [json!(5), json!(null), json!("x"), json!("$x"), json!({})] {
        for version in ["10", "11"] {
            let patch = json!({
                "type": "m.room.redaction", "redacts": value, "content": {"redacts": value}
            });
            let pdu = stored(version, &patched(wire(rules(version)), &patch)).unwrap();
            assert_eq!(pdu.redacts(), None, "{value}");
        }
    }
}

#[test]
fn debug_output_keeps_the_content() {
    let text = format!("{:?}", stored("11", &wire(rules("11"))).unwrap());
    assert!(
        text.contains("@u:domain") && !text.contains("hello"),
        "{text}"
    );
}
