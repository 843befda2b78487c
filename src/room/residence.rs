//! Whether a server may take part in a room: this one is in it, and the room lets the other in.
//!
//! It exists so that what is heard from other servers and what is told to them goes by one rule. It
//! knows nothing of what is asked for.

use belfry_data::{Membership, RoomHead, RoomReader, Snapshot, StateTuple, StoredEvent};
use belfry_event::{RoomRules, acl_allows};
use ruma_common::{OwnedUserId, RoomId, ServerName};

use crate::error::RoomError;
use crate::planner::rules_of;

/// Users of a server that are looked through for one who is joined.
const MEMBERS_MAX: usize = 10_000;
/// Users looked at in one read.
const MEMBERS_AT_ONCE: usize = 500;

/// A room as another server finds it.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// It may speak there.
    Open(&'static RoomRules),
    /// This server is not in it.
    Absent,
    /// It may not; why, in words.
    Shut(&'static str),
}

/// Whether this server (`local`) is in the room and lets `origin` speak there.
pub(crate) async fn place_of(
    snapshot: &dyn Snapshot,
    room_id: &RoomId,
    local: &ServerName,
    origin: &ServerName,
) -> Result<Place, RoomError> {
    let reader = RoomReader::new(snapshot, room_id);
    let Some(head) = reader.head().await? else {
        return Ok(Place::Absent);
    };
    if !is_in_room(&reader, &head, local, true).await? {
        return Ok(Place::Absent);
    }
    if !acl_lets_in(&reader, &head, origin).await? {
        return Ok(Place::Shut(
            "the room's access control list shuts the server out",
        ));
    }
    Ok(Place::Open(rules_of(&head)?))
}

/// Whether the room's `m.room.server_acl` lets the server in.
pub(crate) async fn acl_lets_in(
    reader: &RoomReader<'_>,
    head: &RoomHead,
    server: &ServerName,
) -> Result<bool, RoomError> {
    let acl = current(reader, head, "m.room.server_acl", "").await?;
    let Some(acl) = acl else { return Ok(true) };
    let pdu = acl
        .pdu(rules_of(head)?)
        .map_err(|error| RoomError::Fault(error.to_string()))?;
    Ok(acl_allows(pdu.content_json(), server))
}

/// An event of the current state.
pub(crate) async fn current(
    reader: &RoomReader<'_>,
    head: &RoomHead,
    kind: &str,
    key: &str,
) -> Result<Option<StoredEvent>, RoomError> {
    let tuple =
        StateTuple::new(kind, key).map_err(|error| RoomError::BadParameter(error.to_string()))?;
    let found = reader.current(head).get(&[tuple]).await?;
    match found.into_iter().flatten().next() {
        Some(hash) => Ok(reader.event(hash).await?),
        None => Ok(None),
    }
}

/// Whether a user of the server is joined. `local` is whether it is this one.
pub(crate) async fn is_in_room(
    reader: &RoomReader<'_>,
    head: &RoomHead,
    server: &ServerName,
    local: bool,
) -> Result<bool, RoomError> {
    if let Some(epoch) = head.rows() {
        return Ok(reader.joined_users(epoch, server).await? > 0);
    }
    if local {
        return Ok(local_joined(reader).await?.is_some());
    }
    let mut cursor = None;
    for _ in 0..MEMBERS_MAX / MEMBERS_AT_ONCE {
        let current = reader.current(head);
        let page = current.members(cursor, MEMBERS_AT_ONCE).await?;
        let joined = |member: &belfry_data::Member| {
            member.membership == Membership::Join && member.user_id.server_name() == server
        };
        if page.members.iter().any(joined) {
            return Ok(true);
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(false)
}

/// A joined user of this server, the first by ID.
pub(crate) async fn local_joined(
    reader: &RoomReader<'_>,
) -> Result<Option<OwnedUserId>, RoomError> {
    let mut after: Option<OwnedUserId> = None;
    for _ in 0..MEMBERS_MAX / MEMBERS_AT_ONCE {
        let members = reader
            .local_members(after.as_deref(), MEMBERS_AT_ONCE)
            .await?;
        after = members.last().map(|(user, _)| user.clone());
        let joined = members.into_iter();
        let mut joined = joined.filter(|(_, membership)| *membership == Membership::Join);
        if let Some((user, _)) = joined.next() {
            return Ok(Some(user));
        }
        if after.is_none() {
            break;
        }
    }
    Ok(None)
}
