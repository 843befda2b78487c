//! One server's view of a room's events, told where a traced run fails.
//!
//! Exists so that two servers that disagree can be compared event by event. Knows nothing of what
//! they should agree on.

use std::fmt::Write as _;

use belfry_data::{Direction, Engine, Path, RoomReader, Root, StateTuple, TimelinePoint};
use belfry_event::EventHash;
use ruma_common::{RoomId, RoomVersionId};
use serde_json::Value;

use super::member::Member;

/// State entries that one state is looked through for.
const ENTRIES_MAX: usize = 1_000;
/// Events told.
const EVENTS_MAX: usize = 2_000;
/// Kinds of state that are told with each event.
const SHOWN: [&str; 2] = ["m.room.name", "m.room.topic"];

fn short(hash: EventHash) -> String {
    format!("{hash:?}").chars().take(6).collect()
}

async fn shown(reader: &RoomReader<'_>, root: Root) -> String {
    let states = reader.states();
    let page = states.page(root, Path::default(), ENTRIES_MAX);
    let entries = page.await.unwrap().entries;
    let mut text = String::new();
    for kind in SHOWN {
        let tuple = StateTuple::new(kind.to_owned(), "").unwrap();
        let found = entries.iter().find(|entry| entry.tuple == tuple);
        let found = found.map_or("-".to_owned(), |entry| short(entry.event));
        write!(text, " {found}").unwrap();
    }
    text
}

impl Member {
    /// The room's events by depth: kind, sender, previous events, what was known before each.
    pub(super) async fn graph(&self, room: &str) -> String {
        let snapshot = self.engine().snapshot().await.unwrap();
        let room = RoomId::parse(room).unwrap();
        let reader = RoomReader::new(&*snapshot, &room);
        let head = reader.head().await.unwrap().unwrap();
        let ends: Vec<_> = head.extremities.iter().map(|hash| short(*hash)).collect();
        let mut text = format!("{}: extremities {ends:?},", self.name);
        writeln!(text, "{}", shown(&reader, head.state).await).unwrap();
        let (from, to) = (TimelinePoint::FIRST, TimelinePoint::LAST);
        let page = reader.timeline(from, to, Direction::Forward, EVENTS_MAX);
        for (point, hash) in page.await.unwrap().entries {
            let event = reader.event(hash).await.unwrap().unwrap();
            let json: Value = serde_json::from_str(&event.row.json).unwrap();
            let version = RoomVersionId::try_from(&*head.room_version).unwrap();
            let rules = belfry_event::RoomRules::new(&version).unwrap();
            let pdu = event.pdu(rules).unwrap();
            let prevs: Vec<_> = pdu.prev_hashes().iter().map(|hash| short(*hash)).collect();
            let before = event.row.state_before.unwrap_or(Root::EMPTY);
            let (kind, sender) = (&json["type"], &json["sender"]);
            let (own, acceptance) = (short(hash), event.row.acceptance);
            let stamp = format!("{:?}", point.stamp);
            let before = shown(&reader, before).await;
            writeln!(
                text,
                "{:>5} {own} {kind} {sender} {prevs:?} {acceptance:?} {stamp}{before}",
                point.depth
            )
            .unwrap();
        }
        text
    }
}
