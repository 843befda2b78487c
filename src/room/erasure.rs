//! What a server is told of an erased user whom it never met: events without their content
//! (Client-Server API, "Account deactivation"; MSC4025).
//!
//! It exists so that other servers see no more than clients who came later do. Who was in the room
//! with the user goes on to be told what was written, and the room's state is left as it is: it is
//! the room's. It knows nothing of accounts that are open.

use std::collections::BTreeMap;

use belfry_data::{Membership, RoomReader, Root, StateTuple, StoredEvent, WorkingSet};
use belfry_event::{Pdu, Standing};
use ruma_common::{OwnedUserId, RoomId, UserId};
use serde_json::value::RawValue;

use crate::error::RoomError;
use crate::rooms::Shared;
use crate::sight::Sight;

/// Users of the asking server whose stays are looked at; further ones were never there.
const USERS_MAX: usize = 50;
/// Member events of one user that are gone back through.
const STEPS_MAX: usize = 10;

/// What one answer has found out about the erased.
#[derive(Default)]
pub(crate) struct Erasures {
    /// When each sender asked to be erased, in milliseconds since the Unix epoch, if they did.
    asked: BTreeMap<OwnedUserId, Option<u64>>,
    /// Whether the server was in the room at such a time.
    was_there: BTreeMap<u64, bool>,
}

impl Erasures {
    /// Whether the server is told of the event without its content.
    pub(crate) async fn cover(
        &mut self,
        (shared, room_id): (&Shared, &RoomId),
        sight: &Sight,
        (pdu, stored): (&Pdu, &StoredEvent),
    ) -> Result<bool, RoomError> {
        let sender = pdu.sender();
        let local = sender.server_name() == shared.identity.server_name;
        if !local || pdu.state_key().is_some() {
            return Ok(false);
        }
        let snapshot = shared.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, room_id);
        let asked = match self.asked.get(sender) {
            Some(asked) => *asked,
            None => reader.erased(&[sender]).await?.into_iter().flatten().next(),
        };
        self.asked.insert(sender.to_owned(), asked);
        let Some(since) = asked else {
            return Ok(false);
        };
        let before = stored.row.state_before.unwrap_or(Root::EMPTY);
        let set = &mut WorkingSet::new();
        let standings = sight.standings(&reader, set, before).await?;
        if standings.iter().any(|(_, is)| *is == Standing::Joined) {
            return Ok(false);
        }
        let was_there = match self.was_there.get(&since) {
            Some(was_there) => *was_there,
            None => was_there(&reader, sight.users(), since).await?,
        };
        self.was_there.insert(since, was_there);
        Ok(!was_there)
    }
}

/// Whether one of the users was in the room at that time or before.
async fn was_there(
    reader: &RoomReader<'_>,
    users: &[OwnedUserId],
    ts: u64,
) -> Result<bool, RoomError> {
    let head = reader.head().await?.ok_or(RoomError::UnknownRoom)?;
    for user in users.iter().take(USERS_MAX) {
        if was_in_room(reader, head.state, user, ts).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn was_in_room(
    reader: &RoomReader<'_>,
    mut root: Root,
    user: &UserId,
    ts: u64,
) -> Result<bool, RoomError> {
    let Ok(tuple) = StateTuple::new("m.room.member", user.as_str()) else {
        return Ok(false);
    };
    let set = &mut WorkingSet::new();
    for _ in 0..STEPS_MAX {
        let states = reader.states();
        states
            .gather(set, &[root], std::slice::from_ref(&tuple))
            .await?;
        let Some(hash) = set.get(root, &tuple)? else {
            break;
        };
        let Some(event) = reader.event(hash).await? else {
            break;
        };
        if event.row.received_ts <= ts && is_join(&event.row.json) {
            return Ok(true);
        }
        let Some(before) = event.row.state_before else {
            break;
        };
        root = before;
    }
    Ok(false)
}

fn is_join(json: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        content: &'a RawValue,
    }
    let event = serde_json::from_str::<Event<'_>>(json);
    event.is_ok_and(|event| Membership::from_content(event.content.get()) == Some(Membership::Join))
}
