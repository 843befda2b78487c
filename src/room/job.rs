//! What a room's worker is asked to do, and what it answers.
//!
//! It exists so that the mailbox holds values; it knows nothing of how they are worked off.

use std::sync::Arc;

use belfry_event::{Draft, EventHash, Pdu, PolicyServer, RoomRules};
use js_int::UInt;
use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedEventId, OwnedUserId, RoomId};
use tokio::sync::oneshot;

use crate::arrival::{Delivery, Fate};
use crate::change::Change;
use crate::chore::Swept;
use crate::create::CreateRoom;
use crate::error::RoomError;
use crate::rooms::Identity;

/// Where an answer goes. Whoever asked may be gone.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, RoomError>>;

/// One entry of a worker's mailbox.
pub(crate) enum Job {
    /// Send an event. `signed` is the event as it was held before, with the signature of the room's
    /// policy server.
    Append {
        append: Box<Append>,
        signed: Option<Arc<Pdu>>,
        reply: Reply<Sent>,
    },
    /// Create the room; `false` if it exists already.
    Found {
        founding: Box<Founding>,
        reply: Reply<bool>,
    },
    /// Take in events of other servers.
    Receive {
        delivery: Box<Delivery>,
        reply: Reply<Vec<Fate>>,
    },
    /// Remove state nodes that nothing needs any more.
    Sweep { reply: Reply<Swept> },
}

impl Job {
    /// Answers that it was not done.
    pub(crate) fn refuse(self, error: RoomError) {
        // The asker may be gone, and then nobody wants to know.
        match self {
            Self::Append { reply, .. } => drop(reply.send(Err(error))),
            Self::Found { reply, .. } => drop(reply.send(Err(error))),
            Self::Receive { reply, .. } => drop(reply.send(Err(error))),
            Self::Sweep { reply } => drop(reply.send(Err(error))),
        }
    }
}

/// A request to send an event.
#[derive(Debug, Clone)]
pub struct Append {
    /// Who sends it: a user of this server.
    pub sender: OwnedUserId,
    /// What happens.
    pub change: Change,
    /// By what the client will know the request again, if it asks twice.
    pub txn: Option<Txn>,
    /// `origin_server_ts` in milliseconds, if the sender may choose it; else it is now.
    pub timestamp_ms: Option<u64>,
}

/// A transaction ID (Client-Server API, "Transaction identifiers"): the same one on the same
/// device and in the same scope is the same request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Txn {
    /// Who asks: not always the sender.
    pub user: OwnedUserId,
    /// On which device.
    pub device: OwnedDeviceId,
    /// What the ID is unique within: the endpoint and its path parameters.
    pub scope: String,
    /// The ID that the client chose.
    pub id: String,
}

impl Txn {
    /// The row that remembers it.
    pub(crate) fn row(&self) -> Result<belfry_data::Txn, RoomError> {
        belfry_data::Txn::new(&self.user, self.device.as_str(), &[&self.scope], &self.id)
            .map_err(|error| RoomError::BadParameter(error.to_string()))
    }
}

/// The event that a request led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The event's ID.
    pub event_id: OwnedEventId,
    /// The event's hash.
    pub hash: EventHash,
    /// Whether the event was there before: the transaction was done already, or nothing was left
    /// to change.
    pub repeated: bool,
}

/// What became of a request to send an event.
pub(crate) enum Sent {
    /// It led to this event.
    Done(Appended),
    /// The room's policy server is to sign the event first. Nothing is stored.
    Held(Box<Held>),
}

/// An event that waits for the signature of its room's policy server.
pub(crate) struct Held {
    pub(crate) append: Box<Append>,
    pub(crate) event: Arc<Pdu>,
    pub(crate) policy: PolicyServer,
}

/// A room to be created, with its create event.
pub(crate) struct Founding {
    pub(crate) rules: &'static RoomRules,
    pub(crate) create: Arc<Pdu>,
    pub(crate) request: Arc<CreateRoom>,
}

impl Founding {
    /// Signs the create event. `room_id` is the room's where the create event does not name it.
    pub(crate) fn new(
        identity: &Identity,
        rules: &'static RoomRules,
        request: Arc<CreateRoom>,
        room_id: &str,
        now_ms: u64,
    ) -> Result<Self, RoomError> {
        let room_id = <&RoomId>::try_from(room_id)
            .map_err(|_| RoomError::Fault("a new room's ID is not well-formed".to_owned()))?;
        let content = request.create_content(rules)?.to_string();
        let draft = Draft {
            rules,
            room_id: (!rules.room_id_is_hash()).then_some(room_id),
            sender: &request.creator,
            event_type: "m.room.create",
            state_key: Some(""),
            content: &content,
            redacts: None,
            prev_events: &[],
            auth_events: &[],
            depth: 1,
            origin_server_ts: timestamp(now_ms),
        };
        let create = draft.sign(&identity.server_name, &identity.key)?;
        Ok(Self {
            rules,
            create: Arc::new(create),
            request,
        })
    }

    pub(crate) fn room_id(&self) -> &RoomId {
        self.create.room_id()
    }
}

/// The timestamp as events have it; one beyond what JSON numbers hold becomes the greatest.
pub(crate) fn timestamp(ms: u64) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(UInt::new(ms).unwrap_or(UInt::MAX))
}
