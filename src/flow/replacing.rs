//! Replacing a room by one of another version (Client-Server API, "Room upgrades").
//!
//! It exists as a flow because a room, its successor, the directory and the spaces around them are
//! many aggregates. The commit that creates the successor begins it; from then on the old room gets
//! its tombstone whatever happens. It knows nothing of what the successor starts with; `room` does.

use belfry_data::{FlowAct, flow};
use belfry_policy::{Account, Rules};
use belfry_room::{
    Change, MemberAct, Membership, Replacement, RoomError, Rooms, SETTINGS_PAGE_MAX, Setting,
};
use futures_util::future::join_all;
use ruma_common::{OwnedRoomId, RoomId, UserId};
use serde_json::{Map, Value, json};

use crate::runner::{Flows, Inner};
use crate::step::{Halt, Next};

const TOMBSTONE: u32 = 0;
const QUIET: u32 = 1;
const LISTING: u32 = 2;
const BANS: u32 = 3;
const CHILDREN: u32 = 4;
const PARENTS: u32 = 5;
const SETTINGS: u32 = 6;

/// The level from which on somebody may still speak in a room that was replaced, at least.
const QUIET_LEVEL_MIN: i64 = 50;

impl Flows {
    /// Replaces a room, for somebody who may. Answers when the old room has its tombstone; what else
    /// points at it is moved in the background. Asked again, the answer is the same room.
    ///
    /// # Errors
    /// See [`Rooms::successor`] and [`Rooms::create_as`].
    pub async fn replace_room(
        &self,
        rules: &Rules,
        account: Account<'_>,
        wish: Replacement,
    ) -> Result<OwnedRoomId, RoomError> {
        let request = self.0.rooms.successor(&wish).await?;
        if let Some(done) = self.0.replaced_already(&wish).await? {
            self.resume();
            return Ok(done);
        }
        let new = self.0.rooms.create_as(rules, account, request).await?;
        // The flow does it if this fails; clients that were answered look for it at once.
        let sent = self.0.bury(&wish.old, &new, &wish.by).await;
        if let Err(halt) = sent {
            tracing::info!(%halt, "the tombstone of a room that was replaced comes later");
        }
        self.resume();
        Ok(new)
    }
}

impl Inner {
    pub(crate) async fn replace(
        &self,
        old: &RoomId,
        new: &RoomId,
        by: &UserId,
        (stage, cursor): (u32, &str),
    ) -> Result<Next, Halt> {
        match stage {
            TOMBSTONE => self.bury(old, new, by).await?,
            QUIET => self.quiet(old, by).await?,
            LISTING => self.move_names(old, new, by).await?,
            BANS => {
                let next = self.copy_bans(old, new, by, cursor).await?;
                return Ok(Next::within(BANS, next));
            }
            CHILDREN => {
                let next = self.copy_children(old, new, by, cursor).await?;
                return Ok(Next::within(CHILDREN, next));
            }
            PARENTS => {
                let next = self.move_in_spaces(old, new, by, cursor).await?;
                return Ok(Next::within(PARENTS, next));
            }
            SETTINGS => self.users.inherit_room_data(by, old, new).await?,
            _ => return Ok(Next::Done),
        }
        Ok(Next::stage(stage + 1))
    }

    /// The successor that the same person made before with the same wish: a request repeated.
    async fn replaced_already(&self, wish: &Replacement) -> Result<Option<OwnedRoomId>, RoomError> {
        let old = &wish.old;
        let snapshot = self.engine.snapshot().await?;
        let (new, by) = (old.clone(), wish.by.clone());
        let name = FlowAct::ReplaceRoom {
            old: old.clone(),
            new,
            by,
        }
        .name();
        let under_way = match flow(&*snapshot, &name).await?.map(|flow| flow.row.act) {
            Some(FlowAct::ReplaceRoom { new, .. }) => Some(new),
            _ => None,
        };
        let named = match under_way {
            Some(new) => Some(new),
            None => only(&self.rooms, old, "m.room.tombstone")
                .await?
                .and_then(|tombstone| {
                    let new = tombstone.content.get("replacement_room")?.as_str()?;
                    OwnedRoomId::try_from(new).ok()
                }),
        };
        let Some(new) = named else { return Ok(None) };
        let create = match only(&self.rooms, &new, "m.room.create").await {
            Err(RoomError::UnknownRoom) => None,
            found => found?,
        };
        let same = create.is_some_and(|create| {
            let version = create.content.get("room_version").and_then(Value::as_str);
            let predecessor = create.content.get("predecessor");
            let of_old = predecessor.and_then(|room| room.get("room_id")?.as_str());
            create.sender == wish.by
                && version == Some(wish.version.as_str())
                && of_old == Some(old.as_str())
        });
        Ok(same.then_some(new))
    }

    async fn bury(&self, old: &RoomId, new: &RoomId, by: &UserId) -> Result<(), Halt> {
        let content = object(json!({
            "body": "This room has been replaced",
            "replacement_room": new,
        }));
        self.set(old, by, ("m.room.tombstone", ""), &content).await
    }

    /// Raises what it takes to speak in the old room and to invite into it.
    async fn quiet(&self, old: &RoomId, by: &UserId) -> Result<(), Halt> {
        let Some(levels) = only(&self.rooms, old, "m.room.power_levels").await? else {
            return Ok(());
        };
        let mut content = levels.content;
        let level = |content: &Map<String, Value>, name| content.get(name).and_then(Value::as_i64);
        let usual = level(&content, "users_default").unwrap_or_default();
        let least = usual.saturating_add(1).max(QUIET_LEVEL_MIN);
        for name in ["events_default", "invite"] {
            let raised = level(&content, name).unwrap_or_default().max(least);
            content.insert(name.to_owned(), raised.into());
        }
        self.set(old, by, ("m.room.power_levels", ""), &content)
            .await
    }

    /// Aliases, the place in the directory, and the alias that the room calls itself by.
    async fn move_names(&self, old: &RoomId, new: &RoomId, by: &UserId) -> Result<(), Halt> {
        let kind = ("m.room.canonical_alias", "");
        Self::excuse(old, self.rooms.move_listing(old, new).await)?;
        let canonical = only(&self.rooms, old, kind.0).await?;
        let Some(canonical) = canonical.filter(|event| !event.content.is_empty()) else {
            return Ok(());
        };
        self.set(new, by, kind, &canonical.content).await?;
        self.set(old, by, kind, &Map::new()).await
    }

    /// Who was banned stays banned.
    async fn copy_bans(
        &self,
        old: &RoomId,
        new: &RoomId,
        by: &UserId,
        after: &str,
    ) -> Result<Option<String>, Halt> {
        let (banned, next) = self.rooms.banned(old, after).await?;
        let wanted: Vec<_> = banned
            .iter()
            .map(|user| ("m.room.member", user.as_str()))
            .collect();
        let present = self.rooms.settings(new, &wanted).await?;
        let is_banned = |event: &Setting| event.content.get("membership") == Some(&"ban".into());
        let left = banned
            .iter()
            .zip(present)
            .filter(|(_, present)| !present.as_ref().is_some_and(is_banned));
        let acts = left.map(|(user, _)| {
            let ban = Membership::new(user.clone(), MemberAct::Ban);
            self.act(new, by, Change::Member(ban))
        });
        join_all(acts)
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        Ok(next)
    }

    /// What a space holds.
    async fn copy_children(
        &self,
        old: &RoomId,
        new: &RoomId,
        by: &UserId,
        after: &str,
    ) -> Result<Option<String>, Halt> {
        let children = self
            .rooms
            .settings_of_type(old, "m.space.child", after)
            .await?;
        for child in children.iter().filter(|child| !child.content.is_empty()) {
            let place = ("m.space.child", &*child.state_key);
            self.set(new, by, place, &child.content).await?;
        }
        Ok(next(&children))
    }

    /// The spaces that the old room says it is in: they hold the new one instead.
    async fn move_in_spaces(
        &self,
        old: &RoomId,
        new: &RoomId,
        by: &UserId,
        after: &str,
    ) -> Result<Option<String>, Halt> {
        let parents = self
            .rooms
            .settings_of_type(old, "m.space.parent", after)
            .await?;
        for parent in parents.iter().filter(|parent| !parent.content.is_empty()) {
            let place = ("m.space.parent", &*parent.state_key);
            self.set(new, by, place, &parent.content).await?;
            let Ok(space) = <&RoomId>::try_from(&*parent.state_key) else {
                continue;
            };
            let child = match self
                .rooms
                .settings(space, &[("m.space.child", old.as_str())])
                .await
            {
                Err(RoomError::UnknownRoom) => continue,
                found => found?.pop().flatten(),
            };
            if let Some(child) = child.filter(|child| !child.content.is_empty()) {
                let place = ("m.space.child", new.as_str());
                self.set(space, by, place, &child.content).await?;
                let place = ("m.space.child", old.as_str());
                self.set(space, by, place, &Map::new()).await?;
            }
        }
        Ok(next(&parents))
    }
}

/// The room's state event of this type and no state key.
async fn only(rooms: &Rooms, room: &RoomId, kind: &str) -> Result<Option<Setting>, RoomError> {
    Ok(rooms.settings(room, &[(kind, "")]).await?.pop().flatten())
}

/// Where to go on behind a page.
fn next(page: &[Setting]) -> Option<String> {
    let last = page.last().filter(|_| page.len() == SETTINGS_PAGE_MAX);
    last.map(|last| last.state_key.clone())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
