//! What an accepted event of another server changes: extremities, current state, its rows.
//!
//! It exists because such an event may fork the room, and then the current state is what
//! resolution makes of all extremities. It knows nothing of judging.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{
    Acceptance, CURRENT_CHANGES_MAX, Change, CurrentRow, CurrentState, EXTREMITIES_MAX,
    EntryChange, Membership, RoomHead, RoomReader, Root, StateError,
};
use belfry_event::EventHash;

use super::Planner;
use super::arrival::{File, Filed, Pause, state_after};
use crate::desk::Desk;
use crate::error::RoomError;

/// Events that are not accepted and through which it is looked for extremities that an accepted
/// one leaves behind.
const UNACCEPTED_MAX: usize = 100;

impl Planner<'_> {
    /// Moves the head on to the event. What that changes in the current state. On a pause,
    /// nothing has changed.
    ///
    /// `anew` is whether this server comes back into a room that it had left: what it knew then is
    /// no fork, but history that the others have gone on from.
    pub(super) async fn shift(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        event: &Filed,
        anew: bool,
    ) -> Result<Vec<EntryChange>, Pause> {
        let hash = event.pdu.hash();
        let left = self.left_behind(desk, reader, event).await?;
        let mut head = desk.head.clone();
        head.extremities.retain(|old| !anew && !left.contains(old));
        if !self.is_left_behind(reader, hash).await? {
            head.extremities.push(hash);
            head.extremities.sort_unstable();
        }
        if head.extremities.len() > EXTREMITIES_MAX {
            self.leave_out(desk, reader, &mut head, event).await?;
        }
        if head.extremities == desk.head.extremities {
            return Ok(Vec::new());
        }
        let after = state_after(desk, reader, event).await?;
        head.depth = event.pdu.depth();
        head.state = after;
        if head.extremities != [hash] {
            let others = head.extremities.iter().copied();
            let others = others.filter(|old| *old != hash).collect();
            let mut file = self.file(desk, reader, others).await?;
            file.insert(hash, event.clone());
            let tops: Vec<_> = head
                .extremities
                .iter()
                .filter_map(|top| file.get(top))
                .collect();
            let depths = tops.iter().map(|top| top.pdu.depth());
            head.depth = depths.max().unwrap_or(head.depth);
            head.state = self.merged_state(desk, reader, tops).await?;
        }
        let changed = self.changes(desk, reader, &mut head, event).await?;
        desk.head = head;
        Ok(changed)
    }

    /// Leaves out the least deep extremity without which the current state is the same: others know
    /// it and refer to it sooner or later. Too many that differ are for somebody to merge.
    async fn leave_out(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        head: &mut RoomHead,
        event: &Filed,
    ) -> Result<(), Pause> {
        let mut file = self.file(desk, reader, head.extremities.clone()).await?;
        file.insert(event.pdu.hash(), event.clone());
        let mut states: BTreeMap<Root, BTreeSet<(i64, EventHash)>> = BTreeMap::new();
        for (hash, top) in &file {
            let after = state_after(desk, reader, top).await?;
            let tops = states.entry(after).or_default();
            tops.insert((top.pdu.depth(), *hash));
        }
        let spare = states.values().filter(|tops| tops.len() > 1);
        let Some((_, spare)) = spare.filter_map(BTreeSet::first).min() else {
            let text = "the room has more forward extremities than are kept";
            return Err(Pause::Stuck(text.to_owned()));
        };
        head.extremities.retain(|hash| hash != spare);
        Ok(())
    }

    /// The extremities that the event takes the place of: those it refers to, also by way of
    /// events that were not accepted.
    async fn left_behind(
        &self,
        desk: &Desk,
        reader: &RoomReader<'_>,
        event: &Filed,
    ) -> Result<BTreeSet<EventHash>, RoomError> {
        let mut left: BTreeSet<_> = event.pdu.prev_hashes().iter().copied().collect();
        let mut pending: Vec<_> = left.iter().copied().collect();
        let mut unaccepted = 0;
        while !pending.is_empty() && unaccepted < UNACCEPTED_MAX {
            let file = self
                .file(desk, reader, std::mem::take(&mut pending))
                .await?;
            for prev in file.values() {
                if prev.acceptance != Acceptance::Accepted && prev.state_before.is_some() {
                    unaccepted += 1;
                    let new = prev.pdu.prev_hashes().iter();
                    pending.extend(new.filter(|hash| left.insert(**hash)));
                }
            }
        }
        Ok(left)
    }

    /// Whether an accepted event refers to it already.
    async fn is_left_behind(
        &self,
        reader: &RoomReader<'_>,
        hash: EventHash,
    ) -> Result<bool, RoomError> {
        let mut planned = self.received.filed.values();
        let by_planned = planned.any(|later| {
            later.acceptance == Acceptance::Accepted && later.pdu.prev_hashes().contains(&hash)
        });
        Ok(by_planned || reader.covered(&[hash]).await?.contains(&true))
    }

    /// What differs between the current state and the next; too much, and the head is to name the
    /// tree until its rows are built anew.
    async fn changes(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        head: &mut RoomHead,
        event: &Filed,
    ) -> Result<Vec<EntryChange>, Pause> {
        let (was, is) = (desk.head.state, head.state);
        let states = reader.states();
        let set = &mut desk.working;
        let changes = match states.diff(set, was, is, CURRENT_CHANGES_MAX).await {
            Ok(changes) => changes,
            Err(StateError::TooMany(_)) => {
                self.give_up_rows(head, was);
                return Ok(Vec::new());
            }
            Err(StateError::Read(error)) => return Err(error.into()),
            Err(error) => return Err(Pause::Stuck(error.to_string())),
        };
        let named = changes
            .iter()
            .flat_map(|change| [change.before, change.after]);
        let named = named.flatten().collect();
        let mut file = self.file(desk, reader, named).await?;
        file.insert(event.pdu.hash(), event.clone());
        let sets: Vec<_> = changes.iter().map(|change| entry(change, &file)).collect();
        if let CurrentState::Rows { members, .. } = &mut head.current {
            for change in &sets {
                let after = change.after.and_then(|row| row.membership);
                *members = members.after(change.before, after);
            }
        }
        Ok(sets)
    }

    fn give_up_rows(&mut self, head: &mut RoomHead, was: Root) {
        if let CurrentState::Rows { epoch, .. } = head.current {
            self.received.dropped_rows = Some(epoch);
            head.current = CurrentState::Tree { behind: was };
        }
    }
}

/// A change of the state as a change of its rows.
fn entry(change: &Change, file: &File) -> EntryChange {
    let is_member = change.tuple.event_type() == "m.room.member";
    let membership = |hash: Option<EventHash>| {
        let event = file.get(&hash?).filter(|_| is_member)?;
        Membership::from_content(event.pdu.content_json())
    };
    let after = change.after.map(|event| CurrentRow {
        event,
        membership: membership(Some(event)),
    });
    EntryChange {
        tuple: change.tuple.clone(),
        before: membership(change.before),
        after,
    }
}
