//! What a stopped server's database holds, read without the server, held against the ledgers.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use belfry_data::{Engine, RoomReader, STAMP_FIRST, STAMP_LAST, StoredEvent};
use belfry_event::{Alphabet, RoomRules};
use belfry_kv::Direction;
use belfry_kv_rocks::{Options, Rocks};
use ruma_common::{OwnedRoomId, RoomId, RoomVersionId};
use serde_json::Value;

use crate::{
    act::{Act, KIND},
    actor::Actor,
    ledger::Entry,
};

/// Rooms read at a time.
const ROOMS_PAGE: usize = 100;
/// Events read at a time.
const EVENTS_PAGE: usize = 500;

/// An event, as far as it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    sender: String,
    kind: String,
    state_key: Option<String>,
    /// `body`, or the name of a room.
    marker: Option<String>,
    padding: usize,
}

/// Every room with its events by arrival.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) rooms: BTreeMap<String, Vec<Event>>,
}

impl Stored {
    /// Reads the database in this folder, which no process may have open.
    pub(crate) async fn read(folder: &Path) -> Self {
        let options = Options::new(Arc::new(|| Duration::ZERO));
        let rocks = Rocks::open(folder, belfry_data::keyspaces(), options).unwrap();
        let mut stored = Self::default();
        let mut after: Option<OwnedRoomId> = None;
        loop {
            let snapshot = rocks.snapshot().await.unwrap();
            let page = belfry_data::rooms(&*snapshot, after.as_deref(), ROOMS_PAGE).await;
            let page = page.unwrap();
            for (room, _) in &page {
                let events = events(&rocks, room).await;
                stored.rooms.insert(room.to_string(), events);
            }
            match page.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => break,
            }
        }
        rocks.close();
        stored
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> usize {
        self.rooms.values().map(Vec::len).sum()
    }

    /// The markers of all events.
    pub(crate) fn markers(&self) -> BTreeSet<String> {
        let events = self.rooms.values().flatten();
        events.filter_map(|event| event.marker.clone()).collect()
    }

    /// Panics unless this is what `later` was at some moment before.
    pub(crate) fn check_prefix(&self, later: &Self) {
        for (room, events) in &self.rooms {
            let then = &later.rooms[room];
            assert!(then.starts_with(events), "{room} is not what it was");
        }
    }

    /// Panics if anything that was acknowledged is missing or other than asked for, if anything is
    /// there twice, if anything is there that nobody asked for, or if a room is not whole.
    pub(crate) fn check(&self, actors: &[Actor]) {
        let asked: BTreeMap<_, _> = actors
            .iter()
            .flat_map(|actor| {
                let entries = actor.ledger.entries.iter();
                entries.map(move |(marker, entry)| (marker.as_str(), (actor, entry)))
            })
            .collect();
        let mut found = BTreeSet::new();
        for (room, events) in &self.rooms {
            check_creation(room, events);
            for event in events {
                let Some(marker) = event.marker.as_deref() else {
                    continue;
                };
                let Some((actor, entry)) = asked.get(marker) else {
                    panic!("{room}: nobody asked for {event:?}");
                };
                assert!(found.insert(marker), "{marker} was done twice: {event:?}");
                assert_eq!(event.sender, actor.user, "{event:?}");
                entry.check(room, event);
            }
        }
        for (marker, (_, entry)) in asked {
            let due = entry.outcome.is_some() && !matches!(entry.act, Act::Count(_));
            assert!(
                !due || found.contains(marker),
                "{marker} is lost: {entry:?}"
            );
        }
    }
}

/// A room has all of its first events or does not exist: as many, and of the same types, as
/// the room that was created in peace.
fn check_creation(room: &str, events: &[Event]) {
    let first = |events: &[Event]| -> Vec<_> {
        let until_name = events.iter().position(|event| event.kind == "m.room.name");
        let count = until_name.map_or(0, |name| name + 1);
        let kinds = events.iter().take(count);
        kinds.map(|event| event.kind.clone()).collect()
    };
    let whole = [
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.join_rules",
        "m.room.history_visibility",
        "m.room.guest_access",
        "m.room.name",
    ];
    assert_eq!(first(events), whole, "{room} is half created");
}

impl Entry {
    /// The event is what was asked for, and what the answer named.
    fn check(&self, room: &str, event: &Event) {
        let (kind, state_key, wanted_room, padding) = match &self.act {
            Act::Create => ("m.room.name", Some(""), room, 0),
            Act::Say { room, padding } => ("m.room.message", None, room.as_str(), *padding),
            Act::Set { room } => (KIND, event.marker.as_deref(), room.as_str(), 0),
            Act::Count(_) => panic!("account data became an event: {event:?}"),
        };
        assert_eq!(event.kind, kind, "{event:?}");
        assert_eq!(event.state_key.as_deref(), state_key, "{event:?}");
        assert_eq!((room, event.padding), (wanted_room, padding), "{event:?}");
        let named = match self.act {
            Act::Create => room,
            _ => event.id.as_str(),
        };
        let told = self.outcome.as_deref();
        assert!(told.is_none_or(|told| told == named), "{self:?}: {event:?}");
    }
}

/// The room's events by arrival.
async fn events(engine: &dyn Engine, room: &RoomId) -> Vec<Event> {
    let mut found = Vec::new();
    let mut after = STAMP_FIRST;
    loop {
        let snapshot = engine.snapshot().await.unwrap();
        let reader = RoomReader::new(&*snapshot, room);
        let page = reader.log(after, STAMP_LAST, Direction::Forward, EVENTS_PAGE);
        let page = page.await.unwrap();
        let hashes: Vec<_> = page.entries.iter().map(|(_, hash)| *hash).collect();
        for event in reader.events(&hashes).await.unwrap() {
            found.push(Event::of(
                &event.expect("the log names an event that is not stored"),
            ));
        }
        match page.entries.last() {
            Some((last, _)) => after = *last,
            None => return found,
        }
    }
}

impl Event {
    fn of(stored: &StoredEvent) -> Self {
        // The content hash is checked by reading it, not only stored.
        let rules = RoomRules::new(&RoomVersionId::V12).unwrap();
        stored.pdu(rules).unwrap();
        let json: Value = serde_json::from_str(&stored.row.json).unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let content = &json["content"];
        let is_name = json["type"] == "m.room.name";
        let padding = content["padding"].as_str().unwrap_or_default();
        Self {
            id: stored.hash.to_event_id(Alphabet::UrlSafe).to_string(),
            sender: text(&json["sender"]).unwrap(),
            kind: text(&json["type"]).unwrap(),
            state_key: text(&json["state_key"]),
            marker: text(&content[if is_name { "name" } else { "body" }]),
            padding: padding.len(),
        }
    }
}
