//! The door to a room: what somebody may see of it, as a member, as a former one, or from outside.
//!
//! It exists so that no request reads a room before this was asked. It knows nothing of what is
//! read.

use belfry_data::{Membership, Root, Snapshot, TimelinePoint, user_in_rooms};
use belfry_event::Visibility;
use ruma_common::{RoomId, UserId};

use crate::{
    admission::is_forgotten,
    error::{Fault, ViewError},
    room_view::RoomView,
    sight::{Eyes, last_stay, visibility_in, visibility_tuple},
    window::behind,
};

/// How a reader stands to a room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    /// In it.
    Member,
    /// Was in it until this place.
    Former(TimelinePoint),
    /// Never was in it; it is open to the world.
    Passer,
}

/// A room as one reader may see it: for a former member, as it was when they left.
pub(crate) struct Entered<'s> {
    pub(crate) view: RoomView<'s>,
    pub(crate) eyes: Eyes,
    pub(crate) access: Access,
}

/// Lets a reader into a room.
///
/// # Errors
/// [`ViewError::Forbidden`] whether the room exists or not.
pub(crate) async fn enter<'s>(
    snapshot: &'s dyn Snapshot,
    user: &UserId,
    room: &RoomId,
) -> Result<Entered<'s>, ViewError> {
    let row = user_in_rooms(snapshot, user, &[room])
        .await?
        .pop()
        .flatten();
    let view = RoomView::now(snapshot, room).await?;
    let mut view = view.ok_or(ViewError::Forbidden)?;
    let row = match row {
        Some(row) if is_forgotten(snapshot, user, room, row).await? => None,
        row => row,
    };
    let Some(row) = row else {
        return pass(view, Eyes::of_outsider(user, None)).await;
    };
    if row.membership == Membership::Join {
        let (eyes, access) = (Eyes::of_member(user), Access::Member);
        return Ok(Entered { view, eyes, access });
    }
    let stay = last_stay(&mut view, user, row.event).await?;
    let eyes = Eyes::of_outsider(user, stay.as_ref());
    match stay.and_then(|stay| stay.departure) {
        Some(departure) => {
            view.state = view.state_after(&departure).await?;
            let access = Access::Former(behind(&departure));
            Ok(Entered { view, eyes, access })
        }
        None => pass(view, eyes).await,
    }
}

/// Lets anybody into a room that is open to the world.
async fn pass(mut view: RoomView<'_>, eyes: Eyes) -> Result<Entered<'_>, ViewError> {
    if !is_open(&mut view).await? {
        return Err(ViewError::Forbidden);
    }
    let access = Access::Passer;
    Ok(Entered { view, eyes, access })
}

/// Whether the room is open to the world now.
pub(crate) async fn is_open(view: &mut RoomView<'_>) -> Result<bool, Fault> {
    let now: Root = view.head.state;
    let found = view.pick(now, [visibility_tuple()?]).await?;
    let hashes: Vec<_> = found.into_values().collect();
    let events = view.events(&hashes).await?;
    Ok(events
        .iter()
        .any(|event| visibility_in(event) == Visibility::WorldReadable))
}
