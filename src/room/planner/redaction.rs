//! What a redaction takes the content of, and whether it may.
//!
//! It exists because the authorisation rules leave that to whoever applies it. It knows nothing of
//! how content is taken away.

use belfry_data::{RoomReader, StateTuple, StoredEvent};
use belfry_event::{EventHash, Pdu, StateMapKey, may_redact_others};
use ruma_events::StateEventType;

use super::Planner;
use super::arrival::Filed;
use super::gathering::gather_entries;
use crate::change::Change;
use crate::desk::{Desk, Stop};
use crate::error::RoomError;
use crate::job::Append;
use crate::redacting::KEPT;

impl Planner<'_> {
    /// The event that a redaction takes the content of; `None` for what is no redaction.
    pub(super) async fn target(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        append: &Append,
    ) -> Result<Result<Option<StoredEvent>, RoomError>, RoomError> {
        let Change::Redaction { redacts, .. } = &append.change else {
            return Ok(Ok(None));
        };
        let Ok(hash) = EventHash::from_event_id(redacts, desk.rules.alphabet()) else {
            return Ok(Err(RoomError::UnknownEvent));
        };
        let Some(stored) = reader
            .event(hash)
            .await?
            .filter(|stored| stored.row.is_visible())
        else {
            return Ok(Err(RoomError::UnknownEvent));
        };
        let event = stored
            .pdu(desk.rules)
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        if KEPT.contains(&&*event.event_type().to_string()) {
            let text = "what the room rests on is not redacted; send other state instead";
            return Ok(Err(RoomError::Forbidden(text.to_owned())));
        }
        let powers = ["m.room.create", "m.room.power_levels"];
        let tuples = powers
            .into_iter()
            .filter_map(|kind| StateTuple::new(kind, "").ok());
        gather_entries(desk, reader, &tuples.collect::<Vec<_>>()).await?;
        match desk.may_redact_others(&append.sender) {
            Ok(others) if others || event.sender() == append.sender => Ok(Ok(Some(stored))),
            Ok(_) => Ok(Err(RoomError::Forbidden(
                "you may redact your own events only: your power level is too low".to_owned(),
            ))),
            Err(Stop::Refuse(error)) => Ok(Err(error)),
            Err(Stop::Need(need)) => Err(RoomError::Fault(format!("{need:?} was gathered"))),
        }
    }
}

/// What decides whether a redaction applies, beside its sender's server.
fn powers() -> [StateMapKey; 2] {
    let of = |kind: StateEventType| (kind, String::new());
    [
        of(StateEventType::RoomCreate),
        of(StateEventType::RoomPowerLevels),
    ]
}

impl Planner<'_> {
    /// If the event redacts another: applies that, or remembers it until the other comes.
    pub(super) async fn apply_redaction(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        redaction: &Filed,
    ) -> Result<(), RoomError> {
        let Some(target) = redaction.pdu.redacts() else {
            return Ok(());
        };
        let Ok(target) = EventHash::from_event_id(target, desk.rules.alphabet()) else {
            return Ok(());
        };
        let stored = reader.event(target).await?;
        let Some(stored) = stored.filter(|stored| stored.row.is_visible()) else {
            self.received.due.push((target, redaction.pdu.hash()));
            return Ok(());
        };
        let event = stored
            .pdu(desk.rules)
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        if stored.row.redacted_by.is_none()
            && self.may_redact(desk, reader, redaction, &event).await?
        {
            self.redacted.push((stored, redaction.pdu.hash()));
        }
        Ok(())
    }

    /// The redaction that came before the event and applies to it.
    pub(super) async fn redaction_due(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        event: &Filed,
    ) -> Result<Option<EventHash>, RoomError> {
        let hash = event.pdu.hash();
        let mut due = reader.redactions_due(&[hash]).await?;
        let due = due.pop().unwrap_or_default();
        if due.is_empty() {
            return Ok(None);
        }
        self.received.came.push(hash);
        let redactions = self.file(desk, reader, due).await?;
        for redaction in redactions.values() {
            if self.may_redact(desk, reader, redaction, &event.pdu).await? {
                return Ok(Some(redaction.pdu.hash()));
            }
        }
        Ok(None)
    }

    /// Whether the redaction applies (room version 3, "Handling redactions"): its sender's server
    /// sent the event, or the sender had the power.
    async fn may_redact(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        redaction: &Filed,
        event: &Pdu,
    ) -> Result<bool, RoomError> {
        let sender = redaction.pdu.sender();
        if sender.server_name() == event.sender().server_name() {
            return Ok(true);
        }
        let Some(before) = redaction.state_before else {
            return Ok(false);
        };
        let [create, levels] = powers();
        let keys = [create.clone(), levels.clone()];
        let found = self.entries(desk, reader, before, &keys).await?;
        let create = found.get(&create);
        Ok(create.is_some_and(|create| may_redact_others(create, found.get(&levels), sender)))
    }
}
