//! A room in memory, for tests: makes events that cite the right auth events, keeps what a
//! resolution gathers, and resolves in every way there is, ruma's on whole states included.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;
use ruma_common::{EventId, OwnedEventId, RoomVersionId, UserId};
use ruma_events::{StateEventType, TimelineEventType};
use ruma_state_res::utils::event_id_set::EventIdSet;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::auth::{self, StateMapKey, Verdict};
use crate::hash::EventHash;
use crate::pdu::Pdu;
use crate::resolve::{Answers, Budget, Resolution, ResolveError, Resolved, Unconflicted, Wanted};
use crate::resolve_ancestry::{CitersOf, CitersPage};
use crate::resolve_conflict::{Conflict, StateMap};
use crate::resolve_gathered::key_of;
use crate::resolve_walk::{AuthEdges, auth_depth};
use crate::rules::RoomRules;

/// Settings of a property test: the usual number of cases times `quarters` / 4, and always the
/// same ones. `PROPTEST_CASES` and `PROPTEST_RNG_SEED` try more, and others.
pub(crate) fn seeded(quarters: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(12),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    ProptestConfig {
        cases: default.cases * quarters / 4,
        rng_seed,
        failure_persistence: None,
        ..default
    }
}

/// Citers told per page: few, so that pages are turned.
const CITERS_PER_PAGE: usize = 2;

pub(crate) const ALICE: &str = "@alice:a";
pub(crate) const BOB: &str = "@bob:b";
pub(crate) const CAROL: &str = "@carol:c";
pub(crate) const DAVE: &str = "@dave:d";

pub(crate) struct TestRoom {
    pub(crate) rules: &'static RoomRules,
    pub(crate) room_id: String,
    pub(crate) create: EventHash,
    pub(crate) events: BTreeMap<EventHash, Arc<Pdu>>,
    edges: BTreeMap<EventHash, AuthEdges>,
    citers: BTreeMap<EventHash, Vec<EventHash>>,
    /// Goes up with every event, unless a test turns it back.
    pub(crate) now: u64,
}

pub(crate) fn rules(version: &str) -> &'static RoomRules {
    RoomRules::new(&RoomVersionId::try_from(version).unwrap()).unwrap()
}

pub(crate) fn key(event_type: &str, state_key: &str) -> StateMapKey {
    (event_type.into(), state_key.to_owned())
}

pub(crate) fn pdu(rules: &'static RoomRules, json: &Value) -> Arc<Pdu> {
    let text = serde_json::to_string(json).unwrap();
    let hash = EventHash::from(<[u8; 32]>::from(Sha256::digest(&text)));
    Arc::new(Pdu::from_stored(rules, hash, text.as_bytes()).unwrap())
}

impl TestRoom {
    /// A room created by Alice, with nobody in it.
    pub(crate) fn new(version: &str) -> Self {
        Self::with_create(version, &json!({"creator": ALICE, "room_version": version}))
    }

    pub(crate) fn with_create(version: &str, content: &Value) -> Self {
        let rules = rules(version);
        let mut create = json!({
            "type": "m.room.create", "state_key": "", "sender": ALICE, "content": content,
            "origin_server_ts": 1, "depth": 1, "prev_events": [], "auth_events": [],
        });
        if !rules.room_id_is_hash() {
            create["room_id"] = "!room:a".into();
        }
        let create = pdu(rules, &create);
        let mut room = Self {
            rules,
            room_id: create.room_id().to_string(),
            create: create.hash(),
            events: BTreeMap::new(),
            edges: BTreeMap::new(),
            citers: BTreeMap::new(),
            now: 1,
        };
        room.store(create);
        room
    }

    /// A public room with Alice, who may do anything, and with `members`, who have the given
    /// power levels.
    pub(crate) fn public(version: &str, members: &[(&str, i64)]) -> (Self, StateMap) {
        let mut room = Self::new(version);
        let mut state = StateMap::from([(key("m.room.create", ""), room.create)]);
        state = room.join(&state, ALICE);
        let levels = room.levels(members);
        state = room.state(&state, ALICE, "m.room.power_levels", "", &levels);
        state = room.state(
            &state,
            ALICE,
            "m.room.join_rules",
            "",
            &json!({"join_rule": "public"}),
        );
        for (member, _) in members {
            state = room.join(&state, member);
        }
        (room, state)
    }

    /// Content of `m.room.power_levels`: Alice as high as the version has it, others as told.
    pub(crate) fn levels(&self, members: &[(&str, i64)]) -> Value {
        let mut users: serde_json::Map<_, _> = members
            .iter()
            .map(|(user, level)| ((*user).to_owned(), json!(level)))
            .collect();
        if !self.rules.room_id_is_hash() {
            users.insert(ALICE.to_owned(), json!(100));
        }
        json!({"users": users})
    }

    /// An event, whether allowed or not, that cites what `state` has for it. Not stored.
    pub(crate) fn make(
        &mut self,
        state: &StateMap,
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: &Value,
    ) -> Arc<Pdu> {
        self.now += 1;
        let user = <&UserId>::try_from(sender).unwrap();
        let raw = to_raw_value(content).unwrap();
        let types =
            auth::auth_types(self.rules, &event_type.into(), user, state_key, &raw).unwrap();
        let id = |hash: &EventHash| hash.to_event_id(self.rules.alphabet()).to_string();
        let auth_events: Vec<_> = types
            .iter()
            .filter_map(|key| state.get(key))
            .map(id)
            .collect();
        let mut event = json!({
            "room_id": self.room_id, "type": event_type, "sender": sender, "content": content,
            "origin_server_ts": self.now, "depth": 2, "prev_events": [id(&self.create)],
            "auth_events": auth_events,
        });
        if let Some(state_key) = state_key {
            event["state_key"] = state_key.into();
        }
        pdu(self.rules, &event)
    }

    pub(crate) fn store(&mut self, event: Arc<Pdu>) {
        let depths = event
            .auth_hashes()
            .iter()
            .map(|hash| self.edges[hash].auth_depth);
        let edges = AuthEdges {
            key: key_of(&event).unwrap(),
            auth_depth: auth_depth(depths),
            auth_events: event.auth_hashes().to_vec(),
        };
        self.edges.insert(event.hash(), edges);
        for cited in event.auth_hashes() {
            self.citers
                .entry(*cited)
                .or_default()
                .insert(0, event.hash());
        }
        self.events.insert(event.hash(), event);
    }

    pub(crate) fn verdict(&self, state: &StateMap, event: &Pdu) -> Verdict {
        auth::check_state_dependent(event, |event_type, state_key| {
            let hash = state.get(&(event_type.clone(), state_key.to_owned()))?;
            self.events.get(hash).cloned()
        })
    }

    /// The state after a state event, or why there is none.
    pub(crate) fn try_state(
        &mut self,
        state: &StateMap,
        sender: &str,
        event_type: &str,
        state_key: &str,
        content: &Value,
    ) -> Result<StateMap, String> {
        let event = self.make(state, sender, event_type, Some(state_key), content);
        if let Some(rejection) = self.verdict(state, &event).rejection() {
            return Err(rejection.to_string());
        }
        self.store(Arc::clone(&event));
        let mut after = state.clone();
        after.insert(key(event_type, state_key), event.hash());
        Ok(after)
    }

    pub(crate) fn state(
        &mut self,
        state: &StateMap,
        sender: &str,
        event_type: &str,
        state_key: &str,
        content: &Value,
    ) -> StateMap {
        self.try_state(state, sender, event_type, state_key, content)
            .unwrap()
    }

    pub(crate) fn member(
        &mut self,
        state: &StateMap,
        sender: &str,
        target: &str,
        membership: &str,
    ) -> StateMap {
        self.state(
            state,
            sender,
            "m.room.member",
            target,
            &json!({"membership": membership}),
        )
    }

    pub(crate) fn join(&mut self, state: &StateMap, user: &str) -> StateMap {
        self.member(state, user, user, "join")
    }

    pub(crate) fn topic(&mut self, state: &StateMap, sender: &str, topic: &str) -> StateMap {
        self.state(state, sender, "m.room.topic", "", &json!({"topic": topic}))
    }

    pub(crate) fn join_rule(&mut self, state: &StateMap, sender: &str, rule: &str) -> StateMap {
        self.state(
            state,
            sender,
            "m.room.join_rules",
            "",
            &json!({"join_rule": rule}),
        )
    }

    /// A field of the content of what `state` has at a key.
    pub(crate) fn content(&self, state: &StateMap, at: &StateMapKey, field: &str) -> Option<Value> {
        let event = self.events.get(state.get(at)?)?;
        let content: Value = serde_json::from_str(event.content_json()).unwrap();
        content.get(field).cloned()
    }

    pub(crate) fn membership(&self, state: &StateMap, user: &str) -> Option<Value> {
        self.content(state, &key("m.room.member", user), "membership")
    }

    /// Answers what a resolution wants, like storage would.
    pub(crate) fn gather(&self, wanted: &Wanted, unconflicted: &StateMap) -> Answers {
        let edges = wanted
            .edges
            .iter()
            .map(|hash| (*hash, self.edges[hash].clone()));
        let page = |asked: &CitersOf| {
            let all = self.citers.get(&asked.cited).map_or(&[][..], Vec::as_slice);
            let from = usize::try_from(asked.after.unwrap_or(0)).unwrap();
            let until = (from + CITERS_PER_PAGE).min(all.len());
            let next = (until < all.len()).then(|| u64::try_from(until).unwrap());
            (
                asked.cited,
                CitersPage {
                    citers: all[from..until].to_vec(),
                    next,
                },
            )
        };
        let entry = |key: &StateMapKey| (key.clone(), unconflicted.get(key).copied());
        Answers {
            edges: edges.collect(),
            citers: wanted.citers.iter().map(page).collect(),
            entries: wanted.entries.iter().map(entry).collect(),
            events: wanted
                .events
                .iter()
                .map(|hash| Arc::clone(&self.events[hash]))
                .collect(),
        }
    }

    pub(crate) fn resolve_by(
        &self,
        states: &[StateMap],
        ask_citers: bool,
        budget: Budget,
    ) -> Result<(StateMap, Resolved), ResolveError> {
        let (conflict, unconflicted) = Conflict::from_states(states);
        let source = if ask_citers {
            Unconflicted::Asked
        } else {
            Unconflicted::Listed(unconflicted.values().copied().collect())
        };
        let resolved = Resolution::new(self.rules, conflict, source, budget)?
            .run(|wanted| self.gather(wanted, &unconflicted))?;
        let mut state = unconflicted;
        for (key, value) in &resolved.changes {
            if let Some(hash) = value {
                state.insert(key.clone(), *hash);
            }
        }
        Ok((state, resolved))
    }

    /// Resolves by reduced input with either source, and checks that ruma makes the same of the
    /// whole states.
    pub(crate) fn resolve(&self, states: &[StateMap]) -> StateMap {
        let (listed, _) = self.resolve_by(states, false, Budget::default()).unwrap();
        let (asked, _) = self.resolve_by(states, true, Budget::default()).unwrap();
        let full = self.resolve_by_ruma(states);
        assert_eq!(listed, full, "reduced input against whole states");
        assert_eq!(asked, full, "reduced input by citers against whole states");
        full
    }

    pub(crate) fn auth_chain(
        &self,
        of: impl IntoIterator<Item = EventHash>,
    ) -> BTreeSet<EventHash> {
        let mut chain = BTreeSet::new();
        let mut open: Vec<_> = of.into_iter().collect();
        while let Some(hash) = open.pop() {
            for auth_event in &self.edges[&hash].auth_events {
                if chain.insert(*auth_event) {
                    open.push(*auth_event);
                }
            }
        }
        chain
    }

    /// ruma's algorithm, on whole states and whole auth chains.
    pub(crate) fn resolve_by_ruma(&self, states: &[StateMap]) -> StateMap {
        let id = |hash: &EventHash| hash.to_event_id(self.rules.alphabet());
        let fetch = |id: &EventId| {
            self.events
                .get(&EventHash::from_any_event_id(id).unwrap())
                .cloned()
        };
        let chain = |state: &StateMap| -> EventIdSet<OwnedEventId> {
            self.auth_chain(state.values().copied())
                .iter()
                .map(id)
                .collect()
        };
        let maps: Vec<HashMap<StateMapKey, OwnedEventId>> = states
            .iter()
            .map(|state| {
                state
                    .iter()
                    .map(|(key, hash)| (key.clone(), id(hash)))
                    .collect()
            })
            .collect();
        let subgraph = |conflicted: &HashMap<StateMapKey, Vec<OwnedEventId>>| {
            let conflicted: BTreeSet<_> = conflicted
                .values()
                .flatten()
                .map(|id| EventHash::from_any_event_id(id).unwrap())
                .collect();
            let below = self.auth_chain(conflicted.iter().copied());
            let leads = |hash: &&EventHash| {
                !self.auth_chain([**hash]).is_disjoint(&conflicted) || conflicted.contains(*hash)
            };
            Some(below.union(&conflicted).filter(leads).map(id).collect())
        };
        let resolved = ruma_state_res::resolve(
            self.rules.authorization(),
            self.rules.state_resolution(),
            &maps,
            states.iter().map(chain).collect(),
            fetch,
            subgraph,
        );
        let hash = |id: &OwnedEventId| EventHash::from_any_event_id(id).unwrap();
        resolved
            .unwrap()
            .iter()
            .map(|(key, id)| (key.clone(), hash(id)))
            .collect()
    }

    /// Every stored event that could be in a state at `at`.
    pub(crate) fn versions_of(&self, at: &StateMapKey) -> Vec<EventHash> {
        let sought = TimelineEventType::from(StateEventType::clone(&at.0));
        let is_it = |event: &&Arc<Pdu>| {
            *event.event_type() == sought && event.state_key() == Some(at.1.as_str())
        };
        self.events
            .values()
            .filter(is_it)
            .map(|event| event.hash())
            .collect()
    }
}
