//! Device lists of this server's users, as other servers are told of them (Server-Server API,
//! "Device Management").
//!
//! Exists so that a change reaches every server that shares a room with its user, also one that is
//! away for weeks, which is told once of each device as it then is. The router notes which server is
//! to be told of which device; what is told is read when it is sent. Knows nothing of what keys
//! mean.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{
    Commit, GlobalRow, Membership, ReadError, RoomReader, Snapshot, Stamp, StateTuple, StoredEvent,
    WorkingSet,
    keys::{
        DeviceDue, DeviceDueRow, DeviceListRow, device_changes_with, device_streams, devices_due,
        devices_due_among, keep_device_stream, keyed_devices, put_device_due,
    },
    user_rooms,
};
use belfry_policy::Purpose;
use belfry_user::{QueriedKeys, WantedDevices, keys_for_servers};
use ruma_common::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    router::{Parcels, RouteError},
    sender::Shared,
    target::servers_in,
};

/// Rooms of one user through which servers are told.
pub const LIST_ROOMS_MAX: usize = 1_000;
/// Servers that are told of one user's devices; beyond, they find out by asking.
pub const LIST_SERVERS_MAX: usize = 10_000;
/// Notes written by one commit.
const NOTES_AT_ONCE: usize = 2_000;

const MEMBER: &str = "m.room.member";

/// Server, user, device (empty: the cross-signing keys).
type Place = (OwnedServerName, OwnedUserId, String);

/// What a page of the log has for device lists.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    streams: BTreeMap<OwnedUserId, u64>,
    due: BTreeMap<Place, DeviceDueRow>,
}

/// Finds who is to be told of which devices because of these entries of the log. The same entries
/// give the same notes: what a crash took is noted again.
pub(crate) async fn note(
    shared: &Shared,
    snapshot: &dyn Snapshot,
    entries: &[(Stamp, GlobalRow)],
) -> Result<Notes, RouteError> {
    let mut desk = Desk {
        shared,
        snapshot,
        servers: BTreeMap::new(),
        notes: Notes::default(),
    };
    for (stamp, row) in entries {
        match row {
            GlobalRow::DeviceList { user } => {
                if let Some(user) = desk.local(user) {
                    desk.changed(*stamp, &user).await?;
                }
            }
            GlobalRow::Event { room, event } => {
                let Ok(room) = OwnedRoomId::try_from(&**room) else {
                    continue;
                };
                let found = RoomReader::new(snapshot, &room).event(*event).await?;
                let Some(event) = found else { continue };
                let joined = joiner(&event.row.json);
                if let Some(user) = joined.and_then(|user| desk.local(&user)) {
                    desk.joined(&room, &user, &event).await?;
                }
            }
            _ => {}
        }
    }
    Ok(desk.notes)
}

impl Notes {
    /// Tells the queues that something waits.
    pub(crate) fn announce(&self, parcels: &mut Parcels) {
        for (server, ..) in self.due.keys() {
            parcels.entry(server.clone()).or_default().outbox = true;
        }
    }

    /// Writes the notes, which nobody sees before the cursor has moved, and adds to the commit that
    /// moves it how far the lists have counted.
    pub(crate) async fn store(
        self,
        shared: &Shared,
        snapshot: &dyn Snapshot,
        commit: &mut Commit,
    ) -> Result<(), RouteError> {
        let places: Vec<_> = self.due.into_iter().collect();
        for chunk in places.chunks(NOTES_AT_ONCE) {
            let asked: Vec<_> = chunk
                .iter()
                .map(|((server, user, device), _)| (&**server, &**user, device.as_str()))
                .collect();
            let before = devices_due_among(snapshot, &asked).await?;
            let mut notes = Commit::lazy();
            for ((place, (_, row)), before) in asked.into_iter().zip(chunk).zip(before) {
                if let Some(row) = onto(before, *row) {
                    put_device_due(&mut notes, place, row);
                }
            }
            if !notes.writes.is_empty() {
                shared.engine.commit(notes).await?;
            }
        }
        for (user, stream_id) in self.streams {
            keep_device_stream(commit, &user, stream_id);
        }
        Ok(())
    }
}

/// The note that stands for both; `None` if the one before says it all.
fn onto(before: Option<DeviceDueRow>, row: DeviceDueRow) -> Option<DeviceDueRow> {
    match before {
        Some(before) if before.stream_id >= row.stream_id && before.prev_id <= row.prev_id => None,
        Some(before) => Some(DeviceDueRow {
            stream_id: row.stream_id.max(before.stream_id),
            prev_id: row.prev_id.min(before.prev_id),
        }),
        None => Some(row),
    }
}

/// The other servers that share a room with the user.
pub(crate) async fn neighbours(
    shared: &Shared,
    user: &UserId,
) -> Result<BTreeSet<OwnedServerName>, RouteError> {
    let snapshot = shared.engine.snapshot().await?;
    let mut desk = Desk {
        shared,
        snapshot: &*snapshot,
        servers: BTreeMap::new(),
        notes: Notes::default(),
    };
    desk.neighbours(user, None).await
}

struct Desk<'a> {
    shared: &'a Shared,
    snapshot: &'a dyn Snapshot,
    /// Of rooms that were looked at.
    servers: BTreeMap<OwnedRoomId, BTreeSet<OwnedServerName>>,
    notes: Notes,
}

impl Desk<'_> {
    fn local(&self, user: &str) -> Option<OwnedUserId> {
        let user = OwnedUserId::try_from(user).ok()?;
        (user.server_name() == self.shared.client.server()).then_some(user)
    }

    /// The user's devices changed by the commit in which `at` stands.
    async fn changed(&mut self, at: Stamp, user: &UserId) -> Result<(), RouteError> {
        let rows = device_changes_with(self.snapshot, at).await?;
        let told = |row: &DeviceListRow| {
            *row.user == *user.as_str() && row.only.is_none() && row.stream_id > 0
        };
        let servers = self.neighbours(user, None).await?;
        for row in rows.into_iter().filter(told) {
            let prev_id = self.count(user).await?;
            let row_due = DeviceDueRow {
                stream_id: prev_id + 1,
                prev_id,
            };
            self.notes.streams.insert(user.to_owned(), prev_id + 1);
            let device = row.device.unwrap_or_default();
            self.tell(&servers, user, &device, row_due);
        }
        Ok(())
    }

    /// The user came into a room: servers in it that share no other room with them are told of all
    /// devices.
    async fn joined(
        &mut self,
        room: &RoomId,
        user: &UserId,
        event: &StoredEvent,
    ) -> Result<(), RouteError> {
        if self.was_joined(room, user, event).await? {
            return Ok(());
        }
        let mut servers = self.servers_in(room).await?.clone();
        servers.remove(self.shared.client.server());
        if servers.is_empty() {
            return Ok(());
        }
        let known = self.neighbours(user, Some(room)).await?;
        let new: BTreeSet<_> = servers.difference(&known).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let due = DeviceDueRow {
            stream_id: self.count(user).await?,
            prev_id: 0,
        };
        let pages = keyed_devices(self.snapshot, &[user.to_owned()]).await?;
        let devices = pages.into_iter().flat_map(|page| page.devices);
        for (device, ..) in devices {
            self.tell(&new, user, &device, due);
        }
        Ok(())
    }

    /// Whether the user was in the room before the event.
    async fn was_joined(
        &self,
        room: &RoomId,
        user: &UserId,
        event: &StoredEvent,
    ) -> Result<bool, RouteError> {
        let tuple = StateTuple::new(MEMBER, user.as_str());
        let (Some(state), Ok(tuple)) = (event.row.state_before, tuple) else {
            return Ok(false);
        };
        let reader = RoomReader::new(self.snapshot, room);
        let set = &mut WorkingSet::new();
        let asked = std::slice::from_ref(&tuple);
        reader.states().gather(set, &[state], asked).await?;
        let Some(before) = set.get(state, &tuple)? else {
            return Ok(false);
        };
        let before = reader.event(before).await?;
        Ok(before.and_then(|event| joiner(&event.row.json)).is_some())
    }

    fn tell(
        &mut self,
        servers: &BTreeSet<OwnedServerName>,
        user: &UserId,
        device: &str,
        row: DeviceDueRow,
    ) {
        for server in servers {
            if !may_tell(self.shared, server) {
                continue;
            }
            let place = (server.clone(), user.to_owned(), device.to_owned());
            let before = self.notes.due.get(&place).copied();
            if let Some(row) = onto(before, row) {
                self.notes.due.insert(place, row);
            }
        }
    }

    /// How far the user's list has counted.
    async fn count(&self, user: &UserId) -> Result<u64, ReadError> {
        if let Some(stream_id) = self.notes.streams.get(user) {
            return Ok(*stream_id);
        }
        let counts = device_streams(self.snapshot, &[user]).await?;
        Ok(counts.into_iter().next().unwrap_or_default())
    }

    /// The other servers in the user's rooms, but for one room.
    async fn neighbours(
        &mut self,
        user: &UserId,
        but: Option<&RoomId>,
    ) -> Result<BTreeSet<OwnedServerName>, RouteError> {
        let rooms = user_rooms(self.snapshot, user, None, LIST_ROOMS_MAX).await?;
        let mut found = BTreeSet::new();
        for room in rooms {
            let joined = room.row.membership == Membership::Join;
            if joined && but.is_none_or(|but| but != room.room_id) {
                let servers = self.servers_in(&room.room_id).await?;
                found.extend(servers.iter().cloned());
            }
            if found.len() >= LIST_SERVERS_MAX {
                break;
            }
        }
        found.remove(self.shared.client.server());
        Ok(found)
    }

    async fn servers_in(
        &mut self,
        room: &RoomId,
    ) -> Result<&BTreeSet<OwnedServerName>, RouteError> {
        if !self.servers.contains_key(room) {
            let servers = servers_in(self.snapshot, room).await?;
            self.servers.insert(room.to_owned(), servers);
        }
        let room = room.to_owned();
        Ok(self.servers.entry(room).or_default())
    }
}

/// Whether policy lets that server know of devices.
fn may_tell(shared: &Shared, server: &ServerName) -> bool {
    shared.client.permit(server, Purpose::Keys).is_ok()
}

/// Who came into the room, if the event says that somebody did.
fn joiner(event: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "type")]
        kind: String,
        state_key: Option<String>,
        content: Value,
    }
    let event: Event = serde_json::from_str(event).ok()?;
    let joins = event.kind == MEMBER && event.content["membership"] == "join";
    event.state_key.filter(|_| joins)
}

/// What waits for a server, as EDUs, oldest change first; at most `limit`.
pub(crate) async fn waiting(
    snapshot: &dyn Snapshot,
    server: &ServerName,
    limit: usize,
) -> Result<Vec<(DeviceDue, String)>, ReadError> {
    let mut due = devices_due(snapshot, server, limit).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    due.sort_by_key(|due| due.row.stream_id);
    let users = due.iter().map(|due| (due.user.clone(), Vec::new()));
    let wanted: WantedDevices = users.collect();
    let keys = keys_for_servers(snapshot, &wanted).await?;
    let edus = due.into_iter().map(|due| {
        let edu = edu(&due, &keys);
        (due, edu)
    });
    Ok(edus.collect())
}

/// The EDU, whole. A device that is gone, or has no keys any more, is told as deleted.
fn edu(due: &DeviceDue, keys: &QueriedKeys) -> String {
    let parsed = |json: &String| serde_json::from_str::<Value>(json).ok();
    let Some(device) = &due.device else {
        let mut content = json!({"user_id": due.user});
        let master = keys.master_keys.get(&due.user).and_then(parsed);
        let own = keys.self_signing_keys.get(&due.user).and_then(parsed);
        let found = [("master_key", master), ("self_signing_key", own)];
        for (name, key) in found {
            if let Some(key) = key {
                content[name] = key;
            }
        }
        return json!({"edu_type": "m.signing_key_update", "content": content}).to_string();
    };
    let previous: Vec<u64> = Some(due.row.prev_id)
        .into_iter()
        .filter(|id| *id > 0)
        .collect();
    let mut content = json!({
        "user_id": due.user,
        "device_id": device,
        "stream_id": due.row.stream_id,
        "prev_id": previous,
    });
    let devices = keys.device_keys.get(&due.user);
    match devices
        .and_then(|devices| devices.get(device))
        .and_then(parsed)
    {
        Some(keys) => content["keys"] = keys,
        None => content["deleted"] = Value::Bool(true),
    }
    json!({"edu_type": "m.device_list_update", "content": content}).to_string()
}

#[cfg(test)]
mod tests {
    use ruma_common::user_id;

    use super::*;

    fn row(stream_id: u64, prev_id: u64) -> DeviceDueRow {
        DeviceDueRow { stream_id, prev_id }
    }

    #[test]
    fn a_note_stands_for_all_changes_that_were_not_told() {
        assert_eq!(onto(None, row(5, 4)), Some(row(5, 4)));
        assert_eq!(onto(Some(row(5, 4)), row(7, 6)), Some(row(7, 4)));
        assert_eq!(onto(Some(row(7, 4)), row(7, 6)), None, "found again");
        assert_eq!(onto(Some(row(7, 6)), row(7, 0)), Some(row(7, 0)));
    }

    #[test]
    fn a_device_is_told_as_it_is_now() {
        let alice = user_id!("@a:hs1").to_owned();
        let due = |device: Option<&str>| DeviceDue {
            user: alice.clone(),
            device: device.map(str::to_owned),
            row: row(2, 1),
        };
        let mut keys = QueriedKeys::default();
        let devices = BTreeMap::from([("D".to_owned(), r#"{"device_id":"D"}"#.to_owned())]);
        keys.device_keys.insert(alice.clone(), devices);
        keys.master_keys
            .insert(alice.clone(), r#"{"m":1}"#.to_owned());
        let read = |due: &DeviceDue| -> Value { serde_json::from_str(&edu(due, &keys)).unwrap() };
        let there = read(&due(Some("D")));
        assert_eq!(there["edu_type"], "m.device_list_update");
        assert_eq!(there["content"]["keys"]["device_id"], "D");
        assert_eq!(there["content"]["prev_id"], json!([1]));
        let gone = read(&due(Some("E")));
        assert_eq!(gone["content"]["deleted"], true);
        assert!(gone["content"].get("keys").is_none());
        let signing = read(&due(None));
        assert_eq!(signing["edu_type"], "m.signing_key_update");
        let wanted = json!({"user_id": "@a:hs1", "master_key": {"m": 1}});
        assert_eq!(signing["content"], wanted);
    }
}
