//! Whether somebody wants to be invited by somebody (Client-Server API, "Invite permission"; the
//! finer lists of MSC4155).
//!
//! The person's own policy, as account data that their client wrote. Knows nothing of where that is
//! kept; what makes no sense there forbids nothing.

use ruma_common::UserId;
use serde::Deserialize;

/// Account data types that hold an [`InvitePermission`], the one that counts first.
pub const INVITE_PERMISSION_TYPES: [&str; 3] = [
    "m.invite_permission_config",
    "org.matrix.msc4380.invite_permission_config",
    "org.matrix.msc4155.invite_permission_config",
];
/// Entries of one list that are looked at.
pub const INVITE_PERMISSION_ENTRIES_MAX: usize = 1_000;

/// What becomes of an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is made and shown.
    Shown,
    /// It is made, and the invited is not told.
    Hidden,
    /// It is refused.
    Blocked,
}

/// What a user's account data say of invites.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct InvitePermission {
    #[serde(default)]
    default_action: Option<String>,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    allowed_users: Vec<String>,
    #[serde(default)]
    ignored_users: Vec<String>,
    #[serde(default)]
    blocked_users: Vec<String>,
    #[serde(default)]
    allowed_servers: Vec<String>,
    #[serde(default)]
    ignored_servers: Vec<String>,
    #[serde(default)]
    blocked_servers: Vec<String>,
}

fn yes() -> bool {
    true
}

impl InvitePermission {
    /// What becomes of an invite by this user.
    pub fn admits(&self, inviter: &UserId) -> Admission {
        if self.default_action.as_deref() == Some("block") {
            return Admission::Blocked;
        }
        if !self.enabled {
            return Admission::Shown;
        }
        let (user, server) = (inviter.as_str(), inviter.server_name().host());
        let rules = [
            (&self.allowed_users, user, Admission::Shown),
            (&self.ignored_users, user, Admission::Hidden),
            (&self.blocked_users, user, Admission::Blocked),
            (&self.allowed_servers, server, Admission::Shown),
            (&self.ignored_servers, server, Admission::Hidden),
            (&self.blocked_servers, server, Admission::Blocked),
        ];
        let mut matching = rules.into_iter().filter(|(globs, name, _)| {
            let globs = globs.iter().take(INVITE_PERMISSION_ENTRIES_MAX);
            globs.into_iter().any(|glob| matches(glob, name))
        });
        matching
            .next()
            .map_or(Admission::Shown, |(_, _, told)| told)
    }
}

/// Whether a glob (`*`: any text, `?`: any letter) matches the whole name.
fn matches(glob: &str, name: &str) -> bool {
    let glob: Vec<char> = glob.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut pos) = (0, 0);
    // Where the last star stood, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while pos < name.len() {
        match glob.get(at) {
            Some('*') => {
                star = Some((at, pos));
                at += 1;
            }
            Some(letter) if *letter == '?' || Some(letter) == name.get(pos) => {
                at += 1;
                pos += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else {
                    return false;
                };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                pos = taken + 1;
            }
        }
    }
    glob.iter().skip(at).all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use ruma_common::user_id;
    use serde_json::{Value, json};

    use super::*;

    fn admits(config: Value) -> Admission {
        let config: InvitePermission = serde_json::from_value(config).unwrap();
        config.admits(user_id!("@bob:bad.example:8448"))
    }

    #[test]
    fn invites_are_shown_hidden_or_blocked_by_the_first_list_that_matches() {
        let rows = [
            (json!({}), Admission::Shown),
            (json!({"default_action": "block"}), Admission::Blocked),
            (json!({"default_action": "other"}), Admission::Shown),
            (json!({"blocked_users": ["@bob:*"]}), Admission::Blocked),
            (json!({"ignored_users": ["@bo?:*"]}), Admission::Hidden),
            (json!({"blocked_users": ["@bo:*"]}), Admission::Shown),
            (
                json!({"blocked_servers": ["bad.example"]}),
                Admission::Blocked,
            ),
            (
                json!({"blocked_servers": ["*"], "allowed_users": ["@bob:*"]}),
                Admission::Shown,
            ),
            (
                json!({"blocked_servers": ["*"], "ignored_servers": ["*.example"]}),
                Admission::Hidden,
            ),
            (
                json!({"blocked_servers": ["*"], "enabled": false}),
                Admission::Shown,
            ),
        ];
        for (config, expected) in rows {
            assert_eq!(admits(config.clone()), expected, "{config}");
        }
    }

    #[test]
    fn a_glob_of_many_stars_is_quick() {
        let glob = "*a".repeat(200);
        assert!(!matches(&glob, &"a".repeat(199)));
        assert!(matches(&glob, &"a".repeat(200)));
    }
}
