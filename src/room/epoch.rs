//! Building the rows of the current state anew, in steps, while the head names the tree.
//!
//! It exists because a join of a large room, or a resolution, changes more than one commit holds.
//! It knows nothing of how rows are written.

use std::sync::Arc;

use belfry_data::{
    CURRENT_CHANGES_MAX, Change, CurrentRow, CurrentState, EntryChange, EpochRow, EpochStage,
    Membership, RoomReader, RoomWrites, StateError, StoredEvent,
};
use ruma_common::RoomId;

use crate::chore::Undone;
use crate::desk::{Desk, Known};
use crate::rooms::Shared;

/// One step: begin, go on, or have the head name the rows. No commit of the room is under way.
pub(crate) async fn step_epoch(
    shared: &Arc<Shared>,
    room_id: &RoomId,
    desk: &mut Desk,
) -> Result<(), Undone> {
    let snapshot = shared.engine.snapshot().await?;
    let reader = RoomReader::new(&*snapshot, room_id);
    let local = &shared.identity.server_name;
    let built = reader.epoch().await?;
    if let Some(row) = built.as_ref().filter(|row| row.stage == EpochStage::Ready)
        && publish(shared, &reader, desk, row).await?
    {
        return Ok(());
    }
    let goes_on = built.filter(|row| row.stage != EpochStage::Ready);
    let step = match goes_on {
        Some(_) => {
            let before = desk.known.before();
            reader.step_epoch(local, &desk.head, before).await?
        }
        None => reader.begin_epoch(&desk.head).await?,
    };
    if let Some(step) = step {
        shared.engine.commit(step.commit).await?;
    }
    Ok(())
}

/// Has the head name the rows, brought up to its state; `false` if too much has changed since
/// they were begun.
async fn publish(
    shared: &Arc<Shared>,
    reader: &RoomReader<'_>,
    desk: &mut Desk,
    row: &EpochRow,
) -> Result<bool, Undone> {
    let (set, head) = (&mut desk.working, &desk.head);
    let states = reader.states();
    let changes = match states
        .diff(set, row.root, head.state, CURRENT_CHANGES_MAX)
        .await
    {
        Err(StateError::TooMany(_)) => return Ok(false),
        changes => changes?,
    };
    let mut next = desk.head.successor();
    let (before, mut members) = (desk.known.before(), row.members);
    let local = &shared.identity.server_name;
    let mut writes = RoomWrites::new(local, &desk.room_id, before, Some(row.epoch));
    for change in entries(reader, &changes).await? {
        let after = change.after.and_then(|row| row.membership);
        members = members.after(change.before, after);
        writes.entry(&change);
    }
    writes.publish(row);
    next.current = CurrentState::Rows {
        epoch: row.epoch,
        members,
    };
    let commit = writes.finish(&next).map_err(crate::RoomError::from)?;
    shared.engine.commit(commit).await?;
    desk.head = next.clone();
    desk.known = Known::Planned(next);
    Ok(true)
}

/// Changes of the state as changes of its rows.
async fn entries(reader: &RoomReader<'_>, changes: &[Change]) -> Result<Vec<EntryChange>, Undone> {
    let was: Vec<_> = changes.iter().filter_map(|change| change.before).collect();
    let is: Vec<_> = changes.iter().filter_map(|change| change.after).collect();
    let stored = reader.events(&[was, is].concat()).await?;
    let membership = |hash| {
        let event = stored.iter().flatten().find(|event| event.hash == hash)?;
        membership_in(event)
    };
    let entries = changes.iter().map(|change| {
        let is_member = change.tuple.event_type() == "m.room.member";
        let of = |hash: Option<_>| hash.filter(|_| is_member).and_then(membership);
        EntryChange {
            tuple: change.tuple.clone(),
            before: of(change.before),
            after: change.after.map(|event| CurrentRow {
                event,
                membership: of(Some(event)),
            }),
        }
    });
    Ok(entries.collect())
}

fn membership_in(event: &StoredEvent) -> Option<Membership> {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        content: &'a serde_json::value::RawValue,
    }
    let event: Event<'_> = serde_json::from_str(&event.row.json).ok()?;
    Membership::from_content(event.content.get())
}
