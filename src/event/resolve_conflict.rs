//! What a resolution is about: the entries that differ among several states of one room.
//!
//! It exists so that nobody needs whole state maps to resolve a fork: the differences between one
//! state and each of the others say all. It knows nothing of events, only of keys and hashes.

use std::collections::{BTreeMap, BTreeSet};

use crate::auth::StateMapKey;
use crate::hash::EventHash;

/// A state of a room, or a part of one.
pub type StateMap = BTreeMap<StateMapKey, EventHash>;

/// What a state has at a key where it differs from the base state; `None` is absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// In the base state.
    pub base: Option<EventHash>,
    /// In the other state.
    pub other: Option<EventHash>,
}

/// The conflicted part of several states: for each state its entries under the keys that are not
/// the same in all of them. States that agree on those keys count once, which changes nothing:
/// resolution is about sets of states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    keys: BTreeSet<StateMapKey>,
    forks: Vec<StateMap>,
}

impl Conflict {
    /// From the differences of each other state from one base state. The base takes part, so `n`
    /// differences mean `n + 1` states. The differences must agree on what the base has.
    pub fn from_differences<'a>(
        differences: impl IntoIterator<Item = &'a BTreeMap<StateMapKey, Difference>> + Clone,
    ) -> Self {
        let mut base = BTreeMap::new();
        for (key, difference) in differences.clone().into_iter().flatten() {
            if difference.base != difference.other {
                base.insert(key.clone(), difference.base);
            }
        }
        let fork = |changes: Option<&BTreeMap<StateMapKey, Difference>>| -> StateMap {
            let value = |key: &StateMapKey, in_base: &Option<EventHash>| {
                changes
                    .and_then(|c| c.get(key))
                    .map_or(*in_base, |difference| difference.other)
            };
            base.iter()
                .filter_map(|(k, v)| value(k, v).map(|hash| (k.clone(), hash)))
                .collect()
        };
        let forks = std::iter::once(None)
            .chain(differences.into_iter().map(Some))
            .map(fork);
        let forks = distinct(forks);
        Self {
            keys: base.into_keys().collect(),
            forks,
        }
    }

    /// From whole state maps, for rooms small enough to have them at hand: the conflict, and the
    /// unconflicted state map.
    pub fn from_states<'a>(states: impl IntoIterator<Item = &'a StateMap>) -> (Self, StateMap) {
        let states: Vec<_> = states.into_iter().collect();
        let all: BTreeSet<_> = states.iter().flat_map(|state| state.keys()).collect();
        let mut unconflicted = StateMap::new();
        let mut keys = BTreeSet::new();
        for key in all {
            let value = states.first().and_then(|state| state.get(key));
            match value {
                Some(hash) if states.iter().all(|state| state.get(key) == value) => {
                    unconflicted.insert(key.clone(), *hash);
                }
                _ => {
                    keys.insert(key.clone());
                }
            }
        }
        let fork = |state: &&StateMap| -> StateMap {
            keys.iter()
                .filter_map(|key| Some((key.clone(), *state.get(key)?)))
                .collect()
        };
        let forks = distinct(states.iter().map(fork));
        (Self { keys, forks }, unconflicted)
    }

    /// Whether there is nothing to resolve.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that are not the same in all states.
    pub const fn keys(&self) -> &BTreeSet<StateMapKey> {
        &self.keys
    }

    /// The states' parts under [`Self::keys`], each once.
    pub fn forks(&self) -> &[StateMap] {
        &self.forks
    }

    /// The conflicted state set: every value under [`Self::keys`].
    pub(crate) fn events(&self) -> BTreeSet<EventHash> {
        self.forks
            .iter()
            .flat_map(BTreeMap::values)
            .copied()
            .collect()
    }
}

fn distinct(forks: impl Iterator<Item = StateMap>) -> Vec<StateMap> {
    forks.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use ruma_events::StateEventType;

    use super::*;

    fn key(state_key: &str) -> StateMapKey {
        (StateEventType::RoomMember, state_key.to_owned())
    }

    fn hash(byte: u8) -> EventHash {
        EventHash::from([byte; 32])
    }

    fn state(entries: &[(&str, u8)]) -> StateMap {
        entries.iter().map(|(k, v)| (key(k), hash(*v))).collect()
    }

    fn differences(base: &StateMap, other: &StateMap) -> BTreeMap<StateMapKey, Difference> {
        let keys: BTreeSet<_> = base.keys().chain(other.keys()).collect();
        let difference = |k: &StateMapKey| Difference {
            base: base.get(k).copied(),
            other: other.get(k).copied(),
        };
        keys.into_iter()
            .map(|k| (k.clone(), difference(k)))
            .filter(|(_, d)| d.base != d.other)
            .collect()
    }

    #[test]
    fn equal_states_do_not_conflict() {
        let s = state(&[("a", 1)]);
        let (conflict, unconflicted) = Conflict::from_states([&s, &s]);
        assert!(conflict.is_empty());
        assert_eq!(unconflicted, s);
        assert!(Conflict::from_differences(&[BTreeMap::new()]).is_empty());
    }

    #[test]
    fn an_entry_that_one_state_lacks_is_conflicted() {
        let (conflict, unconflicted) =
            Conflict::from_states([&state(&[("a", 1), ("b", 2)]), &state(&[("a", 1)])]);
        assert_eq!(conflict.keys().iter().collect::<Vec<_>>(), [&key("b")]);
        assert_eq!(conflict.forks(), [StateMap::new(), state(&[("b", 2)])]);
        assert_eq!(unconflicted, state(&[("a", 1)]));
    }

    #[test]
    fn differences_say_as_much_as_whole_states() {
        let states = [
            state(&[("a", 1), ("b", 2), ("c", 3)]),
            state(&[("a", 1), ("b", 4)]),
            state(&[("a", 1), ("b", 2), ("c", 5), ("d", 6)]),
            state(&[("a", 1), ("b", 4)]),
        ];
        let by_difference: Vec<_> = states.iter().map(|s| differences(&states[0], s)).collect();
        let (conflict, _) = Conflict::from_states(&states);
        assert_eq!(Conflict::from_differences(&by_difference), conflict);
        assert_eq!(conflict.forks().len(), 3);
    }

    #[test]
    fn an_empty_difference_is_the_base_once_more() {
        let base = state(&[("a", 1)]);
        let other = differences(&base, &state(&[("a", 2)]));
        let conflict = Conflict::from_differences([&other, &BTreeMap::new()]);
        assert_eq!(conflict.forks(), [base, state(&[("a", 2)])]);
    }
}
