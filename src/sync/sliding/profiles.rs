//! Whose profiles changed, and those of whoever a room shows for the first time (MSC4262): an
//! extension of sliding sync.
//!
//! It exists so that fields which no member event holds reach clients. The profiles of this server's
//! users only: others are not told to us. A client that lost an answer is told again, as changes are
//! read from where it has everything. It knows nothing of who may set what.

use std::collections::{BTreeMap, BTreeSet};

use belfry_data::{
    Membership, RoomReader, Snapshot, Stamp,
    account::{ProfileRow, profile_changes, profiles},
};
use ruma_common::{OwnedUserId, RoomId, UserId};

use super::{Slide, list::Windows, request::ProfilesRequest, response::SlidingResponse};
use crate::{encryption::sharing, error::Fault, json::Object, plan, sections::write_strings};

/// Profiles that one answer tells in full, of users in rooms that are new to the client.
pub const PROFILES_MAX: usize = 1_000;
/// Bytes of fields that one answer tells in full; what is beyond is left to `GET /profile`.
pub const PROFILES_BYTES_MAX: usize = 1024 * 1024;

/// Users whose profiles are read at once.
const PAGE: usize = 500;

/// What is told of profiles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profiles {
    /// `None`: there is no room with them any more.
    users: BTreeMap<OwnedUserId, Option<ProfileNews>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ProfileNews {
    /// Field and JSON value.
    updated: BTreeMap<Box<str>, Box<str>>,
    removed: BTreeSet<Box<str>>,
}

/// Which fields changed, of whom; `None` if too many did to say whose.
pub(super) type Changes = Option<BTreeMap<OwnedUserId, BTreeSet<Box<str>>>>;

impl Profiles {
    /// Its name among the extensions.
    pub(crate) const NAME: &'static str = "org.matrix.msc4262.profiles";

    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// As an extension.
    pub(crate) fn write(&self, out: &mut String) {
        let mut answer = Object::new(out);
        let mut users = Object::new(answer.member("users"));
        for (user, news) in &self.users {
            match news {
                Some(news) => news.write(users.member(user.as_str())),
                None => users.plain(user.as_str(), "null"),
            }
        }
        users.end();
        answer.end();
    }
}

impl ProfileNews {
    /// These fields of the profile; those that are not there were removed.
    fn of(row: Option<&ProfileRow>, fields: &BTreeSet<Box<str>>) -> Self {
        let mut news = Self::default();
        for field in fields {
            let mut held = row.into_iter().flat_map(|row| &row.fields);
            match held.find(|(name, _)| name == field) {
                Some((_, json)) => drop(news.updated.insert(field.clone(), json.clone())),
                None => drop(news.removed.insert(field.clone())),
            }
        }
        news
    }

    fn bytes(&self) -> usize {
        let fields = self.updated.iter();
        fields.map(|(name, json)| name.len() + json.len()).sum()
    }

    fn write(&self, out: &mut String) {
        let mut news = Object::new(out);
        if !self.updated.is_empty() {
            let mut updated = Object::new(news.member("updated"));
            for (field, json) in &self.updated {
                updated.plain(field, json);
            }
            updated.end();
        }
        if !self.removed.is_empty() {
            let removed = self.removed.iter().map(|field| &**field);
            write_strings(removed, news.member("removed"));
        }
        news.end();
    }
}

impl ProfilesRequest {
    fn wants(&self, field: &str) -> bool {
        let fields = self.fields.as_ref();
        fields.is_none_or(|fields| fields.iter().any(|one| one == field))
    }
}

impl Slide<'_> {
    /// Which profiles changed behind `since`, of whoever they are; nothing if nobody asks.
    pub(super) async fn profile_changes(
        &self,
        snapshot: &dyn Snapshot,
        since: Option<Stamp>,
    ) -> Result<Changes, Fault> {
        let mut changed = BTreeMap::new();
        let (Some(wanted), Some(since)) = (&self.request.extensions.profiles, since) else {
            return Ok(Some(changed));
        };
        let Some(rows) = profile_changes(snapshot, since, self.until).await? else {
            return Ok(None);
        };
        for row in rows {
            let fields = row.fields.into_iter().filter(|field| wanted.wants(field));
            let fields: Vec<_> = fields.collect();
            let user = OwnedUserId::try_from(&*row.user);
            if let Some(user) = user.ok().filter(|_| !fields.is_empty()) {
                let known: &mut BTreeSet<_> = changed.entry(user).or_default();
                known.extend(fields);
            }
        }
        Ok(Some(changed))
    }

    /// What is told of profiles in this answer, whose rooms and device lists are told already.
    pub(super) async fn profiles(
        &self,
        snapshot: &dyn Snapshot,
        wanted: &ProfilesRequest,
        (since, changes): (Option<Stamp>, Changes),
        (windows, response): (&Windows, &SlidingResponse),
    ) -> Result<Profiles, Fault> {
        let reader = &*self.request.user_id;
        let mut told = Profiles::default();
        let anew = since.is_some() && (changes.is_none() || self.connection.wants_other_profiles());
        let whole = self.shown(snapshot, wanted, (windows, response), anew);
        let whole = whole.await?;
        let mut changes = changes.unwrap_or_default();
        changes.retain(|user, _| !whole.contains(user));
        let own = changes.remove(reader);
        let sharing = self.sharing(snapshot, &changes).await?;
        changes.retain(|user, _| sharing.contains(user));
        changes.extend(own.map(|fields| (reader.to_owned(), fields)));
        told.add_changed(snapshot, &changes).await?;
        told.add_whole(snapshot, wanted, whole).await?;
        if let Some(since) = since {
            let left = if let Some(sections) = &response.extensions.e2ee {
                sections.device_lists.left.clone()
            } else {
                let lists = self
                    .shared
                    .device_lists(snapshot, reader, since, self.until);
                lists.await?.left
            };
            let host = reader.server_name();
            let left = left.into_iter().filter(|user| user.server_name() == host);
            told.users.extend(left.map(|user| (user, None)));
        }
        Ok(told)
    }

    /// Those of them who share a room with the reader.
    async fn sharing(
        &self,
        snapshot: &dyn Snapshot,
        changes: &BTreeMap<OwnedUserId, BTreeSet<Box<str>>>,
    ) -> Result<BTreeSet<OwnedUserId>, Fault> {
        if changes.is_empty() {
            return Ok(BTreeSet::new());
        }
        let rooms = plan::all(snapshot, &self.request.user_id).await?;
        let joined = rooms
            .iter()
            .filter(|room| room.row.membership == Membership::Join);
        let joined: Vec<&RoomId> = joined.map(|room| &*room.room_id).collect();
        sharing(snapshot, changes.keys(), &joined).await
    }

    /// Whose profiles are told in full: of whoever a room shows to the client for the first time, and
    /// of all in its rooms if it asks for other fields than before (`anew`).
    async fn shown(
        &self,
        snapshot: &dyn Snapshot,
        wanted: &ProfilesRequest,
        (windows, response): (&Windows, &SlidingResponse),
        anew: bool,
    ) -> Result<BTreeSet<OwnedUserId>, Fault> {
        let mut shown = BTreeSet::new();
        for (room, row) in &windows.wanted {
            let joined = row.row.membership == Membership::Join;
            if !joined || !wanted.scope.holds(room, row) || shown.len() >= PROFILES_MAX {
                continue;
            }
            let told = response.rooms.get(room);
            let lazy = row.details.state.iter().any(|set| set.lazy_members);
            if anew || (!lazy && told.is_some_and(|told| told.initial)) {
                shown.extend(members(snapshot, room).await?);
            }
            shown.extend(told.into_iter().flat_map(|told| told.shown.iter().cloned()));
        }
        Ok(shown.into_iter().take(PROFILES_MAX).collect())
    }
}

impl Profiles {
    async fn add_changed(
        &mut self,
        snapshot: &dyn Snapshot,
        changes: &BTreeMap<OwnedUserId, BTreeSet<Box<str>>>,
    ) -> Result<(), Fault> {
        let users: Vec<&UserId> = changes.keys().map(|user| &**user).collect();
        for chunk in users.chunks(PAGE) {
            for (user, row) in chunk.iter().zip(profiles(snapshot, chunk).await?) {
                let Some(fields) = changes.get(*user) else {
                    continue;
                };
                let news = ProfileNews::of(row.as_ref(), fields);
                self.users.insert((*user).to_owned(), Some(news));
            }
        }
        Ok(())
    }

    async fn add_whole(
        &mut self,
        snapshot: &dyn Snapshot,
        wanted: &ProfilesRequest,
        users: BTreeSet<OwnedUserId>,
    ) -> Result<(), Fault> {
        let users: Vec<&UserId> = users.iter().map(|user| &**user).collect();
        let mut bytes = 0;
        for chunk in users.chunks(PAGE) {
            for (user, row) in chunk.iter().zip(profiles(snapshot, chunk).await?) {
                let Some(row) = row else { continue };
                let fields = row.fields.iter().map(|(field, _)| field.clone());
                let fields = fields.filter(|field| wanted.wants(field)).collect();
                let news = ProfileNews::of(Some(&row), &fields);
                bytes += news.bytes();
                if bytes > PROFILES_BYTES_MAX {
                    return Ok(());
                }
                if !fields.is_empty() {
                    self.users.insert((*user).to_owned(), Some(news));
                }
            }
        }
        Ok(())
    }
}

/// Users of this server who are in the room.
async fn members(snapshot: &dyn Snapshot, room: &RoomId) -> Result<Vec<OwnedUserId>, Fault> {
    let reader = RoomReader::new(snapshot, room);
    let members = reader.local_members(None, PROFILES_MAX).await?.into_iter();
    let joined = members.filter(|(_, membership)| *membership == Membership::Join);
    Ok(joined.map(|(user, _)| user).collect())
}
