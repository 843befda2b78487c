//! How far somebody has read (Client-Server API, "Receipts").
//!
//! It exists so that a receipt is checked against the room before it is stored: that its event is
//! there, belongs to its thread, and lies ahead of the one before. It knows nothing of who is told,
//! nor of what is unread.

use belfry_data::{
    Commit, CommitError, MAIN_THREAD, Membership, RoomReader, Snapshot, StoredEvent,
    receipt::{ReceiptRef, ReceiptRow, put_receipt, receipt_seen},
    user_in_rooms,
};
use belfry_event::EventHash;
use belfry_policy::{Account, Action, DEFAULT_CLASS, Denial, Request, Requester, Room, Rules};
use ruma_common::{EventId, RoomId, UserId};

use crate::error::RoomError;
use crate::rooms::Rooms;

pub use belfry_data::receipt::ReceiptKind;

/// How often it is tried anew when another one came first.
const TRIES_MAX: usize = 16;

/// Up to where somebody has read.
#[derive(Debug, Clone, Copy)]
pub struct ReadMark<'a> {
    /// Who is told: [`ReceiptKind::Read`] or [`ReceiptKind::Private`].
    pub kind: ReceiptKind,
    /// The last event that they have read.
    pub event_id: &'a EventId,
    /// In which thread: `main`, the ID of its root, or `None` for all.
    pub thread: Option<&'a str>,
}

impl Rooms {
    /// Notes up to where the account has read and waits until that is durable. A mark behind the
    /// one of the same kind and thread changes nothing.
    ///
    /// # Errors
    /// [`RoomError::UnknownEvent`]; [`RoomError::BadParameter`] if the event is not in the thread;
    /// [`RoomError::Forbidden`] for who is not in the room; [`RoomError::Denied`].
    pub async fn read_as(
        &self,
        rules: &Rules,
        account: Account<'_>,
        room_id: &RoomId,
        mark: ReadMark<'_>,
    ) -> Result<(), RoomError> {
        let action = match mark.kind {
            ReceiptKind::Read => Action::Send,
            ReceiptKind::Private | ReceiptKind::Sent => Action::Read,
        };
        permit(rules, account, action, room_id)?;
        self.mark(account.id, room_id, mark).await
    }

    /// The same for a user of any server. Policy is not asked.
    pub(crate) async fn mark(
        &self,
        user: &UserId,
        room_id: &RoomId,
        mark: ReadMark<'_>,
    ) -> Result<(), RoomError> {
        let at = ReceiptRef {
            user: user.as_str().into(),
            kind: mark.kind,
            thread: mark.thread.unwrap_or_default().into(),
        };
        for _ in 0..TRIES_MAX {
            let snapshot = self.0.engine.snapshot().await?;
            require_joined(&*snapshot, room_id, user).await?;
            let event = known_event(&*snapshot, room_id, mark.event_id).await?;
            check_thread(&*snapshot, room_id, &event, mark).await?;
            let seen = receipt_seen(&*snapshot, room_id, &at).await?;
            if seen
                .row
                .as_ref()
                .is_some_and(|(_, row)| row.at() >= event.stamp)
            {
                return Ok(());
            }
            let ts = self.0.env.clock.wall_ms();
            let row = ReceiptRow::new(mark.event_id.as_str(), ts, event.stamp);
            let mut commit = Commit::synced();
            put_receipt(&mut commit, room_id, &at, &seen, &row)?;
            match self.0.engine.commit(commit).await {
                Err(CommitError::Conflict) => {}
                outcome => return outcome.map(drop).map_err(RoomError::from),
            }
        }
        Err(RoomError::Busy)
    }

    /// Whether the account may mark this event of the room, for marks that are kept elsewhere.
    ///
    /// # Errors
    /// As [`Self::read_as`] has them.
    pub async fn check_mark(
        &self,
        account: Account<'_>,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<(), RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        require_joined(&*snapshot, room_id, account.id).await?;
        known_event(&*snapshot, room_id, event_id).await.map(drop)
    }
}

async fn known_event(
    snapshot: &dyn Snapshot,
    room_id: &RoomId,
    event_id: &EventId,
) -> Result<StoredEvent, RoomError> {
    let hash = EventHash::from_any_event_id(event_id).map_err(|_| RoomError::UnknownEvent)?;
    let event = RoomReader::new(snapshot, room_id).event(hash).await?;
    event
        .filter(|event| event.row.is_visible())
        .ok_or(RoomError::UnknownEvent)
}

/// A thread's root may be marked in its thread, too: clients do.
async fn check_thread(
    snapshot: &dyn Snapshot,
    room_id: &RoomId,
    event: &StoredEvent,
    mark: ReadMark<'_>,
) -> Result<(), RoomError> {
    let Some(thread) = mark
        .thread
        .filter(|thread| *thread != mark.event_id.as_str())
    else {
        return Ok(());
    };
    let found = RoomReader::new(snapshot, room_id).thread_of(event).await?;
    if found == thread {
        return Ok(());
    }
    let text = if thread == MAIN_THREAD {
        "the event is part of a thread; name its root"
    } else {
        "the event is not part of this thread"
    };
    Err(RoomError::BadParameter(text.to_owned()))
}

pub(crate) async fn require_joined(
    snapshot: &dyn Snapshot,
    room_id: &RoomId,
    user: &UserId,
) -> Result<(), RoomError> {
    let row = user_in_rooms(snapshot, user, &[room_id]).await?.pop();
    match row.flatten() {
        Some(row) if row.membership == Membership::Join => Ok(()),
        _ => Err(RoomError::Forbidden("you are not in this room".to_owned())),
    }
}

pub(crate) fn permit(
    rules: &Rules,
    account: Account<'_>,
    action: Action,
    room_id: &RoomId,
) -> Result<(), Denial> {
    let room = Room {
        id: Some(room_id),
        class: DEFAULT_CLASS,
    };
    let request = Request::new(Requester::Account(account), action).in_room(room);
    belfry_policy::decide(rules, &request).into_result()
}
