//! Events of any shape: what is built verifies, what is changed does not, and ruma agrees for the
//! room versions that it supports in full. It knows nothing of authorisation.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ruma_common::serde::Base64;
use ruma_common::{CanonicalJsonObject, canonical_json, server_name};
use ruma_signatures::{PublicKeyMap, PublicKeySet, Verified as Theirs, verify_event};
use serde_json::{Map, Value, json};

use crate::fixtures::{draft, key, ring};
use crate::rules::Numbers;
use crate::{ClientFormat, Draft, Inbound, Pdu, RoomRules, Verified};

fn any_rules() -> impl Strategy<Value = &'static RoomRules> {
    prop::sample::select(RoomRules::all().collect::<Vec<_>>())
}

/// Versions of which ruma reads the JSON as we do.
fn strict_rules() -> impl Strategy<Value = &'static RoomRules> {
    any_rules().prop_filter("strict", |rules| rules.numbers() == Numbers::Strict)
}

fn any_type() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "m.room.message",
        "m.room.member",
        "m.room.join_rules",
        "m.room.power_levels",
        "m.room.history_visibility",
        "m.room.redaction",
        "m.room.aliases",
        "m.room.server_acl",
    ]);
    prop_oneof![known.prop_map(str::to_owned), "\\PC{0,20}"]
}

fn any_name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "membership",
        "join_rule",
        "allow",
        "history_visibility",
        "aliases",
        "redacts",
        "users",
        "ban",
        "invite",
        "notifications",
        "creator",
        "body",
        "displayname",
    ]);
    prop_oneof![known.prop_map(str::to_owned), any::<String>()]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any_name(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_content() -> impl Strategy<Value = Value> {
    let third_party = prop_oneof![
        Just(None),
        Just(Some(json!({"signed": {"token": "t"}, "display_name": "d"}))),
        Just(Some(json!({"display_name": "d"}))),
    ];
    let members = prop::collection::vec((any_name(), any_value()), 0..8);
    (members, third_party).prop_map(|(members, third_party)| {
        let mut content: Map<_, _> = members.into_iter().collect();
        // Who must sign a join is another test's matter.
        content.insert("membership".into(), "ban".into());
        if let Some(third_party) = third_party {
            content.insert("third_party_invite".into(), third_party);
        }
        Value::Object(content)
    })
}

fn built(rules: &'static RoomRules, event_type: &str, content: &Value) -> Pdu {
    let content = content.to_string();
    let draft = Draft {
        event_type,
        state_key: Some(""),
        content: &content,
        ..draft(rules)
    };
    draft.sign(server_name!("domain"), &key()).unwrap()
}

fn their_keys() -> PublicKeyMap {
    let public = Base64::new(key().public_key().as_bytes().to_vec());
    BTreeMap::from([(
        "domain".into(),
        PublicKeySet::from([("ed25519:1".into(), public)]),
    )])
}

fn theirs(pdu: &Pdu) -> CanonicalJsonObject {
    serde_json::from_str(pdu.json()).unwrap()
}

proptest! {
    #[test]
    fn built_events_verify(
        rules in any_rules(), event_type in any_type(), content in any_content()
    ) {
        let pdu = built(rules, &event_type, &content);
        let inbound = Inbound::parse(rules, pdu.json().as_bytes()).unwrap();
        let verified = inbound.verify(&ring()).unwrap();
        prop_assert!(matches!(verified, Verified::Intact(_)));
        prop_assert_eq!(&**verified.pdu(), &pdu);
        let served: Value = serde_json::from_str(&pdu.to_client_json(ClientFormat::default())).unwrap();
        prop_assert_eq!(&served["content"], &content);
    }

    #[test]
    fn ruma_verifies_what_is_built(
        rules in strict_rules(), event_type in any_type(), content in any_content()
    ) {
        let pdu = built(rules, &event_type, &content);
        let object = theirs(&pdu);
        prop_assert_eq!(serde_json::to_string(&object).unwrap(), pdu.json());
        let hash = ruma_signatures::reference_hash(&object, rules.ruma()).unwrap();
        prop_assert_eq!(format!("${hash}"), pdu.event_id().as_str());
        prop_assert_eq!(verify_event(&their_keys(), &object, rules.ruma()).unwrap(), Theirs::All);
    }

    #[test]
    fn ruma_redacts_alike(
        rules in strict_rules(), event_type in any_type(), content in any_content()
    ) {
        let pdu = built(rules, &event_type, &content);
        let redacted = canonical_json::redact(theirs(&pdu), rules.redaction(), None).unwrap();
        let ours = pdu.redact().unwrap();
        prop_assert_eq!(serde_json::to_string(&redacted).unwrap(), ours.json());
    }

    #[test]
    fn redaction_keeps_identity_and_signature(
        rules in any_rules(), event_type in any_type(), content in any_content()
    ) {
        let pdu = built(rules, &event_type, &content);
        let redacted = pdu.redact().unwrap();
        prop_assert_eq!(redacted.redact().unwrap(), redacted.clone());
        let inbound = Inbound::parse(rules, redacted.json().as_bytes()).unwrap();
        prop_assert_eq!(inbound.event_id(), pdu.event_id());
        let verified = inbound.verify(&ring()).unwrap();
        prop_assert_eq!(verified.pdu().json(), redacted.json());
    }

    #[test]
    fn changed_content_is_redacted_or_refused(
        rules in any_rules(), event_type in any_type(), content in any_content(),
        name in any_name(), value in any_value()
    ) {
        let pdu = built(rules, &event_type, &content);
        let mut event: Value = serde_json::from_str(pdu.json()).unwrap();
        prop_assume!(event["content"].get(&name) != Some(&value));
        event["content"][name] = value;
        let Ok(inbound) = Inbound::parse(rules, event.to_string().as_bytes()) else {
            return Ok(());
        };
        match inbound.verify(&ring()) {
            Ok(Verified::Intact(_)) => prop_assert!(false, "intact"),
            Ok(Verified::Redacted(found)) => {
                prop_assert_eq!(found.json(), pdu.redact().unwrap().json().to_owned());
            }
            Err(_) => {}
        }
    }

    #[test]
    fn order_and_white_space_on_the_wire_do_not_matter(
        rules in any_rules(), event_type in any_type(), content in any_content()
    ) {
        let pdu = built(rules, &event_type, &content);
        let event: Map<String, Value> = serde_json::from_str(pdu.json()).unwrap();
        let reversed: Vec<String> = event
            .iter()
            .rev()
            .map(|(name, value)| {
                format!("\n{} : {}", json!(name), serde_json::to_string_pretty(value).unwrap())
            })
            .collect();
        let text = format!("{{{}}}", reversed.join(" ,"));
        let inbound = Inbound::parse(rules, text.as_bytes()).unwrap();
        let received = inbound.verify(&ring()).unwrap().into_pdu();
        prop_assert_eq!(received.json(), pdu.json());
    }
}

fn any_field() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "auth_events",
        "content",
        "depth",
        "event_id",
        "hashes",
        "origin_server_ts",
        "prev_events",
        "redacts",
        "room_id",
        "sender",
        "signatures",
        "state_key",
        "type",
        "unsigned",
    ]);
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    #[test]
    fn odd_events_are_refused_or_read_for_good(
        rules in any_rules(), fields in prop::collection::vec((any_field(), any_value()), 1..4)
    ) {
        let mut event: Value =
            serde_json::from_str(built(rules, "m.room.member", &json!({})).json()).unwrap();
        for (name, value) in fields {
            event[name] = value;
        }
        let Ok(inbound) = Inbound::parse(rules, event.to_string().as_bytes()) else {
            return Ok(());
        };
        let pdu = inbound.unverified();
        let stored = Pdu::from_stored(rules, pdu.hash(), pdu.json().as_bytes()).unwrap();
        prop_assert_eq!(&stored, pdu);
        let again = Inbound::parse(rules, pdu.json().as_bytes()).unwrap();
        prop_assert_eq!(again.event_id(), pdu.event_id());
        prop_assert_eq!(again.unverified().json(), pdu.json());
        let redacted = pdu.redact().unwrap();
        prop_assert_eq!(redacted.event_id(), pdu.event_id());
    }
}

/// ruma keeps a third-party invite that is no object when it redacts; we hold with what the
/// specification says, and other servers do: only `signed` is kept, and there is none.
#[test]
fn ruma_keeps_third_party_invites_that_are_no_objects() {
    let rules = RoomRules::all().last().unwrap();
    let content = json!({"membership": "leave", "third_party_invite": 5});
    let pdu = built(rules, "m.room.member", &content);
    assert_eq!(
        pdu.redact().unwrap().content_json(),
        r#"{"membership":"leave"}"#
    );
    let redacted = canonical_json::redact(theirs(&pdu), rules.redaction(), None).unwrap();
    assert_eq!(redacted["content"].as_object().unwrap().len(), 2);
}
