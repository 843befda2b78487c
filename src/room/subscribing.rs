//! Subscribing threads (MSC4306).
//!
//! It exists so that a client which was asleep does not subscribe a thread again that its user has
//! left since: an automatic subscription names the event that it is because of, and comes too late
//! if that event was there when the user unsubscribed. It knows nothing of who may see the thread;
//! whoever calls has asked.

use belfry_data::{
    Commit, CommitError, RoomReader, Stamp, StoredEvent, ThreadState, set_subscription,
    subscription, subscription_seen,
};
use belfry_event::EventHash;
use ruma_common::{EventId, RoomId, UserId};

use crate::error::RoomError;
use crate::rooms::Rooms;

/// How often a change is tried again that another one crossed.
const TRIES_MAX: usize = 10;

/// What a user or their client wants of a thread.
#[derive(Clone, Copy)]
enum Wish<'a> {
    /// The user subscribes it.
    Subscribe,
    /// The client subscribes it because of this event.
    Because(&'a EventId),
    /// The user has enough of it.
    Leave,
}

impl Wish<'_> {
    /// What becomes of a subscription; `None` if it stays as it is.
    async fn on(
        self,
        reader: &RoomReader<'_>,
        root: &EventId,
        before: Option<(Stamp, ThreadState)>,
    ) -> Result<Option<ThreadState>, RoomError> {
        let cause = match self {
            Self::Subscribe => return Ok(Some(ThreadState::Manual)),
            Self::Leave => return Ok(before.map(|_| ThreadState::Unsubscribed)),
            Self::Because(cause) => find(reader, cause).await?,
        };
        if reader.thread_of(&cause).await? != root.as_str() {
            return Err(RoomError::NotInThread);
        }
        match before {
            Some((at, ThreadState::Unsubscribed)) if cause.stamp <= at => {
                Err(RoomError::Unsubscribed)
            }
            Some((_, ThreadState::Automatic | ThreadState::Manual)) => Ok(None),
            _ => Ok(Some(ThreadState::Automatic)),
        }
    }
}

impl Rooms {
    /// Subscribes the thread that begins with `root` for the user: by themselves, or automatically
    /// because of an event in it. What the user subscribed by themselves stays so.
    ///
    /// # Errors
    /// [`RoomError::UnknownEvent`]; [`RoomError::NotInThread`] if the event that it is because of is
    /// not in the thread; [`RoomError::Unsubscribed`] if the user unsubscribed after that event.
    pub async fn subscribe_thread(
        &self,
        user: &UserId,
        room_id: &RoomId,
        root: &EventId,
        cause: Option<&EventId>,
    ) -> Result<(), RoomError> {
        let wish = cause.map_or(Wish::Subscribe, Wish::Because);
        self.change_thread(user, room_id, root, wish).await
    }

    /// Takes the user's subscription of a thread back, if there is one.
    ///
    /// # Errors
    /// [`RoomError::UnknownEvent`].
    pub async fn unsubscribe_thread(
        &self,
        user: &UserId,
        room_id: &RoomId,
        root: &EventId,
    ) -> Result<(), RoomError> {
        self.change_thread(user, room_id, root, Wish::Leave).await
    }

    /// Whether the user's subscription of a thread is automatic; `None` if they have none.
    ///
    /// # Errors
    /// What reading gives.
    pub async fn thread_subscription(
        &self,
        user: &UserId,
        room_id: &RoomId,
        root: &EventId,
    ) -> Result<Option<bool>, RoomError> {
        let Ok(hash) = EventHash::from_any_event_id(root) else {
            return Ok(None);
        };
        let snapshot = self.0.engine.snapshot().await?;
        let found = subscription(&*snapshot, user, room_id, hash).await?;
        Ok(found.and_then(|(_, row)| match row.state {
            ThreadState::Automatic => Some(true),
            ThreadState::Manual => Some(false),
            ThreadState::Unsubscribed => None,
        }))
    }

    async fn change_thread(
        &self,
        user: &UserId,
        room_id: &RoomId,
        root: &EventId,
        wish: Wish<'_>,
    ) -> Result<(), RoomError> {
        for _ in 0..TRIES_MAX {
            let snapshot = self.0.engine.snapshot().await?;
            let reader = RoomReader::new(&*snapshot, room_id);
            let hash = find(&reader, root).await?.hash;
            let seen = subscription_seen(&*snapshot, user, room_id, hash).await?;
            let before = seen.row.as_ref().map(|(at, row)| (*at, row.state));
            let wanted = wish.on(&reader, root, before).await?;
            let Some(state) = wanted.filter(|it| before.is_none_or(|(_, was)| was != *it)) else {
                return Ok(());
            };
            let mut commit = Commit::synced();
            set_subscription(&mut commit, user, (room_id, root), hash, &seen, state);
            match self.0.engine.commit(commit).await {
                Err(CommitError::Conflict) => {}
                outcome => return outcome.map(drop).map_err(RoomError::from),
            }
        }
        Err(RoomError::Busy)
    }
}

async fn find(reader: &RoomReader<'_>, event: &EventId) -> Result<StoredEvent, RoomError> {
    let hash = EventHash::from_any_event_id(event).map_err(|_| RoomError::UnknownEvent)?;
    let stored = reader.event(hash).await?;
    stored
        .filter(|stored| stored.row.is_visible())
        .ok_or(RoomError::UnknownEvent)
}
