//! The iterative auth checks: events replayed in order onto a state, those not allowed left out.
//!
//! It exists so that the heart of state resolution is one loop over things already gathered. It
//! knows nothing of why events are replayed, or in which order.

use std::sync::Arc;

use ruma_events::StateEventType;

use crate::auth::{self, StateMapKey};
use crate::hash::EventHash;
use crate::pdu::Pdu;
use crate::resolve::ResolveError;
use crate::resolve_conflict::StateMap;
use crate::resolve_gathered::{Gathered, key_of};

/// The state that replaying has come to, over the one it started from.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// What replayed events have set.
    pub(crate) state: StateMap,
    /// The events that were not allowed, and the rule, in the order of replay.
    pub(crate) refused: Vec<(EventHash, String)>,
}

impl Replay {
    /// Applies `order`, earliest first.
    pub(crate) fn apply(
        &mut self,
        order: &[EventHash],
        gathered: &Gathered,
    ) -> Result<(), ResolveError> {
        for hash in order {
            let event = gathered.event(*hash)?;
            let key = key_of(event).ok_or(ResolveError::NotState(*hash))?;
            match self.check(event, gathered) {
                Ok(()) => {
                    self.state.insert(key, *hash);
                }
                Err(rule) => self.refused.push((*hash, rule)),
            }
        }
        Ok(())
    }

    fn check(&self, event: &Arc<Pdu>, gathered: &Gathered) -> Result<(), String> {
        let from_state = auth::state_needed(event).map_err(|rejection| rejection.rule)?;
        let cited: Vec<(StateMapKey, &Arc<Pdu>)> = auth::auth_events_needed(event)
            .into_iter()
            .filter_map(|hash| accepted(hash, gathered))
            .filter_map(|auth_event| Some((key_of(auth_event)?, auth_event)))
            .collect();
        auth::allowed_by(event, |event_type: &StateEventType, state_key: &str| {
            let key = (event_type.clone(), state_key.to_owned());
            let value = from_state
                .contains(&key)
                .then(|| self.value(&key, gathered))
                .flatten();
            let current = value.and_then(|hash| accepted(hash, gathered));
            let fallback = || {
                cited
                    .iter()
                    .find(|(cited, _)| *cited == key)
                    .map(|(_, event)| *event)
            };
            current.or_else(fallback).cloned()
        })
    }

    /// The state's value at `key` by now.
    pub(crate) fn value(&self, key: &StateMapKey, gathered: &Gathered) -> Option<EventHash> {
        let unconflicted = || {
            if gathered.starts_empty() {
                None
            } else {
                gathered.entry(key).ok()?
            }
        };
        self.state.get(key).copied().or_else(unconflicted)
    }
}

/// A rejected event vouches for nothing.
fn accepted(hash: EventHash, gathered: &Gathered) -> Option<&Arc<Pdu>> {
    gathered.event(hash).ok().filter(|event| !event.rejected())
}
