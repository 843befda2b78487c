//! Server notices (Client-Server API, "Server Notices"): what the administration tells a user, in a
//! room of theirs with the server itself.
//!
//! It exists here because an account, a room and a tag are three aggregates. Each step looks first
//! what is there, so that a notice sent again goes on where the last one stopped. It knows nothing of
//! HTTP, and of who may send notices.

use belfry_data::{Commit, CommitError, NoticeRoomRow, notice_room, put_notice_room};
use belfry_room::{
    Append, Change, CreateRoom, MemberAct, Membership, Preset, Profile, RoomError, Txn,
};
use belfry_user::{AdminError, Fault, TagError};
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::runner::{Flows, Inner};

/// What the room is called, and its sender.
const NAME: &str = "Server notices";
/// The tag that clients show the room by.
const TAG: &str = "m.server_notice";
/// The device that notices are sent from, as far as transactions go.
const DEVICE: &str = "NOTICES";
/// Of those told: they read, and do not write.
const READER_LEVEL: i64 = -10;
/// How often a room is looked for that somebody else makes at the same time.
const TRIES_MAX: u32 = 10;

/// Something to be told.
#[derive(Debug, Clone)]
pub struct Notice {
    /// To whom: a user of this server.
    pub user: OwnedUserId,
    /// The event's type; usually `m.room.message`.
    pub kind: String,
    /// Its state key, if it is state.
    pub state_key: Option<String>,
    /// Its content, a JSON object.
    pub content: Box<RawValue>,
    /// By what the request is known again, if it is asked twice.
    pub txn: Option<String>,
}

/// Why a notice was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// This server has no such user, or their account is closed.
    #[error("this server has no such user")]
    UnknownUser,
    /// The room does not take it.
    #[error("{0}")]
    Room(#[from] RoomError),
    /// The database does not take it.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl Flows {
    /// Tells a user something: in the room that is there for it, which is made if there is none, and
    /// into which they are invited again if they have left it.
    ///
    /// # Errors
    /// See [`NoticeError`].
    pub async fn send_notice(&self, notice: Notice) -> Result<OwnedEventId, NoticeError> {
        let inner = &*self.0;
        match inner.users.account(&notice.user).await {
            Ok(account) if !account.deactivated => {}
            Ok(_) | Err(AdminError::NotFound) => return Err(NoticeError::UnknownUser),
            Err(AdminError::Fault(fault)) => return Err(fault.into()),
            Err(error) => return Err(Fault::Broken(error.to_string()).into()),
        }
        let (room, sender) = inner.notice_room(&notice.user).await?;
        inner.call_in(&room, &sender, &notice.user).await?;
        inner.tag(&notice.user, &room).await?;
        let kind = notice.kind.as_str().into();
        let change = match notice.state_key {
            Some(state_key) => Change::State {
                kind,
                state_key,
                content: notice.content,
            },
            None => Change::Message {
                kind,
                content: notice.content,
            },
        };
        let txn = notice.txn.map(|id| Txn {
            user: sender.clone(),
            device: DEVICE.into(),
            scope: format!("notice/{}", notice.user),
            id,
        });
        let append = Append {
            sender,
            change,
            txn,
            timestamp_ms: None,
        };
        Ok(inner.rooms.append(&room, append).await?.event_id)
    }
}

impl Inner {
    /// The user's room and who writes there.
    async fn notice_room(&self, user: &UserId) -> Result<(OwnedRoomId, OwnedUserId), NoticeError> {
        let sender = self.users.system_user().await?;
        for _ in 0..TRIES_MAX {
            let snapshot = self.engine.snapshot().await.map_err(RoomError::from)?;
            let seen = notice_room(&*snapshot, user).await;
            let seen = seen.map_err(RoomError::from)?;
            if let Some(known) = seen.row {
                return Ok((known.room, known.sender));
            }
            let room = self.rooms.create(wanted(&sender, user)).await?;
            let row = NoticeRoomRow {
                room: room.clone(),
                sender: sender.clone(),
            };
            let mut commit = Commit::synced();
            put_notice_room(&mut commit, user, &seen, &row);
            match self.engine.commit(commit).await {
                Ok(_) => return Ok((room, sender)),
                // Somebody else made one at the same time; this one stays empty.
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(RoomError::from(error).into()),
            }
        }
        Err(RoomError::Busy.into())
    }

    /// Invites the user who is not there.
    async fn call_in(
        &self,
        room: &RoomId,
        sender: &UserId,
        user: &UserId,
    ) -> Result<(), NoticeError> {
        let asked = [("m.room.member", user.as_str())];
        let found = self.rooms.settings(room, &asked).await?;
        let found = found.into_iter().flatten().next();
        let membership = found.and_then(|it| it.content.get("membership").cloned());
        let membership = membership.as_ref().and_then(Value::as_str);
        if matches!(membership, Some("join" | "invite")) {
            return Ok(());
        }
        let append = Append {
            sender: sender.to_owned(),
            change: Change::Member(Membership::new(user, MemberAct::Invite)),
            txn: None,
            timestamp_ms: None,
        };
        self.rooms.append(room, append).await?;
        Ok(())
    }

    async fn tag(&self, user: &UserId, room: &RoomId) -> Result<(), NoticeError> {
        match self.users.tag_room(user, room, TAG).await {
            Ok(()) => Ok(()),
            Err(TagError::Fault(fault)) => Err(fault.into()),
            // Somebody with a thousand tags is told nevertheless.
            Err(error) => {
                tracing::info!(%user, %error, "a room of server notices is not tagged");
                Ok(())
            }
        }
    }
}

/// A user's room.
fn wanted(sender: &UserId, user: &UserId) -> CreateRoom {
    let levels = json!({"users_default": READER_LEVEL});
    let creation = json!({"m.federate": false});
    let fields = |value: Value| match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    CreateRoom {
        creator: sender.to_owned(),
        profile: Profile {
            displayname: Some(NAME.to_owned()),
            avatar_url: None,
        },
        version: RoomVersionId::V12,
        preset: Preset::PrivateChat,
        name: Some(NAME.to_owned()),
        topic: None,
        alias: None,
        published: false,
        invite: vec![user.to_owned()],
        is_direct: false,
        creation_content: fields(creation),
        initial_state: Vec::new(),
        power_level_content_override: fields(levels),
        replaces: None,
    }
}
