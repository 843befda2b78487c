//! What the decisions over a room's events cost: resolving a thousand forks, notifying ten
//! thousand members.
//!
//! Run with `cargo bench -p belfry-event --bench decisions`. Gathering is from memory, so the
//! figures are those of computing. Ends in a panic if a resolution takes longer than
//! [`RESOLUTION_MAX`], or is not refused beyond its [`Budget`]. It knows nothing of storage.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use belfry_event::{
    Answers, AuthEdges, Budget, CitersPage, Conflict, EventHash, EventNotifier, Pdu, PushRoom,
    Resolution, ResolveError, Resolved, RoomRules, StateMap, StateMapKey, Step, Unconflicted,
    Wanted, auth_depth, auth_types,
};
use ruma_common::push::{AnyPushRuleRef, PushConditionRoomCtx, Ruleset};
use ruma_common::serde::Raw;
use ruma_common::{OwnedUserId, RoomVersionId, UserId, owned_room_id};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const ALICE: &str = "@alice:a";
const MEMBERS: usize = 1_000;
const CHAIN: usize = 10_000;
const FORKS: usize = 1_000;
/// The aim for one resolution.
const RESOLUTION_MAX: Duration = Duration::from_secs(1);

struct Room {
    rules: &'static RoomRules,
    id: String,
    events: HashMap<EventHash, Arc<Pdu>>,
    edges: HashMap<EventHash, AuthEdges>,
    citers: HashMap<EventHash, Vec<EventHash>>,
    now: u64,
}

fn key(event_type: &str, state_key: &str) -> StateMapKey {
    (event_type.into(), state_key.to_owned())
}

impl Room {
    fn new(version: &RoomVersionId) -> (Self, StateMap) {
        let rules = RoomRules::new(version).expect("the version is supported");
        let mut room = Self {
            rules,
            id: "!room:a".to_owned(),
            events: HashMap::new(),
            edges: HashMap::new(),
            citers: HashMap::new(),
            now: 0,
        };
        let content = json!({"creator": ALICE, "room_version": version});
        let mut state = StateMap::new();
        room.set(&mut state, ALICE, "m.room.create", "", &content);
        if rules.room_id_is_hash() {
            let create = state.values().next().expect("the room was created");
            room.id = create.to_room_id().to_string();
        }
        (room, state)
    }

    /// Sends a state event; the benchmark takes care that it is allowed.
    fn set(
        &mut self,
        state: &mut StateMap,
        by: &str,
        kind: &str,
        state_key: &str,
        content: &Value,
    ) {
        self.now += 1;
        let sender = <&UserId>::try_from(by).expect("a user ID");
        let raw = to_raw_value(content).expect("JSON");
        let types = auth_types(self.rules, &kind.into(), sender, Some(state_key), &raw)
            .expect("sound content");
        let cited: Vec<_> = types
            .iter()
            .filter_map(|key| state.get(key))
            .copied()
            .collect();
        let id = |hash: &EventHash| hash.to_event_id(self.rules.alphabet()).to_string();
        let mut event = json!({
            "room_id": self.id, "type": kind, "state_key": state_key, "sender": by,
            "content": content, "origin_server_ts": self.now, "depth": self.now,
            "prev_events": [], "auth_events": cited.iter().map(id).collect::<Vec<_>>(),
        });
        if kind == "m.room.create" && self.rules.room_id_is_hash() {
            event.as_object_mut().expect("an object").remove("room_id");
        }
        let text = event.to_string();
        let hash = EventHash::from(<[u8; 32]>::from(Sha256::digest(&text)));
        let pdu = Pdu::from_stored(self.rules, hash, text.as_bytes()).expect("a sound event");
        let edges = AuthEdges {
            key: key(kind, state_key),
            auth_depth: auth_depth(cited.iter().map(|hash| self.edges[hash].auth_depth)),
            auth_events: cited,
        };
        for auth_event in &edges.auth_events {
            self.citers.entry(*auth_event).or_default().insert(0, hash);
        }
        self.edges.insert(hash, edges);
        self.events.insert(hash, Arc::new(pdu));
        state.insert(key(kind, state_key), hash);
    }

    fn gather(&self, wanted: &Wanted, unconflicted: &StateMap) -> Answers {
        let edges = |hash: &EventHash| (*hash, self.edges[hash].clone());
        let page = |cited: EventHash| {
            let citers = self.citers.get(&cited).map_or(&[][..], Vec::as_slice);
            let citers = citers.iter().take(64).copied().collect();
            (cited, CitersPage { citers, next: None })
        };
        let entry = |key: &StateMapKey| (key.clone(), unconflicted.get(key).copied());
        Answers {
            edges: wanted.edges.iter().map(edges).collect(),
            citers: wanted
                .citers
                .iter()
                .map(|asked| page(asked.cited))
                .collect(),
            entries: wanted.entries.iter().map(entry).collect(),
            events: wanted
                .events
                .iter()
                .map(|hash| Arc::clone(&self.events[hash]))
                .collect(),
        }
    }
}

fn member(n: usize) -> String {
    format!("@member{n}:server{}", n % 50)
}

/// A room whose auth chain has [`CHAIN`] events: members who join and change their names, and an
/// admin who keeps changing the power levels. Also its state as of an early day.
fn old_room(version: &RoomVersionId) -> (Room, StateMap, StateMap) {
    let (mut room, mut state) = Room::new(version);
    let levels = |step: usize| {
        let mut levels = json!({"users": {}, "ban": step % 50, "events": {"m.room.topic": 0}});
        if !RoomRules::new(version)
            .expect("supported")
            .room_id_is_hash()
        {
            levels["users"][ALICE] = 100.into();
        }
        levels
    };
    room.set(
        &mut state,
        ALICE,
        "m.room.member",
        ALICE,
        &json!({"membership": "join"}),
    );
    room.set(&mut state, ALICE, "m.room.power_levels", "", &levels(0));
    room.set(
        &mut state,
        ALICE,
        "m.room.join_rules",
        "",
        &json!({"join_rule": "public"}),
    );
    let mut early = state.clone();
    let mut step = 0;
    while room.events.len() < CHAIN {
        if step % 10 == 9 {
            room.set(&mut state, ALICE, "m.room.power_levels", "", &levels(step));
        } else {
            let user = member(step % MEMBERS);
            let content = json!({"membership": "join", "displayname": step.to_string()});
            room.set(&mut state, &user, "m.room.member", &user, &content);
        }
        step += 1;
        if step == MEMBERS {
            early = state.clone();
        }
    }
    (room, state, early)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn resolve(room: &Room, states: &[StateMap], source: Option<Unconflicted>) -> (Resolved, usize) {
    let (conflict, unconflicted) = Conflict::from_states(states);
    let source =
        source.unwrap_or_else(|| Unconflicted::Listed(unconflicted.values().copied().collect()));
    let began = Instant::now();
    let mut resolution =
        Resolution::new(room.rules, conflict, source, Budget::default()).expect("few enough forks");
    let mut answers = Answers::default();
    let mut steps = 0;
    loop {
        match resolution
            .step(answers)
            .expect("all is there and within the budget")
        {
            Step::Gather(wanted) => answers = room.gather(&wanted, &unconflicted),
            Step::Done(resolved) => {
                let took = began.elapsed();
                assert!(took < RESOLUTION_MAX, "{took:?} for one resolution");
                println!(
                    "    {took:?} in {steps} steps, {} events replayed, {} refused",
                    resolved.replayed,
                    resolved.refused.len()
                );
                return (resolved, steps);
            }
        }
        steps += 1;
    }
}

/// How soon a resolution that needs more than its budget is refused: with nothing, not in part.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn refuse(room: &Room, states: &[StateMap]) {
    let (conflict, unconflicted) = Conflict::from_states(states);
    let budget = Budget {
        edges_max: CHAIN / 10,
        citers_max: CHAIN / 10,
        events_max: CHAIN / 10,
    };
    let began = Instant::now();
    let resolution = Resolution::new(room.rules, conflict, Unconflicted::Asked, budget);
    let mut resolution = resolution.expect("few enough forks");
    let mut answers = Answers::default();
    let error = loop {
        match resolution.step(answers) {
            Ok(Step::Gather(wanted)) => answers = room.gather(&wanted, &unconflicted),
            Ok(Step::Done(resolved)) => panic!("resolved beyond its budget: {resolved:?}"),
            Err(error) => break error,
        }
    };
    let refused = matches!(error, ResolveError::BudgetExceeded { .. });
    assert!(refused, "{error}");
    println!(
        "   with a tenth of the budget, refused in {:?}: {error}",
        began.elapsed()
    );
}

fn measure_resolution(version: &RoomVersionId) {
    let (mut room, state, early) = old_room(version);
    println!(
        "version {version}: an auth chain of {} events",
        room.events.len()
    );
    let mut shallow: Vec<StateMap> = Vec::new();
    for n in 0..FORKS {
        let mut fork = state.clone();
        let topic = json!({"topic": n.to_string()});
        // Every tenth step is the admin's, so every tenth member never joined.
        let joined = member((n % MEMBERS) / 9 * 10 % MEMBERS + n % 9);
        room.set(&mut fork, &joined, "m.room.topic", "", &topic);
        shallow.push(fork);
    }
    println!("  {FORKS} forks, each with a topic of its own");
    println!("   by citers:");
    let (by_citers, _) = resolve(&room, &shallow, Some(Unconflicted::Asked));
    println!("   by all unconflicted entries:");
    let (listed, _) = resolve(&room, &shallow, None);
    assert_eq!(by_citers.changes, listed.changes, "both sources agree");
    let mut deep = shallow;
    for (n, fork) in deep.iter_mut().enumerate().take(FORKS / 2) {
        // Half the forks have the room as it was long ago, but for a topic.
        let topic = key("m.room.topic", "");
        let value = fork[&topic];
        *fork = early.clone();
        fork.insert(topic, value);
        fork.retain(|(_, state_key), _| *state_key != member(n % 7));
    }
    println!("  {FORKS} forks, half of them with nearly all of the chain in difference");
    println!("   by citers:");
    let (by_citers, _) = resolve(&room, &deep, Some(Unconflicted::Asked));
    println!("   by all unconflicted entries:");
    let (listed, _) = resolve(&room, &deep, None);
    assert_eq!(by_citers.changes, listed.changes, "both sources agree");
    refuse(&room, &deep);
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("push rules wait for nothing"),
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn measure_notifications() {
    let members: Vec<(OwnedUserId, Ruleset)> = (0..10_000)
        .map(|n| UserId::parse(member(n)).expect("a user ID"))
        .map(|user| (user.clone(), Ruleset::server_default(&user)))
        .collect();
    let event = json!({
        "type": "m.room.message", "sender": ALICE, "event_id": "$1", "origin_server_ts": 1,
        "content": {"msgtype": "m.text", "body": "a message of a usual length, to everybody"},
    });
    let event = to_raw_value(&event).expect("JSON");
    let room = PushRoom {
        room_id: owned_room_id!("!room:a"),
        member_count: 10_000,
        power_levels: None,
    };
    let began = Instant::now();
    let mut notifier = EventNotifier::new(&event, room.clone()).expect("a sound event");
    let count = members
        .iter()
        .filter(|(user, rules)| notifier.notification(user, "Member", rules).notifies())
        .count();
    println!("10,000 members notified in {:?}", began.elapsed());
    let raw: Raw<Value> = Raw::from_json(event);
    let began = Instant::now();
    let by_ruma = members.iter().filter(|(user, rules)| {
        let name = "Member".to_owned();
        let context = PushConditionRoomCtx::new(
            room.room_id.clone(),
            room.member_count.into(),
            user.clone(),
            name,
        );
        at_once(rules.get_match(&raw, &context)).is_some_and(AnyPushRuleRef::triggers_notification)
    });
    assert_eq!(by_ruma.count(), count, "ruma notifies as many");
    println!(
        "  one by one through ruma's Ruleset in {:?}",
        began.elapsed()
    );
}

fn main() {
    measure_notifications();
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        measure_resolution(&version);
    }
}
