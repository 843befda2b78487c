//! Creating a room: all of its first events at once.
//!
//! It exists so that a room is there whole or not at all. It knows nothing of what is asked for.

use std::sync::Arc;

use belfry_data::{
    Commit, FlowAct, RoomReader, Snapshot, alias_seen, claim_alias, publish, start_flow,
};
use ruma_common::RoomId;

use super::Planner;
use crate::batch::Done;
use crate::change::Change;
use crate::create::CreateRoom;
use crate::desk::{Desk, Outcome, Stop};
use crate::error::RoomError;
use crate::job::{Append, Founding};

impl Planner<'_> {
    pub(super) async fn found(
        &mut self,
        desk: &mut Option<Desk>,
        reader: &RoomReader<'_>,
        founding: &Founding,
        alias_taken: bool,
    ) -> Result<Done, RoomError> {
        if desk.is_some() {
            return Ok(Done::Founded(false));
        }
        if alias_taken {
            return Ok(Done::Refused(RoomError::AliasTaken));
        }
        let new = desk.insert(Desk::blank(self.room_id.to_owned(), founding.rules));
        if let Err(refused) = self.found_on(new, reader, founding).await? {
            *desk = None;
            self.planned.clear();
            return Ok(Done::Refused(refused));
        }
        self.founded = Some(Arc::clone(&founding.request));
        Ok(Done::Founded(true))
    }

    async fn found_on(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        founding: &Founding,
    ) -> Result<Result<(), RoomError>, RoomError> {
        let changes = match founding.request.changes(founding.rules) {
            Ok(changes) => changes,
            Err(unfit) => return Ok(Err(unfit.into())),
        };
        match desk.plan_create(Arc::clone(&founding.create)) {
            Ok(planned) => drop(self.keep(Outcome::New(Box::new(planned)))),
            Err(Stop::Refuse(refused)) => return Ok(Err(refused)),
            Err(Stop::Need(_)) => return Err(RoomError::Fault("an empty room lacks".into())),
        }
        for change in changes {
            let append = founding.append(change);
            match self.change(desk, reader, &append, self.now_ms).await? {
                Ok(outcome) => drop(self.keep(outcome)),
                Err(RoomError::Forbidden(reason)) => {
                    return Ok(Err(RoomError::InvalidRoomState(reason)));
                }
                Err(refused) => return Ok(Err(refused)),
            }
        }
        Ok(Ok(()))
    }
}

impl Founding {
    fn append(&self, change: Change) -> Append {
        let sender = self.request.creator.clone();
        Append {
            sender,
            change,
            txn: None,
            timestamp_ms: None,
        }
    }
}

/// Whether the alias that the new room is to have belongs to a room already.
pub(super) async fn alias_is_taken(
    snapshot: &dyn Snapshot,
    request: &CreateRoom,
) -> Result<bool, RoomError> {
    match &request.alias {
        Some(alias) => Ok(alias_seen(snapshot, alias).await?.row.is_some()),
        None => Ok(false),
    }
}

/// Puts a new room where it is to be found. If somebody has claimed the alias since it was looked
/// for, the commit does not apply.
pub(super) fn list(commit: &mut Commit, room_id: &RoomId, request: &CreateRoom) {
    if let Some(alias) = &request.alias {
        claim_alias(commit, alias, room_id, &request.creator);
    }
    if request.published {
        publish(commit, room_id, true);
    }
    if let Some(old) = &request.replaces {
        let (old, new, by) = (old.clone(), room_id.to_owned(), request.creator.clone());
        start_flow(commit, FlowAct::ReplaceRoom { old, new, by });
    }
}
