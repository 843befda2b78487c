use ruma_common::{OwnedEventId, server_name};
use serde_json::{Value as Serde, json};

use super::*;
use crate::fixtures::{at, draft, key, patched, ring, rules, wire};
use crate::{ClientFormat, Draft, EVENT_BYTES_MAX, KeyError, PREV_EVENTS_MAX, SigningKey};

fn parse(version: &str, event: &Serde) -> Result<Inbound, FormatError> {
    Inbound::parse(rules(version), event.to_string().as_bytes())
}

/// The event signed again by `domain`, whatever was changed in it.
fn resigned(version: &str, event: &Serde) -> Serde {
    let text = event.to_string();
    let mut object = Object::parse(text.as_bytes(), rules(version).numbers()).unwrap();
    crate::digest::add_content_hash(&mut object);
    let essential = essential_text(&object, rules(version));
    crate::key_ring::add_signature(&mut object, "domain", "ed25519:1", key().sign(&essential));
    serde_json::from_str(&object.to_text()).unwrap()
}

fn servers(inbound: &Inbound) -> Vec<String> {
    inbound
        .signers()
        .map(|(server, _)| server.to_string())
        .collect()
}

/// Made by another implementation of the specification: see `testdata/python_events.py`.
#[test]
fn events_made_elsewhere_verify_in_every_version() {
    let mut count = 0;
    for row in include_str!("testdata/python_events.tsv").lines() {
        let mut columns = row.split('\t');
        let version = columns.next().unwrap();
        let inbound = Inbound::parse(rules(version), columns.next().unwrap().as_bytes()).unwrap();
        assert_eq!(inbound.event_id(), columns.next().unwrap(), "{row}");
        let verified = inbound.verify(&ring()).unwrap();
        assert!(matches!(verified, Verified::Intact(_)), "{row}");
        let redacted = verified.pdu().redact().unwrap();
        let again = Inbound::parse(rules(version), redacted.json().as_bytes()).unwrap();
        assert_eq!(again.event_id(), inbound.event_id(), "{row}");
        assert_eq!(
            again.verify(&ring()).unwrap().pdu().json(),
            redacted.json(),
            "{row}"
        );
        count += 1;
    }
    assert!(count >= 100, "{count}");
}

/// `refs*N` as N references, `x*N` as N times x; other values as they are.
fn expanded(value: &Serde, id: &Serde) -> Serde {
    let repeated = value.as_str().and_then(|text| text.split_once('*'));
    match repeated.map(|(what, count)| (what, count.parse().unwrap())) {
        Some(("refs", count)) => Serde::from(vec![id.clone(); count]),
        Some((what, count)) => Serde::from(what.repeat(count)),
        None => value.clone(),
    }
}

#[test]
fn malformed_events_are_dropped() {
    let mut count = 0;
    for row in include_str!("testdata/malformed_events.tsv")
        .lines()
        .skip(1)
    {
        let [id, versions, patch, expected] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        let patch: Serde = serde_json::from_str(patch).unwrap();
        for version in versions.split(' ') {
            let event = wire(rules(version));
            let mut patch = patch.clone();
            for value in patch.as_object_mut().unwrap().values_mut() {
                *value = expanded(value, &event["prev_events"][0]);
            }
            let error = parse(version, &patched(event, &patch)).unwrap_err();
            assert_eq!(format!("{error:?}"), expected, "{id} in version {version}");
            count += 1;
        }
    }
    assert!(count > 90, "{count}");
}

/// PDU-005 and PDU-006 of the acceptance table.
#[test]
fn depth_has_the_limits_of_the_version() {
    let with_depth = |version: &str, depth: &str| {
        let text = wire(rules(version))
            .to_string()
            .replace(r#""depth":7"#, depth);
        Inbound::parse(rules(version), text.as_bytes())
    };
    let range = FormatError::OutOfRange { field: "depth" };
    let integer = FormatError::WrongType {
        field: "depth",
        expected: "an integer",
    };
    for (version, depth, error) in [
        ("3", r#""depth":9223372036854775807"#, None),
        ("3", r#""depth":9223372036854775808"#, Some(range)),
        (
            "3",
            r#""depth":123456789012345678901234567890"#,
            Some(range),
        ),
        ("3", r#""depth":1.5"#, Some(integer)),
        ("3", r#""depth":7.0"#, Some(integer)),
        ("6", r#""depth":9007199254740991"#, None),
    ] {
        assert_eq!(with_depth(version, depth).err(), error, "{version} {depth}");
    }
    for depth in [
        "9007199254740992",
        "9223372036854775807",
        "1.5",
        "7.0",
        "7e0",
    ] {
        let error = with_depth("6", &format!(r#""depth":{depth}"#)).unwrap_err();
        assert!(matches!(error, FormatError::Json(_)), "{depth} {error:?}");
    }
}

#[test]
fn numbers_that_are_no_integers_drop_events_since_version_6() {
    let event = patched(wire(rules("5")), &json!({"content": {"n": 1.5}}));
    assert!(parse("5", &event).is_ok());
    for version in ["6", "12"] {
        let event = patched(wire(rules(version)), &json!({"content": {"n": 1.5}}));
        let error = parse(version, &event).unwrap_err();
        assert!(matches!(
            error,
            FormatError::Json(JsonError::NotAnInteger { .. })
        ));
    }
}

#[test]
fn text_that_is_no_event_is_dropped() {
    for (text, error) in [
        ("[]", JsonError::NotAnObject),
        ("null", JsonError::NotAnObject),
        ("", JsonError::Syntax { at: 0 }),
        ("{} x", JsonError::Syntax { at: 3 }),
    ] {
        let found = Inbound::parse(rules("11"), text.as_bytes()).err();
        assert_eq!(found, Some(FormatError::Json(error)));
    }
}

/// HTTP-006 of the acceptance table.
#[test]
fn deeply_nested_events_are_dropped() {
    let nested = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let text = wire(rules("11")).to_string().replace("\"hello\"", &nested);
    let error = Inbound::parse(rules("11"), text.as_bytes()).unwrap_err();
    assert!(
        matches!(error, FormatError::Json(JsonError::TooDeep { .. })),
        "{error:?}"
    );
}

/// PDU-001 of the acceptance table.
#[test]
fn events_not_signed_by_the_senders_server_are_refused() {
    let other = json!({"signatures": {"other": {"ed25519:1": "x"}}});
    let inbound = parse("11", &patched(wire(rules("11")), &other)).unwrap();
    let missing = SignatureError::Missing {
        signer: "domain".into(),
    };
    assert_eq!(inbound.verify(&ring()), Err(missing));
}

/// PDU-002 of the acceptance table.
#[test]
fn changed_events_are_refused() {
    let event = patched(wire(rules("11")), &json!({"origin_server_ts": 1_000_001}));
    let wrong = SignatureError::Wrong {
        signer: "domain".into(),
        key_id: "ed25519:1".into(),
    };
    assert_eq!(parse("11", &event).unwrap().verify(&ring()), Err(wrong));
}

/// PDU-004 of the acceptance table.
#[test]
fn events_with_another_content_are_redacted() {
    let original = wire(rules("11"));
    let event = patched(
        original.clone(),
        &json!({"content": {"body": "forged"}, "extra": 1}),
    );
    let inbound = parse("11", &event).unwrap();
    let Verified::Redacted(pdu) = inbound.verify(&ring()).unwrap() else {
        panic!("intact")
    };
    assert_eq!(pdu.content_json(), "{}");
    assert!(!pdu.json().contains("extra"));
    assert_eq!(pdu.event_id(), parse("11", &original).unwrap().event_id());
}

#[test]
fn hashes_that_are_none_redact_the_event() {
    for hash in ["", "no base64!", "AAAA", &"A".repeat(42), &"A".repeat(44)] {
        let event = patched(wire(rules("11")), &json!({"hashes": {"sha256": hash}}));
        let text = event.to_string();
        let object = Object::parse(text.as_bytes(), rules("11").numbers()).unwrap();
        let essential = essential_text(&object, rules("11"));
        let signatures = json!({"domain": {"ed25519:1": key().sign(&essential)}});
        let event = patched(event, &json!({"signatures": signatures}));
        let verified = parse("11", &event).unwrap().verify(&ring()).unwrap();
        assert!(matches!(verified, Verified::Redacted(_)), "{hash}");
    }
}

/// PDU-011 of the acceptance table, and what the limit is measured on.
#[test]
fn size_is_that_of_the_canonical_event_without_unsigned() {
    let mut event = wire(rules("11"));
    let spare = EVENT_BYTES_MAX - event.to_string().len();
    event["content"]["body"] = json!("b".repeat("hello".len() + spare));
    event["unsigned"] = json!({"age": "x".repeat(1000)});
    let pretty = serde_json::to_string_pretty(&event).unwrap();
    assert!(Inbound::parse(rules("11"), pretty.as_bytes()).is_ok());
    event["signatures"]["domain"]["ed25519:2"] = json!("");
    let error = parse("11", &event).unwrap_err();
    assert!(
        matches!(error, FormatError::TooLarge { bytes } if bytes > 65_536),
        "{error:?}"
    );
    event["unsigned"] = json!("x".repeat(EVENT_TEXT_BYTES_MAX));
    assert!(matches!(
        parse("11", &event),
        Err(FormatError::TextTooLong { .. })
    ));
}

/// PDU-014 of the acceptance table.
#[test]
fn an_event_id_field_is_hashed_but_not_believed() {
    let event = patched(wire(rules("11")), &json!({"event_id": "$wrong"}));
    let inbound = parse("11", &resigned("11", &event)).unwrap();
    let pdu = inbound.verify(&ring()).unwrap().into_pdu();
    let client: Serde = serde_json::from_str(&pdu.to_client_json(ClientFormat::default())).unwrap();
    assert_eq!(client["event_id"], json!(pdu.event_id()));
    let without = parse("11", &resigned("11", &wire(rules("11")))).unwrap();
    assert_ne!(without.event_id(), pdu.event_id());
}

/// PDU-017 of the acceptance table.
#[test]
fn timestamps_far_away_are_kept() {
    let event = patched(
        wire(rules("11")),
        &json!({"origin_server_ts": 9_007_199_254_740_991_i64}),
    );
    let verified = parse("11", &resigned("11", &event))
        .unwrap()
        .verify(&ring())
        .unwrap();
    assert_eq!(
        u64::from(verified.pdu().origin_server_ts().get()),
        9_007_199_254_740_991
    );
}

#[test]
fn prev_events_may_be_twenty() {
    let id = wire(rules("11"))["prev_events"][0].clone();
    let event = patched(
        wire(rules("11")),
        &json!({"prev_events": vec![id; PREV_EVENTS_MAX]}),
    );
    assert!(parse("11", &event).is_ok());
}

#[test]
fn third_party_invites_need_no_signature_of_the_sender() {
    let content = json!({"membership": "invite", "third_party_invite": {"signed": {}}});
    let member = json!({"type": "m.room.member", "state_key": "@x:y", "content": content});
    let event = patched(wire(rules("11")), &member);
    let inbound = parse("11", &patched(event.clone(), &json!({"signatures": {}}))).unwrap();
    assert!(servers(&inbound).is_empty());
    assert!(inbound.verify(&KeyRing::default()).is_ok());
    for patch in [
        json!({"type": "m.room.message"}),
        json!({"content": {"membership": "join", "third_party_invite": {}}}),
        json!({"content": {"membership": "invite", "third_party_invite": 5}}),
    ] {
        assert_eq!(
            servers(&parse("11", &patched(event.clone(), &patch)).unwrap()),
            ["domain"]
        );
    }
}

#[test]
fn restricted_joins_need_the_signature_of_the_authorising_server() {
    let member = |membership: &str, authoriser: Serde| {
        let content =
            json!({"membership": membership, "join_authorised_via_users_server": authoriser});
        json!({"type": "m.room.member", "state_key": "@u:domain", "content": content})
    };
    let signers = |version: &str, patch: &Serde| {
        parse(version, &patched(wire(rules(version)), patch)).map(|inbound| servers(&inbound))
    };
    let join = member("join", json!("@x:gate"));
    assert_eq!(signers("8", &join).unwrap(), ["domain", "gate"]);
    assert_eq!(signers("7", &join).unwrap(), ["domain"]);
    assert_eq!(
        signers("11", &member("leave", json!("@x:gate"))).unwrap(),
        ["domain"]
    );
    let field = "content.join_authorised_via_users_server";
    for odd in [json!(5), json!("gate"), json!("")] {
        assert_eq!(
            signers("11", &member("join", odd)),
            Err(FormatError::NotAnId { field })
        );
    }
    let event = resigned("11", &patched(wire(rules("11")), &join));
    let missing = SignatureError::Missing {
        signer: "gate".into(),
    };
    assert_eq!(parse("11", &event).unwrap().verify(&ring()), Err(missing));
}

#[test]
fn key_validity_counts_since_version_5() {
    let mut ring = KeyRing::default();
    let public = key().public_key().clone();
    ring.insert(
        server_name!("domain").to_owned(),
        "ed25519:1",
        public,
        at(999_999),
    )
    .unwrap();
    let inbound = |version: &str| parse(version, &wire(rules(version))).unwrap();
    assert!(inbound("4").verify(&ring).is_ok());
    assert_eq!(inbound("4").keys_valid_at(), None);
    let unusable = SignatureError::NoUsableKey {
        signer: "domain".into(),
    };
    assert_eq!(inbound("5").verify(&ring), Err(unusable));
    assert_eq!(inbound("5").keys_valid_at(), Some(at(1_000_000)));
}

#[test]
fn keys_to_fetch_are_named() {
    let inbound = parse("11", &wire(rules("11"))).unwrap();
    let mut wanted = inbound.signers();
    let (server, key_ids) = wanted.next().unwrap();
    assert_eq!(server, "domain");
    assert_eq!(key_ids.collect::<Vec<_>>(), ["ed25519:1"]);
    assert!(wanted.next().is_none());
}

#[test]
fn every_signature_by_a_known_key_must_hold() -> Result<(), KeyError> {
    let mut ring = ring();
    let second = SigningKey::from_seed(&[9; 32], "2")?;
    let domain = server_name!("domain").to_owned();
    ring.insert(
        domain,
        "ed25519:2",
        second.public_key().clone(),
        crate::fixtures::for_ever(),
    )?;
    let mut event = wire(rules("11"));
    event["signatures"]["domain"]["ed25519:2"] = event["signatures"]["domain"]["ed25519:1"].clone();
    let wrong = SignatureError::Wrong {
        signer: "domain".into(),
        key_id: "ed25519:2".into(),
    };
    assert_eq!(parse("11", &event).unwrap().verify(&ring), Err(wrong));
    Ok(())
}

#[test]
fn references_are_kept_as_hashes() {
    let pdu = draft(rules("3"));
    let pdu = Draft {
        auth_events: &crate::fixtures::PREV,
        ..pdu
    };
    let pdu = pdu.sign(server_name!("domain"), &key()).unwrap();
    let inbound = Inbound::parse(rules("3"), pdu.json().as_bytes()).unwrap();
    let received = inbound.verify(&ring()).unwrap().into_pdu();
    assert_eq!(received.auth_hashes(), crate::fixtures::PREV);
    let ids: Vec<&OwnedEventId> = ruma_state_res::Event::auth_events(&received).collect();
    assert_eq!(
        ids,
        [&crate::fixtures::CREATE.to_event_id(crate::Alphabet::Standard)]
    );
}
