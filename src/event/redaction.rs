//! The redaction algorithm (room versions, "Redactions"): what is left of an event without the
//! words of its sender.
//!
//! It exists because hashes and signatures are taken over the redacted form, and because redacted
//! events are served. It knows nothing of who may redact what.

use ruma_common::room_version_rules::RedactionRules;

use crate::json::{Object, ObjectWriter, Value};

/// Writes the canonical text of the redacted `event` without the members named in `without`.
pub(crate) fn write_redacted(
    event: &Object<'_>,
    rules: &RedactionRules,
    without: &[&str],
    out: &mut String,
) {
    let event_type = event
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut writer = ObjectWriter::new(out);
    for (name, value) in event.iter() {
        if !keeps_field(rules, name) || without.contains(&name) {
            continue;
        }
        let out = writer.member(name);
        match (name, value) {
            ("content", Value::Object(content)) => write_content(content, event_type, rules, out),
            _ => value.write(out),
        }
    }
    writer.end();
}

fn write_content(content: &Object<'_>, event_type: &str, rules: &RedactionRules, out: &mut String) {
    let mut writer = ObjectWriter::new(out);
    for (name, value) in content.iter() {
        match (keeps_content(rules, event_type, name), value) {
            (Keep::Whole, value) => value.write(writer.member(name)),
            (Keep::Signed, Value::Object(invite)) => {
                write_signed(invite, writer.member(name));
            }
            // A third-party invite that is no object has no `signed` to keep either. (ruma keeps
            // such a value, which gives the event another hash than elsewhere.)
            _ => {}
        }
    }
    writer.end();
}

fn write_signed(invite: &Object<'_>, out: &mut String) {
    let mut writer = ObjectWriter::new(out);
    if let Some(signed) = invite.get("signed") {
        signed.write(writer.member("signed"));
    }
    writer.end();
}

fn keeps_field(rules: &RedactionRules, name: &str) -> bool {
    match name {
        "auth_events" | "content" | "depth" | "event_id" | "hashes" | "origin_server_ts"
        | "prev_events" | "room_id" | "sender" | "signatures" | "state_key" | "type" => true,
        "membership" | "origin" | "prev_state" => rules.keep_origin_membership_prev_state,
        _ => false,
    }
}

/// What is kept of a member of `content`.
enum Keep {
    Whole,
    /// Its `signed` member only.
    Signed,
    No,
}

fn keeps_content(rules: &RedactionRules, event_type: &str, name: &str) -> Keep {
    let whole = match (event_type, name) {
        ("m.room.member", "third_party_invite")
            if rules.keep_room_member_third_party_invite_signed =>
        {
            return Keep::Signed;
        }
        ("m.room.create", _) if rules.keep_room_create_content => true,
        ("m.room.member", "membership")
        | ("m.room.create", "creator")
        | ("m.room.join_rules", "join_rule")
        | ("m.room.history_visibility", "history_visibility")
        | (
            "m.room.power_levels",
            "ban" | "events" | "events_default" | "kick" | "redact" | "state_default" | "users"
            | "users_default",
        ) => true,
        ("m.room.member", "join_authorised_via_users_server") => {
            rules.keep_room_member_join_authorised_via_users_server
        }
        ("m.room.join_rules", "allow") => rules.keep_room_join_rules_allow,
        ("m.room.power_levels", "invite") => rules.keep_room_power_levels_invite,
        ("m.room.aliases", "aliases") => rules.keep_room_aliases_aliases,
        ("m.room.redaction", "redacts") => rules.keep_room_redaction_redacts,
        _ => false,
    };
    if whole { Keep::Whole } else { Keep::No }
}
