//! Rows about users in rooms and what their devices sent.

use belfry_event::EventHash;
use serde::{Deserialize, Serialize};

use crate::codec::postcard_row;

/// The `membership` of an `m.room.member` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Membership {
    /// `join`
    Join,
    /// `invite`
    Invite,
    /// `knock`
    Knock,
    /// `leave`
    Leave,
    /// `ban`
    Ban,
}

impl Membership {
    /// The membership by its name in events; `None` for names that the spec does not have.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "join" => Self::Join,
            "invite" => Self::Invite,
            "knock" => Self::Knock,
            "leave" => Self::Leave,
            "ban" => Self::Ban,
            _ => return None,
        })
    }

    /// The membership that the JSON of an event's `content` tells.
    pub fn from_content(content: &str) -> Option<Self> {
        let content: Content = serde_json::from_str(content).ok()?;
        Self::from_name(&content.membership)
    }

    /// The membership that the JSON of a whole event tells.
    pub(crate) fn from_event(json: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Event {
            content: Content,
        }
        let event: Event = serde_json::from_str(json).ok()?;
        Self::from_name(&event.content.membership)
    }

    /// Its name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Invite => "invite",
            Self::Knock => "knock",
            Self::Leave => "leave",
            Self::Ban => "ban",
        }
    }
}

#[derive(Deserialize)]
struct Content {
    membership: String,
}

/// A user's membership of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRoomRow {
    /// What it is.
    pub membership: Membership,
    /// The `m.room.member` event that says so.
    pub event: EventHash,
}
postcard_row!(UserRoomRow);

/// A user of this server in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalMemberRow {
    /// The user's membership.
    pub membership: Membership,
}
postcard_row!(LocalMemberRow);

/// A request that a device made with a transaction ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnRow {
    /// The event that it made; `None` for requests that make none.
    pub event: Option<EventHash>,
}
postcard_row!(TxnRow);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_read_back_by_name() {
        for name in ["join", "invite", "knock", "leave", "ban"] {
            assert_eq!(
                Membership::from_name(name).map(Membership::name),
                Some(name)
            );
        }
        assert_eq!(Membership::from_name("JOIN"), None);
    }

    #[test]
    fn content_tells_the_membership() {
        let content = r#"{"displayname":"A","membership":"join"}"#;
        assert_eq!(Membership::from_content(content), Some(Membership::Join));
        assert_eq!(Membership::from_content(r#"{"membership":1}"#), None);
        assert_eq!(Membership::from_content("{}"), None);
    }
}
