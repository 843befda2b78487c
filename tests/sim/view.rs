//! What a database holds, read through `data`'s own doors, as plain values.
//!
//! It exists so that checkers are functions of values, and so that a test can change a value to
//! see them fail. It knows nothing of what is right.

use std::collections::BTreeMap;
use std::sync::Arc;

use belfry_data::{
    GlobalRow, Membership, RoomHead, RoomReader, STAMP_FIRST, STAMP_LAST, Snapshot, Stamp,
    StateTuple, StoredEvent, TimelinePoint, UserRoom, alias_seen, global_log, rooms, user_rooms,
};
use belfry_event::{EventHash, Pdu, RoomRules};
use belfry_kv::{Direction, Engine, Memory};
use ruma_common::{
    OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId,
};
use serde_json::Value;

use crate::client::aliases;

/// More than a run makes of anything.
const ALL: usize = 10_000;

/// Everything.
#[derive(Clone, Default)]
pub(crate) struct View {
    pub(crate) rooms: BTreeMap<OwnedRoomId, RoomView>,
    pub(crate) global: Vec<(Stamp, OwnedRoomId, EventHash)>,
    pub(crate) users: BTreeMap<OwnedUserId, Vec<UserRoom>>,
    pub(crate) aliases: BTreeMap<OwnedRoomAliasId, OwnedRoomId>,
}

/// One room.
#[derive(Clone)]
pub(crate) struct RoomView {
    pub(crate) rules: &'static RoomRules,
    pub(crate) head: RoomHead,
    pub(crate) log: Vec<Logged>,
    pub(crate) timeline: Vec<(TimelinePoint, EventHash)>,
    pub(crate) tail: Option<Stamp>,
    pub(crate) current: BTreeMap<StateTuple, EventHash>,
    pub(crate) members: BTreeMap<OwnedUserId, Membership>,
    pub(crate) servers: BTreeMap<String, i64>,
}

/// One entry of a room's log.
#[derive(Clone)]
pub(crate) struct Logged {
    pub(crate) stamp: Stamp,
    pub(crate) stored: StoredEvent,
    pub(crate) pdu: Arc<Pdu>,
    /// What tells which act the event came of.
    pub(crate) mark: Option<String>,
}

impl View {
    /// Reads a database; `people` are the users whose rooms are wanted.
    ///
    /// # Panics
    /// If it cannot be read, or names an event that it does not hold.
    pub(crate) async fn read(memory: &Memory, people: &[OwnedUserId]) -> Self {
        let snapshot = memory.snapshot().await.expect("the database is open");
        let mut view = Self::default();
        for (room, head) in rooms(&*snapshot, None, ALL).await.expect("rooms read") {
            let read = RoomView::read(&*snapshot, &room, head).await;
            view.rooms.insert(room, read);
        }
        for user in people {
            let rooms = user_rooms(&*snapshot, user, None, ALL).await;
            let rooms = rooms.expect("a user's rooms read");
            view.users.insert(user.clone(), rooms);
        }
        for alias in aliases() {
            let row = alias_seen(&*snapshot, &alias).await.expect("aliases read");
            view.aliases.extend(row.row.map(|row| (alias, row.room)));
        }
        let global = global_log(&*snapshot, STAMP_FIRST, ALL).await;
        let global = global.expect("the log reads").entries.into_iter();
        let global = global.filter_map(|(stamp, row)| {
            let GlobalRow::Event { room, event } = row else {
                return None;
            };
            let room = OwnedRoomId::try_from(&*room).expect("a room ID");
            Some((stamp, room, event))
        });
        view.global = global.collect();
        view
    }

    /// Every event of every log.
    pub(crate) fn events(&self) -> impl Iterator<Item = (&OwnedRoomId, &Logged)> {
        let rooms = self.rooms.iter();
        rooms.flat_map(|(id, room)| room.log.iter().map(move |event| (id, event)))
    }

    /// The places in logs of each event.
    pub(crate) fn by_id(&self) -> BTreeMap<OwnedEventId, Vec<(&OwnedRoomId, &Logged)>> {
        let mut by_id: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (room, event) in self.events() {
            let id = event.pdu.event_id().clone();
            by_id.entry(id).or_default().push((room, event));
        }
        by_id
    }

    /// The events that carry each mark.
    pub(crate) fn by_mark(&self) -> BTreeMap<&str, Vec<(&OwnedRoomId, &Logged)>> {
        let mut by_mark: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (room, event) in self.events() {
            if let Some(mark) = &event.mark {
                by_mark.entry(&**mark).or_default().push((room, event));
            }
        }
        by_mark
    }
}

impl RoomView {
    async fn read(snapshot: &dyn Snapshot, room: &RoomId, head: RoomHead) -> Self {
        let version = RoomVersionId::try_from(&*head.room_version).expect("a room version");
        let rules = RoomRules::new(&version).expect("a supported room version");
        let reader = RoomReader::new(snapshot, room);
        let (first, last) = (TimelinePoint::FIRST, TimelinePoint::LAST);
        let timeline = reader.timeline(first, last, Direction::Forward, ALL).await;
        let local = reader.local_members(None, ALL).await.expect("members read");
        Self {
            rules,
            log: read_log(&reader, rules).await,
            timeline: timeline.expect("the timeline reads").entries,
            tail: reader.tail().await.expect("the tail reads"),
            current: read_current(&reader, &head).await,
            members: local.into_iter().collect(),
            servers: read_servers(&reader, &head).await,
            head,
        }
    }
}

async fn read_log(reader: &RoomReader<'_>, rules: &'static RoomRules) -> Vec<Logged> {
    let page = reader
        .log(STAMP_FIRST, STAMP_LAST, Direction::Forward, ALL)
        .await
        .expect("the log reads");
    let hashes: Vec<_> = page.entries.iter().map(|(_, hash)| *hash).collect();
    let events = reader.events(&hashes).await.expect("events read");
    let events = page.entries.into_iter().zip(events);
    let logged = events.map(|((stamp, hash), stored)| {
        let stored = stored.unwrap_or_else(|| panic!("{hash:?} is in the log and not stored"));
        let pdu = stored.pdu(rules).expect("a stored event reads");
        Logged {
            stamp,
            mark: mark_of(&pdu),
            pdu: Arc::new(pdu),
            stored,
        }
    });
    logged.collect()
}

async fn read_current(reader: &RoomReader<'_>, head: &RoomHead) -> BTreeMap<StateTuple, EventHash> {
    let (mut current, mut from) = (BTreeMap::new(), None);
    loop {
        let page = reader.current(head).page(from, 1_000).await;
        let page = page.expect("the current state reads");
        let entries = page.entries.into_iter();
        current.extend(entries.map(|entry| (entry.tuple, entry.event)));
        from = page.next;
        if from.is_none() {
            return current;
        }
    }
}

async fn read_servers(reader: &RoomReader<'_>, head: &RoomHead) -> BTreeMap<String, i64> {
    let Some(epoch) = head.rows() else {
        return BTreeMap::new();
    };
    let servers = reader.joined_servers(epoch, None, ALL).await;
    let (servers, _) = servers.expect("servers read");
    let named = servers.into_iter();
    named
        .map(|(name, count)| (name.to_string(), count))
        .collect()
}

/// The mark that the act's content, reason or name put there.
fn mark_of(pdu: &Pdu) -> Option<String> {
    let content: Value = serde_json::from_str(pdu.content_json()).ok()?;
    let marked = content.get("mark").or_else(|| content.get("reason"));
    let named = content.get("name").filter(|_| {
        let kind = pdu.event_type().to_string();
        kind == "m.room.name"
    });
    Some(marked.or(named)?.as_str()?.to_owned())
}
