//! Heads: that what they name is there, and that the rows of the current state and of its members
//! say what the tree says.

use std::collections::BTreeMap;

use belfry_kv::{Engine, Key, ReadError, Snapshot};
use ruma_common::{OwnedServerName, ServerName};

use super::{
    event::stored,
    finding::{FindingKind, Report},
    pages::{Pages, present},
};
use crate::{
    column::{RoomKey, ServerKey},
    reader::RoomReader,
    rows::{Acceptance, CurrentRow, CurrentState, EventRow, MemberCounts, Membership, RoomHead},
    state::{Entry, Path, StateError},
    tables::{META, ROOM_EPOCH, ROOM_HEAD, ROOM_SERVER, ROOM_SERVER_ROWS, ROOM_STATE, STATE_NODE},
    writes::{member_of, state_key},
};

/// Servers of one room that are counted; beyond that the counts are taken as they are.
const SERVERS_MAX: usize = 100_000;
/// Entries read at once.
const ENTRIES: usize = 200;

pub(super) async fn check(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let snapshot = engine.snapshot().await?;
    let local = META.get(&*snapshot, &()).await.ok().flatten();
    let local = local.and_then(|meta| ServerName::parse(&*meta.server_name).ok());
    let mut pages = Pages::new(&ROOM_HEAD);
    while let Some((_, rows)) = pages.next(engine, report).await? {
        for row in rows {
            let mut checked = Checked {
                engine,
                room: row.key.0,
                raw: row.raw,
                head: row.row,
                local: local.clone(),
                members: MemberCounts::default(),
                servers: BTreeMap::new(),
                entries: 0,
            };
            checked.check(report).await?;
        }
    }
    check_rows(engine, report).await
}

/// A room being checked.
struct Checked<'e> {
    engine: &'e dyn Engine,
    room: RoomKey,
    raw: Key,
    head: RoomHead,
    local: Option<OwnedServerName>,
    members: MemberCounts,
    servers: BTreeMap<OwnedServerName, i64>,
    entries: usize,
}

impl Checked<'_> {
    async fn check(&mut self, report: &mut Report) -> Result<(), ReadError> {
        self.check_references(report).await?;
        if self.check_entries(report).await? {
            self.check_counts(report).await?;
        }
        Ok(())
    }

    fn at(&self) -> (&'static belfry_kv::Keyspace, &Key) {
        (ROOM_HEAD.space(), &self.raw)
    }

    async fn check_references(&self, report: &mut Report) -> Result<(), ReadError> {
        let snapshot = self.engine.snapshot().await?;
        let key = |hash: &belfry_event::EventHash| (self.room.clone(), *hash.as_bytes());
        let keys: Vec<_> = self.head.extremities.iter().map(key).collect();
        let mut events = stored(&*snapshot, &keys).await?.into_iter();
        let visible = events.all(|event| event.as_ref().is_some_and(EventRow::is_visible));
        let what = "an extremity is not stored, or not accepted";
        report.expect(visible, FindingKind::Dangling, self.at(), what);
        let node = self
            .head
            .state
            .node()
            .map(|node| STATE_NODE.key(&(self.room.clone(), node.0)));
        let found = present(&*snapshot, node.as_slice()).await?;
        let what = "the state is not stored";
        report.expect(
            !found.contains(&false),
            FindingKind::Dangling,
            self.at(),
            what,
        );
        Ok(())
    }

    /// Goes through the tree. Whether it could be read to its end.
    async fn check_entries(&mut self, report: &mut Report) -> Result<bool, ReadError> {
        let mut from = Some(Path::FIRST);
        while let Some(at) = from {
            let snapshot = self.engine.snapshot().await?;
            let reader = RoomReader::new(&*snapshot, &self.room.0);
            let page = match reader.states().page(self.head.state, at, ENTRIES).await {
                Ok(page) => page,
                Err(StateError::Read(ReadError::Corrupt(what))) => {
                    report.add(FindingKind::WrongShape, ROOM_HEAD.space(), &self.raw, what);
                    return Ok(false);
                }
                Err(StateError::Read(error)) => return Err(error),
                // Pages gather what they need and have no limit.
                Err(StateError::Missing(_) | StateError::Full | StateError::TooMany(_)) => {
                    return Err(ReadError::TooLarge);
                }
            };
            self.check_page(&*snapshot, &page.entries, report).await?;
            from = page.next;
        }
        Ok(true)
    }

    async fn check_page(
        &mut self,
        snapshot: &dyn Snapshot,
        entries: &[Entry],
        report: &mut Report,
    ) -> Result<(), ReadError> {
        let key = |entry: &Entry| (self.room.clone(), *entry.event.as_bytes());
        let keys: Vec<_> = entries.iter().map(key).collect();
        let events = stored(snapshot, &keys).await?;
        let rows = self.rows_of(snapshot, entries).await?;
        for ((entry, event), row) in entries.iter().zip(events).zip(rows) {
            self.entries += 1;
            let Some(event) = event else {
                let what = format!("the event of {:?} is not stored", entry.tuple);
                report.add(FindingKind::Dangling, ROOM_HEAD.space(), &self.raw, what);
                continue;
            };
            self.check_event(entry, &event, report);
            self.check_row(snapshot, entry, &event, row, report).await?;
        }
        Ok(())
    }

    /// The rows of the current state for these entries, if the head names rows.
    async fn rows_of(
        &self,
        snapshot: &dyn Snapshot,
        entries: &[Entry],
    ) -> Result<Vec<Option<CurrentRow>>, ReadError> {
        let Some(epoch) = self.head.rows() else {
            return Ok(vec![None; entries.len()]);
        };
        let key = |entry: &Entry| ROOM_STATE.key(&state_key(&self.room, epoch, &entry.tuple));
        let keys: Vec<_> = entries.iter().map(key).collect();
        let values = snapshot.get_many(&keys).await?.into_iter();
        Ok(values
            .map(|value| ROOM_STATE.decode_row(&value?).ok())
            .collect())
    }

    fn check_event(&self, entry: &Entry, event: &EventRow, report: &mut Report) {
        #[derive(serde::Deserialize)]
        struct Names<'a> {
            #[serde(rename = "type", borrow)]
            event_type: std::borrow::Cow<'a, str>,
            #[serde(borrow)]
            state_key: Option<std::borrow::Cow<'a, str>>,
        }
        let names: Option<Names<'_>> = serde_json::from_str(&event.json).ok();
        let right = names.is_some_and(|names| {
            names.event_type == entry.tuple.event_type()
                && names.state_key.as_deref() == Some(entry.tuple.state_key())
        });
        let right = right && event.acceptance != Acceptance::Rejected;
        let what = "an event is state that it does not set, or was rejected";
        report.expect(right, FindingKind::WrongState, self.at(), what);
    }

    async fn check_row(
        &mut self,
        snapshot: &dyn Snapshot,
        entry: &Entry,
        event: &EventRow,
        row: Option<CurrentRow>,
        report: &mut Report,
    ) -> Result<(), ReadError> {
        let Some(epoch) = self.head.rows() else {
            return Ok(());
        };
        let user = member_of(&entry.tuple);
        let is_member = entry.tuple.event_type() == "m.room.member";
        let membership = Membership::from_event(&event.json).filter(|_| is_member);
        let expected = CurrentRow {
            event: entry.event,
            membership,
        };
        let key = ROOM_STATE.key(&state_key(&self.room, epoch, &entry.tuple));
        let at = (ROOM_STATE.space(), &key);
        let what = "the row is not what the tree says";
        report.expect(row == Some(expected), FindingKind::WrongState, at, what);
        self.members = self.members.after(None, membership);
        if let Some(user) = user {
            if membership == Some(Membership::Join) && self.servers.len() < SERVERS_MAX {
                *self
                    .servers
                    .entry(user.server_name().to_owned())
                    .or_default() += 1;
            }
            let local = self.local.as_deref();
            super::user::check_member(snapshot, local, &self.room, user, &expected, report).await?;
        }
        Ok(())
    }

    async fn check_counts(&self, report: &mut Report) -> Result<(), ReadError> {
        let CurrentState::Rows { epoch, members } = self.head.current else {
            return Ok(());
        };
        let right = members == self.members;
        let what = "the head counts its members wrongly";
        report.expect(right, FindingKind::WrongCount, self.at(), what);
        self.check_row_count(epoch, report).await?;
        self.check_servers(epoch, report).await
    }

    /// As every entry was found among the rows, as many rows as entries are the same ones.
    async fn check_row_count(&self, epoch: u64, report: &mut Report) -> Result<(), ReadError> {
        let range = ROOM_STATE.prefix(&(self.room.clone(), epoch));
        let mut pages = Pages::of_range(&ROOM_STATE, range);
        let mut rows = 0;
        let mut silent = Report::new(0);
        while let Some((_, page)) = pages.next(self.engine, &mut silent).await? {
            rows += page.len();
        }
        let what = "there are rows of the current state that the tree does not have";
        report.expect(
            rows <= self.entries,
            FindingKind::WrongState,
            self.at(),
            what,
        );
        Ok(())
    }

    async fn check_servers(&self, epoch: u64, report: &mut Report) -> Result<(), ReadError> {
        if self.servers.len() >= SERVERS_MAX {
            return Ok(());
        }
        let snapshot = self.engine.snapshot().await?;
        let expected: Vec<_> = self.servers.iter().collect();
        for chunk in expected.chunks(1_000) {
            let key = |server: &ServerName| (self.room.clone(), epoch, ServerKey::from(server));
            let keys: Vec<_> = chunk.iter().map(|(server, _)| key(server)).collect();
            let counts = ROOM_SERVER
                .get_many(&*snapshot, &keys)
                .await
                .unwrap_or_default();
            for ((key, (_, expected)), count) in keys.iter().zip(chunk).zip(counts) {
                let (key, what) = (ROOM_SERVER.key(key), "the server has other users joined");
                let at = (ROOM_SERVER.space(), &key);
                report.expect(count == **expected, FindingKind::WrongCount, at, what);
            }
        }
        self.check_absent_servers(epoch, report).await
    }

    async fn check_absent_servers(&self, epoch: u64, report: &mut Report) -> Result<(), ReadError> {
        let table = &ROOM_SERVER_ROWS;
        let range = ROOM_SERVER.prefix(&(self.room.clone(), epoch));
        let mut pages = Pages::of_range(table, range);
        let mut silent = Report::new(0);
        while let Some((_, rows)) = pages.next(self.engine, &mut silent).await? {
            for row in rows {
                let right = row.row == 0 || self.servers.contains_key(&row.key.2.0);
                let at = (table.space(), &row.raw);
                report.expect(
                    right,
                    FindingKind::WrongCount,
                    at,
                    "the server has no users joined",
                );
            }
        }
        Ok(())
    }
}

/// Rows of the current state are of the epoch that the head names, or of the one being built.
async fn check_rows(engine: &dyn Engine, report: &mut Report) -> Result<(), ReadError> {
    let mut pages = Pages::new(&ROOM_STATE);
    while let Some((snapshot, rows)) = pages.next(engine, report).await? {
        let mut epochs = BTreeMap::new();
        for row in &rows {
            let (room, epoch) = (&row.key.0, row.key.1);
            if !epochs.contains_key(room) {
                epochs.insert(room.clone(), epochs_of(&*snapshot, room).await?);
            }
            let named = epochs
                .get(room)
                .is_some_and(|epochs| epochs.contains(&Some(epoch)));
            let at = (ROOM_STATE.space(), &row.raw);
            report.expect(
                named,
                FindingKind::Orphan,
                at,
                "nothing names the row's epoch",
            );
        }
    }
    Ok(())
}

async fn epochs_of(snapshot: &dyn Snapshot, room: &RoomKey) -> Result<[Option<u64>; 2], ReadError> {
    let key = (room.clone(),);
    let keys = [ROOM_HEAD.key(&key), ROOM_EPOCH.key(&key)];
    let values = snapshot.get_many(&keys).await?;
    let [head, building] = values.try_into().map_err(|_| ReadError::TooLarge)?;
    let head = head.and_then(|value| ROOM_HEAD.decode_row(&value).ok());
    let building = building.and_then(|value| ROOM_EPOCH.decode_row(&value).ok());
    Ok([
        head.and_then(|head| head.rows()),
        building.map(|row| row.epoch),
    ])
}
