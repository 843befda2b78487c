//! What a device is told besides rooms: messages to it, whose devices to look at anew, how many
//! keys it has left.
//!
//! It exists so that both kinds of sync and `/keys/changes` tell the same. It knows nothing of what
//! messages or keys say.

use std::collections::BTreeSet;

use belfry_data::{
    Membership, RoomReader, Snapshot, Stamp, UserRoom, UserRoomRow,
    keys::{
        DEVICE_LIST_PAGE_MAX, InboxMessage, MemberChanges, device_list_changes, fallback_keys,
        member_changes, messages_for, one_time_key_counts,
    },
    tails, user_in_rooms,
};
use ruma_common::{DeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::{
    error::{Fault, ViewError},
    json::{EventList, Object},
    plan,
    room_view::behind,
    sections::{Asker, DeviceLists, Sections},
    views::{Shared, Views},
};

/// Messages to a device in one answer; the rest comes with the next.
pub const TO_DEVICE_MESSAGES_MAX: usize = 100;
/// Bytes of their contents, if there is more than one.
pub const TO_DEVICE_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Entries of the log of device lists that are read; if there are more, or some are gone, all who
/// share a room with the reader are told, and the reader.
pub const DEVICE_LIST_ENTRIES_MAX: usize = 5_000;
/// Users of whom it is looked up whether they share a room with the reader; if there are more, they
/// are told as changed without a look, and nobody as left.
pub const DEVICE_LIST_LOOKS_MAX: usize = 2_000;
/// Members of one room that are told as changed.
pub const CO_MEMBERS_MAX: usize = 20_000;

/// Rooms whose rows are read at once.
const ROOMS_PAGE: usize = 500;
/// Members read at once.
const MEMBERS_PAGE: usize = 2_000;
/// Told even if there are none: clients take its absence for keys that nobody counts.
const SIGNED: &str = "signed_curve25519";

impl Views {
    /// Whose device lists changed for the user between two tokens of `/sync` (Client-Server API,
    /// `GET /keys/changes`).
    ///
    /// # Errors
    /// [`ViewError::Token`], [`ViewError::Fault`].
    pub async fn device_list_changes(
        &self,
        user: &UserId,
        from: &str,
        to: &str,
    ) -> Result<DeviceLists, ViewError> {
        let shared = &*self.0;
        let (from, to) = (shared.tokens.since(from)?, shared.tokens.since(to)?);
        let snapshot = shared.snapshot().await?;
        let until = to.min(behind(&*snapshot));
        Ok(shared.device_lists(&*snapshot, user, from, until).await?)
    }

    /// Up to where a `since` says that the device has got its messages: those may be forgotten.
    ///
    /// # Errors
    /// [`ViewError::Token`].
    pub fn place_of(&self, token: &str) -> Result<Stamp, ViewError> {
        Ok(self.0.tokens.to_device(token)?)
    }

    /// Whether no messages are kept for the device, as far as is known; see
    /// [`Self::note_no_messages`].
    pub fn has_no_messages(&self, user: &UserId, device: &DeviceId) -> bool {
        self.0.notifier.has_no_messages(user, device)
    }

    /// No messages up to `at` are kept for the device: remembered until something else than an event
    /// concerns its user.
    pub fn note_no_messages(&self, user: &UserId, device: &DeviceId, at: Stamp) {
        self.0.notifier.note_no_messages(user, device, at);
    }

    /// The token of a place among messages to a device.
    pub fn token_of(&self, at: Stamp) -> String {
        self.0.tokens.sync(at)
    }
}

impl Shared {
    /// Adds what concerns the device to the sections.
    pub(crate) async fn add_encryption(
        &self,
        snapshot: &dyn Snapshot,
        asker: Asker<'_>,
        sections: &mut Sections,
    ) -> Result<(), Fault> {
        if let Some(since) = asker.since {
            let lists = self.device_lists(snapshot, asker.user, since, asker.until);
            sections.device_lists = lists.await?;
        }
        let Some(device) = asker.device else {
            return Ok(());
        };
        let (messages, until) = if asker.no_messages {
            (EventList::default(), asker.until)
        } else {
            self.to_device(snapshot, asker, device).await?
        };
        sections.to_device = messages;
        sections.to_device_until = Some(until);
        let user = asker.user;
        let mut counts = one_time_key_counts(snapshot, user, device.as_str()).await?;
        counts.entry(SIGNED.to_owned()).or_default();
        sections.one_time_keys = Some(counts);
        let fallback = fallback_keys(snapshot, user, device.as_str()).await?;
        let unused = fallback.into_iter().filter(|(_, key)| !key.used);
        sections.fallback_keys = Some(unused.map(|(algorithm, _)| algorithm).collect());
        Ok(())
    }

    /// The oldest messages that the device has not got, and up to where they go.
    async fn to_device(
        &self,
        snapshot: &dyn Snapshot,
        asker: Asker<'_>,
        device: &DeviceId,
    ) -> Result<(EventList, Stamp), Fault> {
        let after = asker.to_device.unwrap_or_default();
        let inbox = (asker.user, device.as_str());
        let limit = TO_DEVICE_MESSAGES_MAX;
        let page = messages_for(snapshot, inbox, after, asker.until, limit).await?;
        let reached = page.last().filter(|_| page.more);
        let mut events = EventList::default();
        let (mut bytes, mut last) = (0, after);
        for message in page.messages(self.env.clock.age_ms()) {
            bytes += message.content.len();
            if bytes > TO_DEVICE_ANSWER_BYTES_MAX && !events.is_empty() {
                return Ok((events, last));
            }
            last = message.stamp;
            events.push(|out| write_message(&message, out));
        }
        Ok((events, reached.unwrap_or(asker.until)))
    }

    /// Whose devices are to be looked at anew, and with whom no room is shared any more.
    pub(crate) async fn device_lists(
        &self,
        snapshot: &dyn Snapshot,
        user: &UserId,
        since: Stamp,
        until: Stamp,
    ) -> Result<DeviceLists, Fault> {
        if since >= until {
            return Ok(DeviceLists::default());
        }
        let mut suspects = Suspects::default();
        suspects.read_log(snapshot, user, since, until).await?;
        let touched = self.notifier.changed(user, since);
        if suspects.is_empty() && touched.as_ref().is_some_and(BTreeSet::is_empty) {
            return Ok(DeviceLists::default());
        }
        let (touched, rooms) = if let Some(touched) = touched {
            (touched.into_iter().collect(), None)
        } else {
            let rooms = plan::all(snapshot, user).await?;
            (changed_rooms(snapshot, &rooms, since).await?, Some(rooms))
        };
        for chunk in touched.chunks(ROOMS_PAGE) {
            suspects
                .read_members(snapshot, user, chunk, (since, until))
                .await?;
        }
        if suspects.is_empty() {
            return Ok(DeviceLists::default());
        }
        // Only now: who has nobody to look up pays nothing for rooms in which nothing happened.
        let rooms = match rooms {
            Some(rooms) => rooms,
            None => plan::all(snapshot, user).await?,
        };
        let joined: BTreeSet<&RoomId> = rooms
            .iter()
            .filter(|room| room.row.membership == Membership::Join)
            .map(|room| &*room.room_id)
            .collect();
        if suspects.everybody {
            for room in &joined {
                suspects.sure.extend(members(snapshot, room).await?);
            }
        }
        suspects.judge(snapshot, user, &joined).await
    }
}

/// Users of whom something changed.
#[derive(Default)]
struct Suspects {
    /// They share a room with the reader, who has not seen their devices as they are.
    sure: BTreeSet<OwnedUserId>,
    /// They came or went where the reader is or was: to be looked up.
    open: BTreeSet<OwnedUserId>,
    /// Their devices changed: to be looked up. Who never shared a room is not told as left.
    changed: BTreeSet<OwnedUserId>,
    /// Too many changed to say who.
    everybody: bool,
}

impl Suspects {
    fn is_empty(&self) -> bool {
        self.sure.is_empty() && self.open.is_empty() && self.changed.is_empty() && !self.everybody
    }

    async fn read_log(
        &mut self,
        snapshot: &dyn Snapshot,
        reader: &UserId,
        mut after: Stamp,
        until: Stamp,
    ) -> Result<(), Fault> {
        let mut entries = 0;
        loop {
            let page = device_list_changes(snapshot, after, until, DEVICE_LIST_PAGE_MAX).await?;
            entries += page.changes.len();
            if page.many {
                // The token is older than what is kept of the log.
                self.everybody = true;
                return Ok(());
            }
            for (stamp, row) in page.changes {
                after = stamp;
                let concerns = row.only.is_none_or(|only| *only == *reader.as_str());
                let user = OwnedUserId::try_from(&*row.user).ok();
                self.changed.extend(user.filter(|_| concerns));
            }
            if !page.more {
                return Ok(());
            }
            if entries >= DEVICE_LIST_ENTRIES_MAX {
                self.everybody = true;
                return Ok(());
            }
        }
    }

    /// Those who came or went in these rooms; all of a room that the reader came to or left.
    async fn read_members(
        &mut self,
        snapshot: &dyn Snapshot,
        reader: &UserId,
        rooms: &[OwnedRoomId],
        (since, until): (Stamp, Stamp),
    ) -> Result<(), Fault> {
        let names: Vec<_> = rooms.iter().map(|room| &**room).collect();
        let found = member_changes(snapshot, &names, since, until).await?;
        if found.iter().all(MemberChanges::is_empty) {
            return Ok(());
        }
        let own_rows = user_in_rooms(snapshot, reader, &names).await?;
        let is_in =
            |row: Option<UserRoomRow>| row.is_some_and(|row| row.membership == Membership::Join);
        let joined = own_rows.into_iter().map(is_in);
        for ((room, changes), joined) in names.into_iter().zip(found).zip(joined) {
            let own = changes.users.iter().any(|user| user == reader);
            if own || changes.many {
                let members = members(snapshot, room).await?;
                if joined {
                    self.sure.extend(members);
                } else {
                    let others = members.into_iter().filter(|user| user != reader);
                    self.open.extend(others);
                }
            }
            if joined || own {
                let others = changes.users.into_iter().filter(|user| user != reader);
                self.open.extend(others);
            }
        }
        Ok(())
    }

    /// Looks up who shares a room with the reader.
    async fn judge(
        mut self,
        snapshot: &dyn Snapshot,
        reader: &UserId,
        joined: &BTreeSet<&RoomId>,
    ) -> Result<DeviceLists, Fault> {
        // Of oneself, too, more may have happened than was read.
        let own = self.open.remove(reader) | self.changed.remove(reader) || self.everybody;
        let asked = self.open.union(&self.changed);
        let asked: Vec<_> = asked
            .filter(|user| !self.sure.contains(*user))
            .cloned()
            .collect();
        let mut lists = DeviceLists::default();
        let rooms: Vec<_> = joined.iter().copied().collect();
        let sharing = sharing(snapshot, asked.iter(), &rooms).await?;
        let left = asked.into_iter().filter(|user| !sharing.contains(user));
        lists.left = left.filter(|user| self.open.contains(user)).collect();
        self.sure.extend(sharing);
        self.sure.remove(reader);
        if own {
            self.sure.insert(reader.to_owned());
        }
        lists.changed = self.sure.into_iter().collect();
        Ok(lists)
    }
}

/// Those of the users who are in one of these rooms; beyond [`DEVICE_LIST_LOOKS_MAX`], all of them.
pub(crate) async fn sharing(
    snapshot: &dyn Snapshot,
    users: impl Iterator<Item = &OwnedUserId>,
    rooms: &[&RoomId],
) -> Result<BTreeSet<OwnedUserId>, Fault> {
    let mut sharing = BTreeSet::new();
    for (looks, user) in users.enumerate() {
        if looks >= DEVICE_LIST_LOOKS_MAX || shares(snapshot, user, rooms).await? {
            sharing.insert(user.clone());
        }
    }
    Ok(sharing)
}

/// Whether the user is in one of these rooms.
async fn shares(snapshot: &dyn Snapshot, user: &UserId, rooms: &[&RoomId]) -> Result<bool, Fault> {
    for chunk in rooms.chunks(ROOMS_PAGE) {
        let found = user_in_rooms(snapshot, user, chunk).await?;
        let mut found = found.into_iter().flatten();
        if found.any(|row| row.membership == Membership::Join) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The rooms among these in which something happened behind `since`.
async fn changed_rooms(
    snapshot: &dyn Snapshot,
    rooms: &[UserRoom],
    since: Stamp,
) -> Result<Vec<OwnedRoomId>, Fault> {
    let mut changed = Vec::new();
    for chunk in rooms.chunks(ROOMS_PAGE) {
        let names: Vec<_> = chunk.iter().map(|room| &*room.room_id).collect();
        let tails = tails(snapshot, &names).await?;
        let news = chunk
            .iter()
            .zip(tails)
            .filter(|(room, tail)| room.stamp > since || tail.is_some_and(|tail| tail > since));
        changed.extend(news.map(|(room, _)| room.room_id.clone()));
    }
    Ok(changed)
}

/// Who is in a room, at most [`CO_MEMBERS_MAX`].
async fn members(snapshot: &dyn Snapshot, room: &RoomId) -> Result<BTreeSet<OwnedUserId>, Fault> {
    let reader = RoomReader::new(snapshot, room);
    let mut members = BTreeSet::new();
    let Some(head) = reader.head().await? else {
        return Ok(members);
    };
    let current = reader.current(&head);
    let mut from = None;
    while members.len() < CO_MEMBERS_MAX {
        let page = current.members(from, MEMBERS_PAGE).await?;
        let joined = page.members.into_iter();
        let joined = joined.filter(|member| member.membership == Membership::Join);
        members.extend(joined.map(|member| member.user_id));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    Ok(members)
}

fn write_message(message: &InboxMessage, out: &mut String) {
    let mut object = Object::new(out);
    object.string("sender", &message.sender);
    object.string("type", &message.event_type);
    object.member("content").push_str(&message.content);
    object.end();
}
