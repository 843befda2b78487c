//! Hashing and signing whatever JSON is given, as the spec says it and nothing checked.
//!
//! Written apart from the server's own code, so that both are held to the spec and not to each
//! other. Knows nothing of rooms.

use std::fmt::Write as _;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// Canonical JSON: names in order, nothing between. (Appendices, "Canonical JSON".)
pub(super) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort();
            out.push('{');
            for (number, name) in names.into_iter().enumerate() {
                out.push_str(if number == 0 { "" } else { "," });
                write!(out, "{}:", Value::from(name.as_str())).unwrap();
                write(&members[name], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (number, item) in items.iter().enumerate() {
                out.push_str(if number == 0 { "" } else { "," });
                write(item, out);
            }
            out.push(']');
        }
        plain => write!(out, "{plain}").unwrap(),
    }
}

fn without(value: &Value, names: &[&str]) -> Value {
    let mut rest = value.clone();
    for name in names {
        rest.as_object_mut().unwrap().remove(*name);
    }
    rest
}

/// Adds a signature to a JSON object that is no event.
pub(super) fn sign(value: &mut Value, server: &str, key_id: &str, key: &SigningKey) {
    let text = canonical(&without(value, &["signatures", "unsigned"]));
    add(value, server, key_id, key, &text);
}

/// The public half of a key, in unpadded base64.
pub(crate) fn public(key: &SigningKey) -> String {
    STANDARD_NO_PAD.encode(key.verifying_key().as_bytes())
}

/// The signature over an object, alone.
pub(super) fn signature(value: &Value, key: &SigningKey) -> String {
    STANDARD_NO_PAD.encode(key.sign(canonical(value).as_bytes()).to_bytes())
}

fn add(value: &mut Value, server: &str, key_id: &str, key: &SigningKey, text: &str) {
    let signature = STANDARD_NO_PAD.encode(key.sign(text.as_bytes()).to_bytes());
    if !value["signatures"].is_object() {
        value["signatures"] = json!({});
    }
    if !value["signatures"][server].is_object() {
        value["signatures"][server] = json!({});
    }
    value["signatures"][server][key_id] = signature.into();
}

/// Adds content hash and signature to an event of a room version; its ID.
pub(super) fn sign_event(
    event: &mut Value,
    version: u32,
    server: &str,
    (key_id, key): (&str, &SigningKey),
) -> String {
    let hashed = canonical(&without(event, &["hashes", "signatures", "unsigned"]));
    let hash = STANDARD_NO_PAD.encode(Sha256::digest(hashed.as_bytes()));
    event["hashes"] = json!({"sha256": hash});
    add_event_signature(event, version, server, (key_id, key));
    event_id(event, version)
}

/// Adds a signature to an event as it is.
pub(crate) fn add_event_signature(
    event: &mut Value,
    version: u32,
    server: &str,
    (key_id, key): (&str, &SigningKey),
) {
    let essential = essential(event, version);
    add(event, server, key_id, key, &essential);
}

/// What signatures are over, and the reference hash.
fn essential(event: &Value, version: u32) -> String {
    canonical(&without(
        &redacted(event, version),
        &["signatures", "unsigned"],
    ))
}

/// The ID of an event of room version 3 or later.
pub(super) fn event_id(event: &Value, version: u32) -> String {
    let hash = Sha256::digest(essential(event, version).as_bytes());
    let name = match version {
        3 => STANDARD_NO_PAD.encode(hash),
        _ => URL_SAFE_NO_PAD.encode(hash),
    };
    format!("${name}")
}

/// Room versions, "Redactions".
fn redacted(event: &Value, version: u32) -> Value {
    let fields = [
        "auth_events",
        "content",
        "depth",
        "event_id",
        "hashes",
        "origin_server_ts",
        "prev_events",
        "room_id",
        "sender",
        "signatures",
        "state_key",
        "type",
    ];
    let old = ["membership", "origin", "prev_state"];
    let mut kept = Map::new();
    for (name, value) in event.as_object().unwrap() {
        let stays = fields.contains(&&**name) || (version < 11 && old.contains(&&**name));
        if stays {
            kept.insert(name.clone(), value.clone());
        }
    }
    if let Some(content) = event["content"].as_object() {
        let kind = event["type"].as_str().unwrap_or_default();
        kept.insert("content".to_owned(), content_of(kind, content, version));
    }
    Value::Object(kept)
}

fn content_of(kind: &str, content: &Map<String, Value>, version: u32) -> Value {
    let mut names: Vec<&str> = match kind {
        "m.room.create" if version >= 11 => return Value::Object(content.clone()),
        "m.room.create" => vec!["creator"],
        "m.room.member" => vec!["membership"],
        "m.room.join_rules" => vec!["join_rule"],
        "m.room.history_visibility" => vec!["history_visibility"],
        "m.room.power_levels" => vec![
            "ban",
            "events",
            "events_default",
            "kick",
            "redact",
            "state_default",
            "users",
            "users_default",
        ],
        _ => Vec::new(),
    };
    match kind {
        "m.room.member" if version >= 9 => names.push("join_authorised_via_users_server"),
        "m.room.join_rules" if version >= 8 => names.push("allow"),
        "m.room.power_levels" if version >= 11 => names.push("invite"),
        "m.room.aliases" if version < 6 => names.push("aliases"),
        "m.room.redaction" if version >= 11 => names.push("redacts"),
        _ => {}
    }
    let kept = content.iter();
    let kept = kept.filter(|(name, _)| names.contains(&&***name));
    let mut kept: Map<_, _> = kept.map(|(name, it)| (name.clone(), it.clone())).collect();
    let signed = content
        .get("third_party_invite")
        .and_then(|it| it.get("signed"));
    if let Some(signed) = signed.filter(|_| kind == "m.room.member" && version >= 11) {
        kept.insert("third_party_invite".to_owned(), json!({"signed": signed}));
    }
    Value::Object(kept)
}
