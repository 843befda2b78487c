use ruma_common::{CanonicalJsonObject, event_id, server_name, user_id};
use ruma_signatures::hash_and_sign_event;
use serde_json::{Value as Serde, json};

use super::*;
use crate::fixtures::{CREATE, draft, key, ring, room, rules, seed};
use crate::{EVENT_BYTES_MAX, Inbound, Verified};

fn sign(draft: Draft<'_>) -> Result<Pdu, DraftError> {
    draft.sign(server_name!("domain"), &key())
}

fn json(pdu: &Pdu) -> Serde {
    serde_json::from_str(pdu.json()).unwrap()
}

#[test]
fn appendices_signed_events() {
    for (event, hash, signature) in [
        (
            json!({
                "room_id": "!x:domain", "sender": "@a:domain", "origin": "domain",
                "origin_server_ts": 1_000_000, "signatures": {}, "hashes": {}, "type": "X",
                "content": {}, "prev_events": [], "auth_events": [], "depth": 3,
                "unsigned": {"age_ts": 1_000_000}
            }),
            "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
            "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg",
        ),
        (
            json!({
                "content": {"body": "Here is the message content"}, "event_id": "$0:domain",
                "origin": "domain", "origin_server_ts": 1_000_000, "type": "m.room.message",
                "room_id": "!r:domain", "sender": "@u:domain", "signatures": {},
                "unsigned": {"age_ts": 1_000_000}
            }),
            "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
            "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
        ),
    ] {
        let mut expected = event.clone();
        expected["hashes"] = json!({"sha256": hash});
        expected["signatures"] = json!({"domain": {"ed25519:1": signature}});
        let text = event.to_string();
        let mut object = Object::parse(text.as_bytes(), Numbers::Strict).unwrap();
        hash_and_sign(&mut object, rules("3"), "domain", &key());
        assert_eq!(
            serde_json::from_str::<Serde>(&object.to_text()).unwrap(),
            expected
        );
    }
}

#[test]
fn built_events_pass_as_inbound_in_every_version() {
    for rules in RoomRules::all() {
        let pdu = sign(draft(rules)).unwrap();
        let inbound = Inbound::parse(rules, pdu.json().as_bytes()).unwrap();
        let Verified::Intact(received) = inbound.verify(&ring()).unwrap() else {
            panic!("redacted in version {}", rules.version());
        };
        assert_eq!(*received, pdu);
    }
}

#[test]
fn built_events_are_what_ruma_builds() {
    let der = [
        &[
            0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
        ],
        &seed()[..],
    ]
    .concat();
    let pair = ruma_signatures::Ed25519KeyPair::from_der(&der, "1".into()).unwrap();
    for rules in RoomRules::all() {
        let pdu = sign(draft(rules)).unwrap();
        let mut unsigned: CanonicalJsonObject = serde_json::from_str(pdu.json()).unwrap();
        unsigned.remove("hashes");
        unsigned.remove("signatures");
        hash_and_sign_event("domain", &pair, &mut unsigned, rules.redaction()).unwrap();
        assert_eq!(serde_json::to_string(&unsigned).unwrap(), pdu.json());
        let hash = ruma_signatures::reference_hash(&unsigned, rules.ruma()).unwrap();
        assert_eq!(format!("${hash}"), pdu.event_id().as_str());
    }
}

#[test]
fn users_of_other_servers_are_not_signed_for() {
    let foreign = Draft {
        sender: user_id!("@u:domain.evil"),
        ..draft(rules("11"))
    };
    assert_eq!(sign(foreign), Err(DraftError::ForeignSender));
}

#[test]
fn create_event_of_version_12_names_its_room() {
    let create = Draft {
        room_id: None,
        event_type: "m.room.create",
        state_key: Some(""),
        content: r#"{"room_version":"12"}"#,
        prev_events: &[],
        ..draft(rules("12"))
    };
    let pdu = sign(create).unwrap();
    assert_eq!(*pdu.room_id(), *pdu.hash().to_room_id());
    assert!(!pdu.json().contains("room_id"));
    assert!(pdu.is_create());
    let named = Draft {
        room_id: Some(room(rules("12"))),
        ..create
    };
    let unexpected = FormatError::Unexpected { field: "room_id" };
    assert_eq!(sign(named), Err(DraftError::Format(unexpected)));
    let older = Draft {
        rules: rules("11"),
        ..create
    };
    let missing = FormatError::Missing { field: "room_id" };
    assert_eq!(sign(older), Err(DraftError::Format(missing)));
}

#[test]
fn version_12_does_not_authorise_by_the_create_event() {
    let named = Draft {
        auth_events: &[CREATE],
        ..draft(rules("12"))
    };
    assert_eq!(
        sign(named),
        Err(DraftError::Format(FormatError::CreateInAuthEvents))
    );
}

#[test]
fn redactions_name_their_target_where_the_version_wants_it() {
    let target = CREATE.to_event_id(rules("10").alphabet());
    for (version, in_content) in [("10", false), ("11", true), ("12", true)] {
        let redaction = Draft {
            event_type: "m.room.redaction",
            content: r#"{"reason":"r","redacts":"$other"}"#,
            redacts: Some(&target),
            ..draft(rules(version))
        };
        let pdu = sign(redaction).unwrap();
        let found = json(&pdu);
        let content = if in_content {
            target.as_str()
        } else {
            "$other"
        };
        assert_eq!(found["content"], json!({"reason": "r", "redacts": content}));
        assert_eq!(found.get("redacts").is_some(), !in_content);
        assert_eq!(pdu.redacts(), Some(&target));
    }
}

#[test]
fn other_events_redact_nothing() {
    let odd = Draft {
        redacts: Some(event_id!("$x")),
        ..draft(rules("6"))
    };
    assert_eq!(sign(odd).unwrap().redacts(), None);
    let odd = Draft {
        event_type: "m.room.redaction",
        ..odd
    };
    assert_eq!(
        sign(odd).unwrap().redacts(),
        None,
        "`$x` is no ID of this version"
    );
}

/// HTTP-007 and ROOM-007 of the acceptance table.
#[test]
fn content_is_made_canonical() {
    for version in ["3", "6", "12"] {
        let odd =
            r#" {"n":-0, "m": 1e2, "membership":"join", "membership":"leave", "a":"\u0041"} "#;
        let pdu = sign(Draft {
            content: odd,
            ..draft(rules(version))
        })
        .unwrap();
        assert_eq!(
            pdu.content_json(),
            r#"{"a":"A","m":100,"membership":"leave","n":0}"#
        );
    }
}

/// HTTP-003, HTTP-008, HTTP-009, ROOM-007 and ROOM-013 of the acceptance table.
#[test]
fn content_without_a_canonical_form_is_refused() {
    for (content, error) in [
        ("[]", JsonError::NotAnObject),
        (r#"{"n":1.5}"#, JsonError::NotAnInteger { at: 5 }),
        (r#"{"n":9007199254740992}"#, JsonError::OutOfRange { at: 5 }),
        (r#"{"n":NaN}"#, JsonError::Syntax { at: 5 }),
        (r#"{"n":-Infinity}"#, JsonError::Syntax { at: 6 }),
        (r#"{"n":"\ud800"}"#, JsonError::LoneSurrogate { at: 6 }),
    ] {
        for version in ["3", "12"] {
            let found = sign(Draft {
                content,
                ..draft(rules(version))
            });
            assert_eq!(found, Err(DraftError::Content(error)), "{content}");
        }
    }
}

/// ROOM-003 of the acceptance table.
#[test]
fn long_types_and_state_keys_are_refused() {
    let (longest, too_long) = ("t".repeat(255), "t".repeat(256));
    let base = draft(rules("11"));
    assert!(
        sign(Draft {
            event_type: &longest,
            state_key: Some(&longest),
            ..base
        })
        .is_ok()
    );
    for odd in [
        Draft {
            event_type: &too_long,
            ..base
        },
        Draft {
            state_key: Some(&too_long),
            ..base
        },
    ] {
        let Err(DraftError::Format(error)) = sign(odd) else {
            panic!("accepted")
        };
        assert!(error.is_too_large(), "{error:?}");
    }
}

/// ROOM-001 and ROOM-002 of the acceptance table.
#[test]
fn events_of_65536_bytes_are_the_largest() {
    let empty = sign(Draft {
        content: r#"{"body":""}"#,
        ..draft(rules("11"))
    })
    .unwrap();
    let fitting = "b".repeat(EVENT_BYTES_MAX - empty.json().len());
    let content = format!(r#"{{"body":"{fitting}"}}"#);
    let pdu = sign(Draft {
        content: &content,
        ..draft(rules("11"))
    })
    .unwrap();
    assert_eq!(pdu.json().len(), 65_536);
    assert!(Inbound::parse(rules("11"), pdu.json().as_bytes()).is_ok());
    let content = format!(r#"{{"body":"b{fitting}"}}"#);
    let found = sign(Draft {
        content: &content,
        ..draft(rules("11"))
    });
    assert_eq!(
        found,
        Err(DraftError::Format(FormatError::TooLarge { bytes: 65_537 }))
    );
}

/// The specification allows 65,536 bytes; ruma stops one short, so its check is not ours.
#[test]
fn ruma_stops_one_byte_short() {
    let empty = sign(Draft {
        content: r#"{"body":""}"#,
        ..draft(rules("11"))
    })
    .unwrap();
    for (bytes, accepted) in [(65_535, true), (65_536, false)] {
        let body = "b".repeat(bytes - empty.json().len());
        let content = format!(r#"{{"body":"{body}"}}"#);
        let pdu = sign(Draft {
            content: &content,
            ..draft(rules("11"))
        })
        .unwrap();
        let object: CanonicalJsonObject = serde_json::from_str(pdu.json()).unwrap();
        let format = &rules("11").ruma().event_format;
        let theirs = ruma_state_res::check_pdu_format(&object, format);
        assert_eq!(theirs.is_ok(), accepted, "{bytes}");
    }
}

#[test]
fn depth_stops_at_the_maximum_of_the_version() {
    for (version, depth) in [("5", i64::MAX), ("6", crate::INTEGER_MAX)] {
        let pdu = sign(Draft {
            depth: i64::MAX,
            ..draft(rules(version))
        })
        .unwrap();
        assert_eq!(pdu.depth(), depth);
    }
    let negative = sign(Draft {
        depth: -1,
        ..draft(rules("6"))
    });
    assert_eq!(
        negative,
        Err(DraftError::Format(FormatError::OutOfRange {
            field: "depth"
        }))
    );
}

#[test]
fn references_have_their_limits() {
    let base = draft(rules("11"));
    let many = [CREATE; 21];
    assert!(
        sign(Draft {
            prev_events: &many[..20],
            auth_events: &many[..10],
            ..base
        })
        .is_ok()
    );
    let refused = sign(Draft {
        prev_events: &many,
        ..base
    });
    let error = FormatError::TooMany {
        field: "prev_events",
        count: 21,
        max: 20,
    };
    assert_eq!(refused, Err(DraftError::Format(error)));
    let refused = sign(Draft {
        prev_events: &[],
        ..base
    });
    assert_eq!(refused, Err(DraftError::Format(FormatError::NoPrevEvents)));
}
