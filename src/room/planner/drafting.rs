//! Events that are made and not sent: for other servers to sign, or to be signed by them.
//!
//! It exists so that they are made like those that are sent, on the room as it stands. It knows
//! nothing of what becomes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use belfry_data::RoomReader;
use belfry_event::Pdu;
use ruma_common::{RoomId, UserId};

use super::Planner;
use super::gathering::{gathered, load};
use crate::change::Change;
use crate::desk::Outcome;
use crate::error::RoomError;
use crate::job::{Append, timestamp};
use crate::rooms::Shared;

/// An event of a user of this server, signed and not sent.
pub(crate) async fn draft(
    shared: &Arc<Shared>,
    room_id: &RoomId,
    append: &Append,
) -> Result<Arc<Pdu>, RoomError> {
    let snapshot = shared.engine.snapshot().await?;
    let reader = RoomReader::new(&*snapshot, room_id);
    let mut desk = load(&reader, room_id)
        .await?
        .ok_or(RoomError::UnknownRoom)?;
    let planner = Planner::new(shared, room_id, BTreeMap::new());
    let now_ms = planner.now_ms;
    match planner.change(&mut desk, &reader, append, now_ms).await?? {
        Outcome::New(made) => Ok(made.pdu),
        Outcome::Present(_) => Err(RoomError::Forbidden("nothing is left to change".into())),
    }
}

/// What a user of another server is to complete and sign.
pub(crate) async fn template(
    shared: &Arc<Shared>,
    room_id: &RoomId,
    sender: &UserId,
    change: &Change,
) -> Result<Pdu, RoomError> {
    let snapshot = shared.engine.snapshot().await?;
    let reader = RoomReader::new(&*snapshot, room_id);
    let mut desk = load(&reader, room_id)
        .await?
        .ok_or(RoomError::UnknownRoom)?;
    let at = timestamp(shared.env.clock.wall_ms());
    gathered(&mut desk, &reader, |desk| desk.template(sender, change, at)).await?
}
