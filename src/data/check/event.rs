//! Events: that they are what their keys say, and that what they refer to is there.

use std::collections::{BTreeMap, BTreeSet};

use belfry_event::{EventHash, Inbound, Pdu, RoomRules, auth_depth};
use belfry_kv::{Engine, Key, Keyspace, ReadError, Snapshot, Stamp};

use super::{
    finding::{FindingKind, Report},
    pages::{Pages, Row, present},
};
use crate::{
    column::RoomKey,
    reader::RoomReader,
    rows::{Acceptance, EventRow},
    state::Root,
    tables::{EVENT, EVENT_EDGE, EVENT_ROOM, EventKey, ROOM_GAP, ROOM_HEAD, RoomOf, STATE_NODE},
};

type Rules = BTreeMap<RoomKey, &'static RoomRules>;

pub(super) async fn check(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&EVENT);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        check_page(&*snapshot, &rows, report).await?;
    }
    check_event_rooms(engine, report).await?;
    check_edges(engine, report).await
}

async fn check_page(
    snapshot: &dyn Snapshot,
    rows: &[Row<EventKey, (Stamp, EventRow)>],
    report: &mut Report,
) -> Result<(), ReadError> {
    let rooms = rows.iter().map(|row| row.key.0.clone()).collect();
    let rules = rules_of(snapshot, rooms).await?;
    let mut needs = Needs::default();
    for Row { raw, key, row } in rows {
        let event = Event {
            raw,
            key,
            row: &row.1,
        };
        needs.event_room(&event);
        needs.references_of_row(&event);
        // Events of a room that was never entered cannot be judged: its version is not known.
        let Some(rules) = rules.get(&key.0) else {
            continue;
        };
        if let Some(pdu) = event.read(rules, report) {
            needs.references_of_pdu(&event, &pdu);
            event.check_auth(snapshot, &pdu, report).await?;
        }
    }
    needs.check(snapshot, report).await
}

/// The rules of the rooms that have a head.
pub(super) async fn rules_of(
    snapshot: &dyn Snapshot,
    rooms: BTreeSet<RoomKey>,
) -> Result<Rules, ReadError> {
    let keys: Vec<_> = rooms.into_iter().map(|room| (room,)).collect();
    let heads = ROOM_HEAD.get_many(snapshot, &keys).await?;
    let known = keys.into_iter().zip(heads).filter_map(|((room,), head)| {
        let version = (&*head?.room_version).try_into().ok()?;
        Some((room, RoomRules::new(&version)?))
    });
    Ok(known.collect())
}

struct Event<'p> {
    raw: &'p Key,
    key: &'p EventKey,
    row: &'p EventRow,
}

impl Event<'_> {
    /// The event, if it is what its key says.
    fn read(&self, rules: &'static RoomRules, report: &mut Report) -> Option<Pdu> {
        let hash = EventHash::from(self.key.1);
        let json = self.row.json.as_bytes();
        let inbound = match Inbound::parse(rules, json) {
            Ok(inbound) => inbound,
            Err(error) => {
                report.add(
                    FindingKind::WrongHash,
                    EVENT.space(),
                    self.raw,
                    error.to_string(),
                );
                return None;
            }
        };
        let pdu = inbound.unverified();
        // What the content hash does not vouch for reads as the redacted event.
        let same = pdu.hash() == hash && *pdu.json() == *self.row.json;
        let at = (EVENT.space(), self.raw);
        report.expect(
            same,
            FindingKind::WrongHash,
            at,
            "the event does not have its hashes",
        );
        let same_room = *pdu.room_id() == *self.key.0.0;
        report.expect(
            same_room,
            FindingKind::WrongEvent,
            at,
            "the event is of another room",
        );
        same.then(|| pdu.clone())
    }

    async fn check_auth(
        &self,
        snapshot: &dyn Snapshot,
        pdu: &Pdu,
        report: &mut Report,
    ) -> Result<(), ReadError> {
        if self.row.acceptance == Acceptance::Rejected {
            return Ok(());
        }
        let reader = RoomReader::new(snapshot, &self.key.0.0);
        // Those that are missing or damaged are findings of their own.
        let Ok(cited) = reader.events(pdu.auth_hashes()).await else {
            return Ok(());
        };
        let depths = cited.iter().flatten().map(|event| event.row.auth_depth);
        let right = auth_depth(depths) == self.row.auth_depth;
        let at = (EVENT.space(), self.raw);
        report.expect(
            right,
            FindingKind::WrongEvent,
            at,
            "the auth depth is wrong",
        );
        Ok(())
    }
}

/// What must be there, to be asked for together: a key, or one of two.
#[derive(Default)]
struct Needs {
    wanted: Vec<Want>,
}

struct Want {
    from: Key,
    key: Key,
    or: Option<Key>,
    what: &'static str,
}

impl Needs {
    fn want(&mut self, event: &Event<'_>, key: Key, what: &'static str) {
        self.wanted.push(Want {
            from: event.raw.clone(),
            key,
            or: None,
            what,
        });
    }

    fn event_room(&mut self, event: &Event<'_>) {
        let key = EVENT_ROOM.key(&(event.key.1,));
        self.want(
            event,
            key,
            "the event's room is not to be found by its hash",
        );
    }

    fn references_of_row(&mut self, event: &Event<'_>) {
        let room = &event.key.0;
        if let Some(node) = event.row.state_before.and_then(Root::node) {
            let key = STATE_NODE.key(&(room.clone(), node.0));
            self.want(event, key, "the state before the event is not stored");
        }
        if let Some(by) = event.row.redacted_by {
            let key = EVENT.key(&(room.clone(), *by.as_bytes()));
            self.want(event, key, "the event's redaction is not stored");
        }
    }

    fn references_of_pdu(&mut self, event: &Event<'_>, pdu: &Pdu) {
        let room = &event.key.0;
        if event.row.acceptance != Acceptance::Rejected {
            for cited in pdu.auth_hashes() {
                let key = EVENT.key(&(room.clone(), *cited.as_bytes()));
                self.want(event, key, "an auth event is not stored");
            }
        }
        if event.row.is_outlier() {
            return;
        }
        for prev in pdu.prev_hashes() {
            let edge = EVENT_EDGE.key(&(room.clone(), *prev.as_bytes(), event.key.1));
            self.want(event, edge, "an edge to a previous event is missing");
            let key = (room.clone(), *prev.as_bytes());
            self.wanted.push(Want {
                from: event.raw.clone(),
                key: EVENT.key(&key),
                or: Some(ROOM_GAP.key(&key)),
                what: "a previous event is neither stored nor noted as missing",
            });
        }
    }

    async fn check(self, snapshot: &dyn Snapshot, report: &mut Report) -> Result<(), ReadError> {
        let keys: Vec<_> = self.wanted.iter().map(|want| want.key.clone()).collect();
        let other = self
            .wanted
            .iter()
            .map(|want| want.or.as_ref().unwrap_or(&want.key));
        let other: Vec<_> = other.cloned().collect();
        let found = present(snapshot, &keys).await?.into_iter();
        let found_other = present(snapshot, &other).await?;
        for (want, (key, or)) in self.wanted.iter().zip(found.zip(found_other)) {
            let at = (EVENT.space(), &want.from);
            report.expect(key || or, FindingKind::Dangling, at, want.what);
        }
        Ok(())
    }
}

async fn check_event_rooms(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&EVENT_ROOM);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let key = |row: &Row<(_,), RoomOf>| EVENT.key(&(row.row.0.clone(), row.key.0));
        let keys: Vec<_> = rows.iter().map(key).collect();
        for (row, found) in rows.iter().zip(present(&*snapshot, &keys).await?) {
            let at = (EVENT_ROOM.space(), &row.raw);
            report.expect(
                found,
                FindingKind::Orphan,
                at,
                "the event is not stored in this room",
            );
        }
    }
    Ok(())
}

async fn check_edges(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&EVENT_EDGE);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let key = |(room, _, child): &(RoomKey, _, _)| (room.clone(), *child);
        let keys: Vec<_> = rows.iter().map(|row| key(&row.key)).collect();
        let children = stored(&*snapshot, &keys).await?;
        for (row, child) in rows.iter().zip(children) {
            let placed = child.filter(|child| !child.is_outlier());
            let accepted = placed.map(|child| child.acceptance == Acceptance::Accepted);
            let at = (EVENT_EDGE.space(), &row.raw);
            let is_there = accepted.is_some();
            report.expect(
                is_there,
                FindingKind::Orphan,
                at,
                "the later event is not stored",
            );
            let agrees = accepted.is_none_or(|accepted| accepted == row.row.covers);
            report.expect(
                agrees,
                FindingKind::WrongEvent,
                at,
                "the edge counts wrongly",
            );
        }
    }
    Ok(())
}

/// These events; those that do not decode count as absent, being findings of their own.
pub(super) async fn stored(
    snapshot: &dyn Snapshot,
    keys: &[EventKey],
) -> Result<Vec<Option<EventRow>>, ReadError> {
    let raw: Vec<_> = keys.iter().map(|key| EVENT.key(key)).collect();
    let values = snapshot.get_many(&raw).await?.into_iter();
    let rows = values.map(|value| EVENT.decode_row(&value?).ok().map(|(_, row)| row));
    Ok(rows.collect())
}

/// A place in a report.
pub(super) type At<'k> = (&'static Keyspace, &'k Key);
