//! `GET /hierarchy/{roomId}` of other servers: a space and the rooms right below it.
//!
//! It exists so that a server is told of no room that none of its users could join or read. It knows
//! nothing of rooms that this server is not in: the other one asks elsewhere.

use belfry_data::{CurrentCursor, Membership, RoomReader, Snapshot};
use ruma_common::{RoomId, ServerName};

use super::{
    room_summary::{RoomSummary, read},
    space::{Child, SPACE, children, write_room},
};
use crate::{
    error::{Fault, ViewError},
    json::{EventList, Object, write_string},
    room_view::RoomView,
    views::Views,
};

/// Children of a space that are told of.
pub const SERVED_CHILDREN_MAX: usize = 100;
/// Members of one room among whom the server's users are looked for who are invited.
const MEMBERS_MAX: usize = 5_000;
/// Members read at once.
const MEMBERS_AT_ONCE: usize = 500;

impl Views {
    /// A space and the rooms right below it of which the server's users may know, as JSON.
    ///
    /// # Errors
    /// [`ViewError::NotFound`] for a room that is not there or of which they may not know.
    pub async fn serve_space(
        &self,
        origin: &ServerName,
        room: &RoomId,
        suggested_only: bool,
    ) -> Result<String, ViewError> {
        let page = self.0.read(|snapshot| async move {
            let snapshot = &*snapshot;
            let found = visit(snapshot, origin, room).await?;
            let Some(Found::Open(summary, mut below)) = found else {
                return Err(ViewError::NotFound);
            };
            below.retain(|child| child.suggested || !suggested_only);
            below.truncate(SERVED_CHILDREN_MAX);
            let (mut told, mut closed) = (EventList::default(), EventList::default());
            for child in &below {
                match visit(snapshot, origin, &child.room_id).await? {
                    Some(Found::Open(summary, _)) => told.push(|out| {
                        let mut object = Object::new(out);
                        summary.write(&child.room_id, &mut object);
                        object.end();
                    }),
                    Some(Found::Closed) => {
                        closed.push(|out| write_string(child.room_id.as_str(), out));
                    }
                    None => {}
                }
            }
            let mut out = String::new();
            let mut object = Object::new(&mut out);
            write_room(room, &summary, &below, object.member("room"));
            object.list("children", &told);
            object.list("inaccessible_children", &closed);
            object.end();
            Ok(out)
        });
        page.await
    }
}

/// A room of this server's, as another one may know it.
enum Found {
    Open(Box<RoomSummary>, Vec<Child>),
    Closed,
}

/// `None` if the room is not here.
async fn visit(
    snapshot: &dyn Snapshot,
    origin: &ServerName,
    room: &RoomId,
) -> Result<Option<Found>, Fault> {
    let Some(mut view) = RoomView::now(snapshot, room).await? else {
        return Ok(None);
    };
    let summary = read(&mut view).await?;
    if !may_know(snapshot, origin, room, &summary).await? {
        return Ok(Some(Found::Closed));
    }
    let below = if summary.room_type.as_deref() == Some(SPACE) {
        children(&mut view).await?
    } else {
        Vec::new()
    };
    Ok(Some(Found::Open(Box::new(summary), below)))
}

/// Whoever has users in the room, or asked in, and whoever's could join or ask.
async fn may_know(
    snapshot: &dyn Snapshot,
    origin: &ServerName,
    room: &RoomId,
    summary: &RoomSummary,
) -> Result<bool, Fault> {
    let open = ["public", "knock", "knock_restricted"].contains(&&*summary.join_rule);
    if open || summary.world_readable {
        return Ok(true);
    }
    let within = [Membership::Join, Membership::Invite, Membership::Knock];
    if has_users(snapshot, origin, room, &within).await? {
        return Ok(true);
    }
    if summary.join_rule == "restricted" {
        for allowed in &summary.allowed_room_ids {
            if has_users(snapshot, origin, allowed, &within[..1]).await? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether a user of the server has one of these memberships, joining first.
async fn has_users(
    snapshot: &dyn Snapshot,
    server: &ServerName,
    room: &RoomId,
    memberships: &[Membership],
) -> Result<bool, Fault> {
    let reader = RoomReader::new(snapshot, room);
    let Some(head) = reader.head().await? else {
        return Ok(false);
    };
    if let Some(epoch) = head.rows() {
        let joined = reader.joined_users(epoch, server).await? > 0;
        if joined || memberships.len() == 1 {
            return Ok(joined);
        }
    }
    let mut cursor: Option<CurrentCursor> = None;
    for _ in 0..MEMBERS_MAX / MEMBERS_AT_ONCE {
        let page = reader
            .current(&head)
            .members(cursor, MEMBERS_AT_ONCE)
            .await?;
        let found = page.members.iter().any(|member| {
            member.user_id.server_name() == server && memberships.contains(&member.membership)
        });
        if found {
            return Ok(true);
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(false)
}
