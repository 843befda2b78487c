//! What a join needs beside the user's wish: somebody who vouches for it, and what follows from it.
//!
//! It exists because rooms may let in who is in another room (Client-Server API, "Restricted
//! rooms"), which no event of the room itself can tell. It knows nothing of other servers, which may
//! vouch for those whom nobody here can.

use std::sync::Arc;

use belfry_data::{
    Commit, FlowAct, Membership as Is, RoomReader, Snapshot, start_flow, user_in_rooms,
};
use belfry_event::{Pdu, may_invite};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;
use serde_json::Value;

use crate::change::Membership;
use crate::error::RoomError;
use crate::rooms::Rooms;
use crate::settings::state_events;

/// Conditions of a restricted room that are looked at.
pub const ALLOW_MAX: usize = 100;
/// Users of this server who are asked whether they could invite.
pub const VOUCHERS_MAX: usize = 1_000;

/// What a room says of who may join it.
struct Door {
    create: Arc<Pdu>,
    levels: Option<Arc<Pdu>>,
    /// Rooms whose members may join; `None` if the rule is another.
    allowed: Option<Vec<OwnedRoomId>>,
}

impl Rooms {
    /// Fills in who vouches for the join, and what follows from it.
    pub(crate) async fn prepare_join(
        &self,
        room_id: &RoomId,
        join: &mut Membership,
    ) -> Result<(), RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let Some(door) = door(&*snapshot, room_id).await? else {
            return Ok(());
        };
        join.flow = inheritance(&*snapshot, &door, room_id, &join.target).await?;
        join.authorised_via = voucher(&*snapshot, room_id, &door, &join.target).await?;
        Ok(())
    }

    /// Begins what follows from a join by way of another server, once the room is here.
    pub(crate) async fn has_joined(
        &self,
        room_id: &RoomId,
        user: &UserId,
    ) -> Result<(), RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let Some(door) = door(&*snapshot, room_id).await? else {
            return Ok(());
        };
        if let Some(flow) = inheritance(&*snapshot, &door, room_id, user).await? {
            let mut commit = Commit::synced();
            start_flow(&mut commit, flow);
            self.0.engine.commit(commit).await?;
        }
        Ok(())
    }

    /// The user of this server by whom a join of a restricted room is authorised
    /// (`join_authorised_via_users_server`); `None` if the join needs nobody, or if the user may not
    /// join without an invite, which the authorisation rules then refuse.
    ///
    /// # Errors
    /// [`RoomError::UnknownRoom`]; [`RoomError::Forbidden`] if the user may join but nobody of this
    /// server could have invited them.
    pub async fn voucher(
        &self,
        room_id: &RoomId,
        user: &UserId,
    ) -> Result<Option<OwnedUserId>, RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let door = door(&*snapshot, room_id).await?;
        let door = door.ok_or(RoomError::UnknownRoom)?;
        voucher(&*snapshot, room_id, &door, user).await
    }
}

/// That the user takes along what they keep for the room's predecessor, if they know that.
async fn inheritance(
    snapshot: &dyn Snapshot,
    door: &Door,
    room_id: &RoomId,
    user: &UserId,
) -> Result<Option<FlowAct>, RoomError> {
    let Some(old) = predecessor(&door.create) else {
        return Ok(None);
    };
    let knows = is_in(snapshot, user, &[&old]).await?.is_some();
    Ok(knows.then(|| FlowAct::InheritSettings {
        user: user.to_owned(),
        old,
        new: room_id.to_owned(),
    }))
}

/// What the room says; `None` if it is not known here.
async fn door(snapshot: &dyn Snapshot, room_id: &RoomId) -> Result<Option<Door>, RoomError> {
    let reader = RoomReader::new(snapshot, room_id);
    let Some(head) = reader.head().await? else {
        return Ok(None);
    };
    let kinds = ["m.room.create", "m.room.power_levels", "m.room.join_rules"];
    let found = state_events(&reader, &head, &kinds.map(|kind| (kind, ""))).await?;
    let [create, levels, rules] = <[_; 3]>::try_from(found).unwrap_or_default();
    let Some(create) = create else {
        return Ok(None);
    };
    let allowed = rules.as_deref().and_then(allowed_rooms);
    Ok(Some(Door {
        create,
        levels,
        allowed,
    }))
}

/// Whether somebody vouches for a join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vouching {
    /// The join needs nobody, or no vouching helps.
    NotNeeded,
    /// This user does.
    By(OwnedUserId),
    /// The user is in none of the rooms that the rule names.
    NotMet,
    /// This server is in none of those rooms, so that it cannot tell.
    NotKnown,
    /// The user may join, but nobody of this server may invite.
    Nobody,
}

impl Rooms {
    /// Whether somebody of this server vouches for the join of a user of any server.
    pub(crate) async fn vouching(
        &self,
        room_id: &RoomId,
        user: &UserId,
    ) -> Result<Vouching, RoomError> {
        let snapshot = self.0.engine.snapshot().await?;
        let door = door(&*snapshot, room_id).await?;
        let door = door.ok_or(RoomError::UnknownRoom)?;
        vouching(&*snapshot, room_id, &door, user).await
    }
}

async fn voucher(
    snapshot: &dyn Snapshot,
    room_id: &RoomId,
    door: &Door,
    user: &UserId,
) -> Result<Option<OwnedUserId>, RoomError> {
    let text = "nobody of this server may invite you; ask a member of the room for an invite";
    match vouching(snapshot, room_id, door, user).await? {
        Vouching::By(user) => Ok(Some(user)),
        Vouching::Nobody => Err(RoomError::Forbidden(text.to_owned())),
        Vouching::NotNeeded | Vouching::NotMet | Vouching::NotKnown => Ok(None),
    }
}

async fn vouching(
    snapshot: &dyn Snapshot,
    room_id: &RoomId,
    door: &Door,
    user: &UserId,
) -> Result<Vouching, RoomError> {
    let Some(allowed) = &door.allowed else {
        return Ok(Vouching::NotNeeded);
    };
    let now = user_in_rooms(snapshot, user, &[room_id]).await?;
    let now = now.into_iter().flatten().next().map(|row| row.membership);
    if matches!(now, Some(Is::Join | Is::Invite | Is::Ban)) {
        return Ok(Vouching::NotNeeded);
    }
    let allowed: Vec<&RoomId> = allowed.iter().map(|room| &**room).collect();
    match is_in(snapshot, user, &allowed).await? {
        Some(true) => {}
        Some(false) => return Ok(Vouching::NotMet),
        None => {
            for room in allowed {
                if RoomReader::new(snapshot, room).head().await?.is_some() {
                    return Ok(Vouching::NotMet);
                }
            }
            return Ok(Vouching::NotKnown);
        }
    }
    let reader = RoomReader::new(snapshot, room_id);
    let members = reader.local_members(None, VOUCHERS_MAX).await?;
    let found = members.into_iter().find(|(member, membership)| {
        *membership == Is::Join && may_invite(&door.create, door.levels.as_ref(), member)
    });
    Ok(found.map_or(Vouching::Nobody, |(voucher, _)| Vouching::By(voucher)))
}

/// Whether the user is joined to any of the rooms; `None` if they never had to do with one.
async fn is_in(
    snapshot: &dyn Snapshot,
    user: &UserId,
    rooms: &[&RoomId],
) -> Result<Option<bool>, RoomError> {
    let rows = user_in_rooms(snapshot, user, rooms).await?;
    let joined = rows
        .into_iter()
        .flatten()
        .map(|row| row.membership == Is::Join);
    Ok(joined.reduce(|one, other| one || other))
}

/// The rooms that the join rules name; `None` if they are no such rules, or the version has none.
fn allowed_rooms(rules: &Pdu) -> Option<Vec<OwnedRoomId>> {
    #[derive(Deserialize)]
    struct Content {
        join_rule: String,
        #[serde(default)]
        allow: Vec<Value>,
    }
    let version = rules.rules().authorization();
    let content: Content = serde_json::from_str(rules.content_json()).ok()?;
    let restricted = match &*content.join_rule {
        "restricted" => version.restricted_join_rule,
        "knock_restricted" => version.knock_restricted_join_rule,
        _ => false,
    };
    let room = |condition: &Value| {
        let fits = condition.get("type")?.as_str()? == "m.room_membership";
        let room = condition.get("room_id")?.as_str().filter(|_| fits)?;
        OwnedRoomId::try_from(room).ok()
    };
    let rooms = content.allow.iter().take(ALLOW_MAX).filter_map(room);
    restricted.then(|| rooms.collect())
}

/// The room that this one replaces.
fn predecessor(create: &Pdu) -> Option<OwnedRoomId> {
    let content: Value = serde_json::from_str(create.content_json()).ok()?;
    let room = content.get("predecessor")?.get("room_id")?.as_str()?;
    OwnedRoomId::try_from(room).ok()
}
