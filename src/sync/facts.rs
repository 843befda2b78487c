//! What member and visibility events say, remembered: facts that never change, by event.
//!
//! It exists so that the same two events of a room are not read again for each reader and each
//! request. A redaction takes neither `membership` nor `history_visibility` from an event, so
//! nothing here goes stale. It knows nothing of who asks.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use belfry_data::{Membership, Position, RoomReader, StoredEvent};
use belfry_event::{EventHash, Visibility};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Fault;

/// Facts remembered at least; twice as many at most, then the older half is forgotten.
pub const FACTS_MAX: usize = 32_768;

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Of `m.room.history_visibility`.
    Visibility(Visibility),
    /// Of `m.room.member`, and when the event came.
    Member(Membership, Position),
    /// Neither.
    Other,
}

impl Fact {
    pub(crate) fn visibility(self) -> Visibility {
        match self {
            Self::Visibility(visibility) => visibility,
            Self::Member(..) | Self::Other => Visibility::default(),
        }
    }

    /// A membership that the spec does not know is as good as none.
    pub(crate) fn membership(self) -> Membership {
        match self {
            Self::Member(membership, _) => membership,
            Self::Visibility(_) | Self::Other => Membership::Leave,
        }
    }
}

/// The facts of one server. Forgets by generations: what was not asked for lately goes.
#[derive(Debug, Default)]
pub(crate) struct Facts(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: BTreeMap<EventHash, Fact>,
    old: BTreeMap<EventHash, Fact>,
}

impl Generations {
    fn get(&mut self, hash: EventHash) -> Option<Fact> {
        if let Some(fact) = self.young.get(&hash) {
            return Some(*fact);
        }
        let fact = self.old.remove(&hash)?;
        self.put(hash, fact);
        Some(fact)
    }

    fn put(&mut self, hash: EventHash, fact: Fact) {
        if self.young.len() >= FACTS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, fact);
    }
}

impl Facts {
    /// What these events of one room say; those that are not stored say nothing.
    pub(crate) async fn of(
        &self,
        reader: &RoomReader<'_>,
        hashes: &BTreeSet<EventHash>,
    ) -> Result<BTreeMap<EventHash, Fact>, Fault> {
        let mut facts = BTreeMap::new();
        let mut unknown = Vec::new();
        {
            let mut known = self.lock();
            for hash in hashes {
                match known.get(*hash) {
                    Some(fact) => _ = facts.insert(*hash, fact),
                    None => unknown.push(*hash),
                }
            }
        }
        if !unknown.is_empty() {
            let read = reader.events(&unknown).await?;
            self.learn(read.into_iter().flatten(), &mut facts);
        }
        Ok(facts)
    }

    fn learn(
        &self,
        events: impl Iterator<Item = StoredEvent>,
        facts: &mut BTreeMap<EventHash, Fact>,
    ) {
        let mut known = self.lock();
        for event in events {
            let fact = said_by(&event);
            facts.insert(event.hash, fact);
            // An outlier's stamp is not yet that of its arrival.
            if !event.row.is_outlier() {
                known.put(event.hash, fact);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn said_by(event: &StoredEvent) -> Fact {
    #[derive(Deserialize)]
    struct Brief<'a> {
        #[serde(rename = "type", borrow)]
        event_type: Cow<'a, str>,
        #[serde(borrow)]
        content: &'a RawValue,
    }
    let Ok(brief) = serde_json::from_str::<Brief<'_>>(&event.row.json) else {
        return Fact::Other;
    };
    match &*brief.event_type {
        "m.room.history_visibility" => Fact::Visibility(Visibility::of_content(brief.content)),
        "m.room.member" => Membership::from_content(brief.content.get())
            .map_or(Fact::Other, |membership| {
                Fact::Member(membership, event.stamp.position)
            }),
        _ => Fact::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_asked_for_lately_survive_and_the_number_is_bounded() {
        let mut generations = Generations::default();
        let hash = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
            EventHash::from(bytes)
        };
        for number in 0..5 * FACTS_MAX {
            generations.put(hash(number), Fact::Other);
            assert!(generations.get(hash(0)).is_some(), "{number}");
            assert!(generations.young.len() + generations.old.len() <= 2 * FACTS_MAX);
        }
        assert_eq!(generations.get(hash(1)), None);
    }
}
