//! Server access control lists: which servers a room shuts out.
//!
//! It exists so that every place that serves or hears other servers asks one function (Client-Server
//! API, "Server Access Control Lists (ACLs) for rooms"). It knows nothing of where the room's
//! `m.room.server_acl` event is kept.

use ruma_common::ServerName;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    allow: Value,
    #[serde(default)]
    deny: Value,
    #[serde(default)]
    allow_ip_literals: Value,
}

/// Whether a room lets a server in. `content` is that of its `m.room.server_acl` event, JSON of an
/// object; a room without one lets everybody in, which is for the caller to know.
///
/// The port does not matter. What is not of the right type counts as absent: no entry of `allow`
/// means that nobody is let in, and IP literals are let in unless that is said to be `false`.
pub fn acl_allows(content: &str, server: &ServerName) -> bool {
    let Ok(content) = serde_json::from_str::<Content>(content) else {
        return true;
    };
    let host = server.host().to_ascii_lowercase();
    if content.allow_ip_literals == Value::Bool(false) && server.is_ip_literal() {
        return false;
    }
    !names(&content.deny, &host) && names(&content.allow, &host)
}

fn names(globs: &Value, host: &str) -> bool {
    let globs = globs.as_array().map_or(&[][..], Vec::as_slice);
    let mut globs = globs.iter().filter_map(Value::as_str);
    globs.any(|glob| matches(glob.to_ascii_lowercase().as_bytes(), host.as_bytes()))
}

/// Whether the glob matches the whole text: `*` any run, `?` one character. Linear in the product
/// of the lengths, whatever the glob.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where to go on after the last star, should what follows it not fit: one more swallowed.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(seen) {
        match glob.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, seen + 1));
                at += 1;
            }
            Some(sought) if *sought == b'?' || sought == byte => {
                at += 1;
                seen += 1;
            }
            _ => match retry {
                Some((behind, from)) => {
                    retry = Some((behind, from + 1));
                    (at, seen) = (behind, from);
                }
                None => return false,
            },
        }
    }
    glob.iter().skip(at).all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn allows(content: &Value, server: &str) -> bool {
        acl_allows(&content.to_string(), server.try_into().unwrap())
    }

    #[test]
    fn deny_goes_before_allow_and_who_is_not_allowed_is_denied() {
        let acl = json!({"allow": ["*.good.example", "ok.example"], "deny": ["bad.good.example"]});
        for (server, allowed) in [
            ("a.good.example", true),
            ("bad.good.example", false),
            ("ok.example", true),
            ("other.example", false),
            ("BAD.good.example", false),
        ] {
            assert_eq!(allows(&acl, server), allowed, "{server}");
        }
    }

    #[test]
    fn the_port_does_not_matter() {
        let acl = json!({"allow": ["*"], "deny": ["evil.example"]});
        assert!(!allows(&acl, "evil.example:8448"));
        assert!(!allows(&acl, "evil.example"));
        assert!(allows(&acl, "fine.example:1"));
    }

    #[test]
    fn ip_literals_are_denied_where_the_room_says_so() {
        let acl = json!({"allow": ["*"], "allow_ip_literals": false});
        assert!(!allows(&acl, "1.2.3.4"));
        assert!(!allows(&acl, "[::1]:8448"));
        assert!(allows(&acl, "a.example"));
        assert!(allows(&json!({"allow": ["*"]}), "1.2.3.4"));
    }

    #[test]
    fn what_is_of_the_wrong_type_counts_as_absent() {
        assert!(!allows(&json!({}), "a.example"));
        assert!(!allows(&json!({"allow": "*"}), "a.example"));
        assert!(allows(
            &json!({"allow": [1, "*"], "deny": "*"}),
            "a.example"
        ));
        assert!(allows(
            &json!({"allow": ["*"], "allow_ip_literals": "no"}),
            "1.2.3.4"
        ));
    }

    #[test]
    fn globs_match_whole_names() {
        for (glob, text, matched) in [
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*.x", "a.b.x", true),
            ("*.x", "a.b.xy", false),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXb", false),
            ("", "a", false),
        ] {
            assert_eq!(
                matches(glob.as_bytes(), text.as_bytes()),
                matched,
                "{glob} {text}"
            );
        }
    }

    #[test]
    fn a_glob_of_stars_takes_no_time() {
        let glob = "*a".repeat(60) + "b";
        assert!(!matches(glob.as_bytes(), "a".repeat(230).as_bytes()));
    }
}
