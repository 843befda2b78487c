//! What operators tell a user in the server's name, by the running server.
//!
//! It exists so that a notice from the command line is like one that an administrator's tool sends.
//! It knows nothing of the socket, and nothing of the room in which notices are read.

use belfry_flow::{Flows, Notice, NoticeError};
use belfry_user::Users;
use serde::{Deserialize, Serialize};
use serde_json::{json, value::to_raw_value};

use crate::{accounts, message::Message};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NoticeRequest {
    /// To whom: the part of a user ID before the colon, or all of it.
    pub(crate) name: String,
    /// What they are told: text, of any number of lines.
    pub(crate) text: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noticed {
    pub(crate) user_id: String,
    /// The event by which they are told.
    pub(crate) event_id: String,
}

/// Does what is asked.
pub(crate) async fn perform(
    users: &Users,
    flows: &Flows,
    request: NoticeRequest,
) -> Result<Noticed, Message> {
    let NoticeRequest { name, text } = request;
    if text.trim().is_empty() {
        return Err(Message::new("notice-empty"));
    }
    let user = accounts::parse(users, &name)?;
    let content = to_raw_value(&json!({"msgtype": "m.text", "body": text}));
    let notice = Notice {
        user: user.clone(),
        kind: "m.room.message".to_owned(),
        state_key: None,
        content: content.map_err(|cause| refused(&cause))?,
        txn: None,
    };
    let sent = flows
        .send_notice(notice)
        .await
        .map_err(|error| match error {
            NoticeError::UnknownUser => Message::new("account-absent").with("name", name),
            error => refused(&error),
        })?;
    Ok(Noticed {
        user_id: user.to_string(),
        event_id: sent.to_string(),
    })
}

fn refused(cause: &dyn std::error::Error) -> Message {
    Message::new("notice-unsent").with_text("cause", cause)
}
