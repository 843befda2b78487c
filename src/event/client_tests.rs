use ruma_common::server_name;
use serde_json::{Value as Serde, json, value::to_raw_value};

use super::*;
use crate::Draft;
use crate::fixtures::{CREATE, draft, key, rules};

fn sign(draft: Draft<'_>) -> Pdu {
    draft.sign(server_name!("domain"), &key()).unwrap()
}

#[test]
fn message_has_the_fields_of_a_client_event() {
    let pdu = sign(draft(rules("11")));
    let unsigned = to_raw_value(&json!({"age": 5})).unwrap();
    let format = ClientFormat {
        room_id: true,
        unsigned: Some(&unsigned),
    };
    let expected = json!({
        "content": {"body": "hello", "msgtype": "m.text"},
        "event_id": pdu.event_id(),
        "origin_server_ts": 1_000_000,
        "room_id": "!r:domain",
        "sender": "@u:domain",
        "type": "m.room.message",
        "unsigned": {"age": 5},
    });
    let found: Serde = serde_json::from_str(&pdu.to_client_json(format)).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn room_and_unsigned_may_be_left_out() {
    let text = sign(draft(rules("12"))).to_client_json(ClientFormat::default());
    assert!(
        !text.contains("room_id") && !text.contains("unsigned"),
        "{text}"
    );
}

#[test]
fn types_and_state_keys_are_escaped() {
    let pdu = sign(Draft {
        event_type: "a\"b\\",
        state_key: Some("\u{0}\n"),
        ..draft(rules("11"))
    });
    let found: Serde = serde_json::from_str(&pdu.to_client_json(ClientFormat::default())).unwrap();
    assert_eq!(found["type"], "a\"b\\");
    assert_eq!(found["state_key"], "\u{0}\n");
}

#[test]
fn redactions_name_their_target_in_both_places() {
    for version in ["3", "10", "11", "12"] {
        let target = CREATE.to_event_id(rules(version).alphabet());
        let pdu = sign(Draft {
            event_type: "m.room.redaction",
            content: r#"{"reason":"r"}"#,
            redacts: Some(&target),
            ..draft(rules(version))
        });
        let text = pdu.to_client_json(ClientFormat::default());
        let found: Serde = serde_json::from_str(&text).unwrap();
        assert_eq!(found["redacts"], json!(target), "{version}");
        assert_eq!(
            found["content"],
            json!({"reason": "r", "redacts": target}),
            "{version}"
        );
    }
}

#[test]
fn redaction_without_a_target_is_served_as_it_is() {
    for version in ["10", "11"] {
        let pdu = sign(Draft {
            event_type: "m.room.redaction",
            ..draft(rules(version))
        });
        assert!(
            !pdu.to_client_json(ClientFormat::default())
                .contains("redacts")
        );
    }
}

#[test]
fn content_of_an_old_room_goes_out_digit_by_digit() {
    let json = include_str!("testdata/python_events.tsv")
        .lines()
        .find(|row| row.starts_with('3') && row.contains("123456789012345678901234567890"))
        .and_then(|row| row.split('\t').nth(1))
        .unwrap();
    let inbound = crate::Inbound::parse(rules("3"), json.as_bytes()).unwrap();
    let pdu = inbound.verify(&crate::fixtures::ring()).unwrap().into_pdu();
    let text = pdu.to_client_json(ClientFormat::default());
    assert!(
        text.contains(r#""n":123456789012345678901234567890}"#),
        "{text}"
    );
}

#[test]
fn stripped_state_has_four_fields() {
    let pdu = sign(Draft {
        event_type: "m.room.name",
        state_key: Some(""),
        content: r#"{"name":"n"}"#,
        ..draft(rules("11"))
    });
    let mut text = String::new();
    pdu.write_stripped_json(&mut text);
    let expected =
        r#"{"content":{"name":"n"},"sender":"@u:domain","state_key":"","type":"m.room.name"}"#;
    assert_eq!(text, expected);
}
