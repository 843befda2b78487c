//! Stripped state (Client-Server API, "Stripped state"): what somebody who is asked in, or asks to be
//! let in, is told of a room.
//!
//! It exists so that an invitation can be shown without giving the room away. What another server
//! says of rooms that this one is not in is kept with its invite (`foreign`).

use belfry_data::{Membership, Snapshot, StateTuple};

use crate::{
    admission::shows_invite,
    error::Fault,
    event::RoomEvent,
    foreign::Stay,
    joined::Candidate,
    json::EventList,
    room_view::RoomView,
    sight::{member_tuple, plain_tuple},
    turn::Turn,
};

/// What is told, besides the member events of both sides.
const TYPES: [&str; 7] = [
    "m.room.create",
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.encryption",
    "m.room.join_rules",
    "m.room.name",
    "m.room.topic",
];

impl Turn<'_> {
    /// What an invite or a knock tells of its room; `None` if the client knows, or the inviter is
    /// ignored or not admitted.
    pub(crate) async fn stripped(
        &self,
        snapshot: &dyn Snapshot,
        candidate: &Candidate,
    ) -> Result<Option<EventList>, Fault> {
        let (user, room) = (self.user(), &*candidate.room);
        if let Some(stay) = Stay::read(snapshot, user, room, candidate.row).await? {
            return self.stripped_foreign(snapshot, candidate, &stay).await;
        }
        let Some(mut view) = RoomView::open(snapshot, &candidate.room, self.until).await? else {
            return Ok(None);
        };
        let Some(own) = view.events(&[candidate.row.event]).await?.pop() else {
            return Ok(None);
        };
        let told = self.since.is_some_and(|since| own.stamp() <= since);
        let is_invite = candidate.row.membership == Membership::Invite;
        if told || (is_invite && self.ignored.holds(own.pdu.sender())) {
            return Ok(None);
        }
        if is_invite && !shows_invite(snapshot, self.user(), own.pdu.sender()).await? {
            return Ok(None);
        }
        stripped_state(&mut view, &own).await.map(Some)
    }
}

/// The room as it was when this member event was sent, and the event itself.
async fn stripped_state(view: &mut RoomView<'_>, own: &RoomEvent) -> Result<EventList, Fault> {
    let mut tuples = Vec::new();
    for event_type in TYPES {
        tuples.push(plain_tuple(event_type)?);
    }
    if own.tuple() != Some(member_tuple(own.pdu.sender())?) {
        tuples.push(member_tuple(own.pdu.sender())?);
    }
    let found = view.pick(own.state_before(), tuples).await?;
    let create_first = |(tuple, _): &(StateTuple, _)| tuple.event_type() != "m.room.create";
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(create_first);
    let hashes: Vec<_> = found.into_iter().map(|(_, event)| event).collect();
    let events = view.events(&hashes).await?;
    let mut list = EventList::default();
    for event in events.iter().chain([own]) {
        list.push(|out| event.pdu.write_stripped_json(out));
    }
    Ok(list)
}
