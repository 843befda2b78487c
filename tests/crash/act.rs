//! What an actor asks of the server: values, each known again by a marker that is never used twice.

use serde_json::{Value, json};

/// The type of the state events sent, and of the account data set.
pub(crate) const KIND: &str = "org.belfry.crash";

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Create a room whose name is the marker.
    Create,
    /// Send a message into the room whose body is the marker and that much padding.
    Say { room: String, padding: usize },
    /// Set a state entry whose key is the marker.
    Set { room: String },
    /// Let the account data say this number.
    Count(u64),
}

impl Act {
    /// Whether the same request may be sent again: it has a transaction ID, or says how things are
    /// to be.
    pub(crate) fn repeatable(&self) -> bool {
        *self != Self::Create
    }

    /// Method, path and body.
    pub(crate) fn request(&self, user: &str, marker: &str) -> (&'static str, String, Value) {
        match self {
            Self::Create => {
                let body = json!({"preset": "private_chat", "name": marker});
                ("POST", "/createRoom".to_owned(), body)
            }
            Self::Say { room, padding } => {
                let path = format!("/rooms/{room}/send/m.room.message/{marker}");
                let body = json!({
                    "msgtype": "m.text", "body": marker, "padding": "x".repeat(*padding),
                });
                ("PUT", path, body)
            }
            Self::Set { room } => {
                let path = format!("/rooms/{room}/state/{KIND}/{marker}");
                ("PUT", path, json!({"body": marker}))
            }
            Self::Count(number) => {
                let path = format!("/user/{user}/account_data/{KIND}");
                ("PUT", path, json!({"number": number}))
            }
        }
    }

    /// What the answer names: a room, an event, or nothing.
    pub(crate) fn outcome(&self, answer: &Value) -> String {
        let key = match self {
            Self::Create => "room_id",
            Self::Say { .. } | Self::Set { .. } => "event_id",
            Self::Count(_) => return String::new(),
        };
        answer[key].as_str().unwrap().to_owned()
    }
}
