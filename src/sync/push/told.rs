//! What a gateway is told: of an event, or of the badge alone.
//!
//! It exists so that what leaves the server is decided in one place: with `event_id_only` nothing but
//! identifiers. It knows nothing of when it is told.

use std::collections::BTreeMap;

use belfry_data::{
    STAMP_LAST, Snapshot, Stamp,
    note::{NoteRef, NoteRow, notes_at, notes_before},
    pusher::{PusherKey, PusherRow},
};
use ruma_common::{EventId, OwnedRoomId, UserId};
use serde_json::{Map, Value, json};

use super::PUSH_AGE_MAX;
use crate::{
    error::Fault,
    event::RoomEvent,
    foreign::Stay,
    room_view::RoomView,
    sight::{NAMES_IN_PUSHES, member_tuple, plain_tuple},
    unread::ReadUpTo,
    views::Shared,
};

/// Notes of one user, the newest, that a badge counts; it says no more.
pub const BADGE_NOTES_MAX: usize = 1_000;

/// The member of a pusher that leaves counting to the client (MSC4076), and its future name.
const NO_BADGE: [&str; 2] = [
    "org.matrix.msc4076.disable_badge_count",
    "disable_badge_count",
];

/// A pusher, read.
pub(super) struct Target<'a> {
    user: &'a UserId,
    key: &'a PusherKey,
    row: &'a PusherRow,
    pusher: Value,
}

/// What a user has unread in all rooms.
pub(super) async fn badge(snapshot: &dyn Snapshot, user: &UserId) -> Result<u64, Fault> {
    let found = notes_before(snapshot, user, STAMP_LAST, BADGE_NOTES_MAX).await?;
    let places = found.into_iter().filter_map(|(at, note)| {
        let room = OwnedRoomId::try_from(&*note.room).ok()?;
        Some((room, at))
    });
    let places: Vec<_> = places.collect();
    let notes = notes_at(snapshot, user, &places).await?;
    let mut read: BTreeMap<&OwnedRoomId, ReadUpTo> = BTreeMap::new();
    let mut unread = 0;
    for ((room, at), note) in places.iter().zip(notes) {
        let Some(note) = note else { continue };
        if !read.contains_key(room) {
            read.insert(room, ReadUpTo::of(snapshot, room, user).await?);
        }
        let covered = read.get(room).is_some_and(|read| read.covers(*at, &note));
        unread += u64::from(!covered);
    }
    Ok(unread)
}

impl<'a> Target<'a> {
    pub(super) fn new(user: &'a UserId, key: &'a PusherKey, row: &'a PusherRow) -> Self {
        Self {
            user,
            key,
            row,
            pusher: serde_json::from_str(&row.json).unwrap_or_default(),
        }
    }

    /// Where the gateway is.
    pub(super) fn url(&self) -> &str {
        self.pusher["data"]["url"].as_str().unwrap_or_default()
    }

    fn counts(&self) -> bool {
        let on = |name: &&str| {
            self.pusher[*name] == Value::Bool(true)
                || self.pusher["data"][*name] == Value::Bool(true)
        };
        !NO_BADGE.iter().any(on)
    }

    /// Nothing but the badge; `None` if the client counts for itself. A zero is told here, since
    /// gateways leave a badge as it is that they are told nothing of.
    pub(super) fn badge_alone(&self, unread: u64) -> Option<String> {
        let told = json!({
            "counts": {"unread": unread},
            "devices": [self.device(&Map::new())],
        });
        self.counts()
            .then(|| json!({ "notification": told }).to_string())
    }

    /// What the gateway is told of an event; `None` if that is too late, or the event was read or
    /// is gone.
    pub(super) async fn push(
        &self,
        shared: &Shared,
        snapshot: &dyn Snapshot,
        (at, note): (Stamp, &NoteRef),
        unread: u64,
    ) -> Result<Option<String>, Fault> {
        let Ok(room) = OwnedRoomId::try_from(&*note.room) else {
            return Ok(None);
        };
        let place = [(room.clone(), at)];
        let Some(note) = notes_at(snapshot, self.user, &place).await?.pop().flatten() else {
            return Ok(None);
        };
        let age_ms = shared.now_ms().saturating_sub(note.ts);
        let late = u128::from(age_ms) > PUSH_AGE_MAX.as_millis();
        let read = ReadUpTo::of(snapshot, &room, self.user).await?;
        if late || read.covers(at, &note) {
            return Ok(None);
        }
        if let Some(stay) = Stay::noted(snapshot, self.user, &room, &note).await? {
            let mut told = self.begin(stay.own().event_id(), &room, (&note, unread), false);
            if self.is_full() {
                stay.describe(&mut told);
            }
            return Ok(Some(json!({ "notification": told }).to_string()));
        }
        let told = match RoomView::now(snapshot, &room).await {
            Ok(Some(mut view)) => self.tell(&mut view, &room, &note, unread).await,
            Ok(None) => Ok(None),
            Err(fault) => Err(fault),
        };
        match told {
            Err(fault) if fault.is_of_room() => Ok(None),
            told => Ok(told?.map(|told| json!({ "notification": told }).to_string())),
        }
    }

    async fn tell(
        &self,
        view: &mut RoomView<'_>,
        room: &OwnedRoomId,
        note: &NoteRow,
        unread: u64,
    ) -> Result<Option<Value>, Fault> {
        let Some(event) = view.events(&[note.event]).await?.pop() else {
            return Ok(None);
        };
        let encrypted = event.pdu.event_type().to_string() == "m.room.encrypted";
        let mut told = self.begin(event.pdu.event_id(), room, (note, unread), encrypted);
        if self.is_full() {
            self.describe(view, &event, &mut told).await?;
        }
        Ok(Some(Value::Object(told)))
    }

    fn is_full(&self) -> bool {
        self.pusher["data"]["format"] != "event_id_only"
    }

    /// What every push of an event says.
    fn begin(
        &self,
        event: &EventId,
        room: &OwnedRoomId,
        (note, unread): (&NoteRow, u64),
        encrypted: bool,
    ) -> Map<String, Value> {
        let tweaks = tweaks(note);
        let mut told = Map::new();
        told.insert("event_id".into(), json!(event));
        told.insert("room_id".into(), json!(room));
        told.insert("prio".into(), json!(priority(encrypted, note, &tweaks)));
        if self.counts() && unread > 0 {
            told.insert("counts".into(), json!({ "unread": unread }));
        }
        told.insert("devices".into(), json!([self.device(&tweaks)]));
        told
    }

    /// What the notification may show without asking the server.
    async fn describe(
        &self,
        view: &mut RoomView<'_>,
        event: &RoomEvent,
        told: &mut Map<String, Value>,
    ) -> Result<(), Fault> {
        let sender = event.pdu.sender();
        let content: Value = serde_json::from_str(event.pdu.content_json()).unwrap_or_default();
        told.insert("content".into(), content);
        told.insert("sender".into(), json!(sender));
        told.insert("type".into(), json!(event.pdu.event_type().to_string()));
        let is_target = event.pdu.state_key() == Some(self.user.as_str());
        told.insert("user_is_target".into(), json!(is_target));
        let mut tuples = Vec::new();
        for (name, kind, member) in NAMES_IN_PUSHES {
            let tuple = match kind {
                "m.room.member" => member_tuple(sender)?,
                kind => plain_tuple(kind)?,
            };
            tuples.push((name, member, tuple));
        }
        let asked = tuples.iter().map(|(_, _, tuple)| tuple.clone());
        let found = view.pick(view.state, asked).await?;
        for (name, member, tuple) in tuples {
            let hash: Vec<_> = found.get(&tuple).copied().into_iter().collect();
            let Some(event) = view.events(&hash).await?.pop() else {
                continue;
            };
            let content: Value = serde_json::from_str(event.pdu.content_json()).unwrap_or_default();
            if let Some(text) = content[member].as_str().filter(|text| !text.is_empty()) {
                told.insert(name.to_owned(), json!(text));
            }
        }
        Ok(())
    }

    fn device(&self, tweaks: &Map<String, Value>) -> Value {
        let mut data = self.pusher["data"].clone();
        if let Some(data) = data.as_object_mut() {
            data.remove("url");
        }
        json!({
            "app_id": self.key.app_id,
            "pushkey": self.key.pushkey,
            "pushkey_ts": self.row.set_ts / 1_000,
            "data": data,
            "tweaks": tweaks,
        })
    }
}

/// What the rule that matched says of sound and highlight.
fn tweaks(note: &NoteRow) -> Map<String, Value> {
    let actions: Value = serde_json::from_str(&note.actions).unwrap_or_default();
    let mut tweaks = Map::new();
    for action in actions.as_array().into_iter().flatten() {
        if let Some(name) = action["set_tweak"].as_str() {
            let value = action.get("value").cloned().unwrap_or(json!(true));
            tweaks.insert(name.to_owned(), value);
        }
    }
    tweaks
}

/// What is to be heard or to stand out may wake a telephone, and what only the client can judge.
fn priority(encrypted: bool, note: &NoteRow, tweaks: &Map<String, Value>) -> &'static str {
    if note.highlight || encrypted || tweaks.contains_key("sound") {
        "high"
    } else {
        "low"
    }
}
