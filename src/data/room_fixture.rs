//! A room as tests need one: real events, planned and committed as a worker would.

use std::{collections::BTreeMap, sync::Arc};

use belfry_event::{
    Budget, Draft, EventHash, Pdu, RoomRules, SigningKey, auth_depth, auth_types,
    check_state_dependent,
};
use belfry_kv::{Engine, Memory, Snapshot};
use ruma_common::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, RoomVersionId, ServerName, UserId, room_id,
    server_name,
};
use serde_json::value::RawValue;

use crate::{
    Acceptance, Before, CURRENT_CHANGES_MAX, Change, CurrentRow, CurrentState, EntryChange,
    MemberCounts, Membership, NewEvent, Place, Planned, PlannedEvent, RoomHead, RoomReader,
    RoomWrites, Root, WorkingSet, resolution::state_tuple, state_map_key,
};

pub(crate) const ALICE: &str = "@alice:example.org";

pub(crate) fn local() -> &'static ServerName {
    server_name!("example.org")
}

pub(crate) struct TestRoom {
    pub(crate) engine: Arc<Memory>,
    pub(crate) rules: &'static RoomRules,
    pub(crate) room: OwnedRoomId,
    pub(crate) set: WorkingSet,
    pub(crate) head: Option<RoomHead>,
    pub(crate) events: BTreeMap<EventHash, Known>,
    /// Being committed.
    planned: Option<Known>,
    now_ts: u32,
}

/// An event of the room, and the state after it.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) pdu: Arc<Pdu>,
    pub(crate) auth_depth: u64,
    pub(crate) after: Root,
}

impl Known {
    fn planned(&self) -> (EventHash, PlannedEvent) {
        let event = PlannedEvent {
            pdu: Arc::clone(&self.pdu),
            auth_depth: self.auth_depth,
        };
        (self.pdu.hash(), event)
    }
}

/// What an event is to say.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) sender: &'a str,
    pub(crate) event_type: &'a str,
    pub(crate) state_key: Option<&'a str>,
    pub(crate) content: &'a str,
}

pub(crate) fn message(body: &str) -> String {
    format!(r#"{{"body":"{body}","msgtype":"m.text"}}"#)
}

impl TestRoom {
    /// A room that Alice created and in which everybody may join.
    pub(crate) async fn new(engine: Arc<Memory>) -> Self {
        let mut room = Self {
            engine,
            rules: RoomRules::new(&RoomVersionId::V11).unwrap(),
            room: room_id!("!room:example.org").to_owned(),
            set: WorkingSet::new(),
            head: None,
            events: BTreeMap::new(),
            planned: None,
            now_ts: 1_000_000,
        };
        room.state("m.room.create", "", r#"{"room_version":"11"}"#)
            .await;
        room.join(ALICE).await;
        let levels = r#"{"users":{"@alice:example.org":100}}"#;
        room.state("m.room.power_levels", "", levels).await;
        room.state("m.room.join_rules", "", r#"{"join_rule":"public"}"#)
            .await;
        room
    }

    /// A state event by Alice.
    pub(crate) async fn state(&mut self, event_type: &str, key: &str, content: &str) -> EventHash {
        self.say(Said {
            sender: ALICE,
            event_type,
            state_key: Some(key),
            content,
        })
        .await
    }

    pub(crate) async fn join(&mut self, user: &str) -> EventHash {
        self.member(user, user, "join").await
    }

    pub(crate) async fn member(&mut self, by: &str, user: &str, membership: &str) -> EventHash {
        let content = format!(r#"{{"membership":"{membership}"}}"#);
        self.say(Said {
            sender: by,
            event_type: "m.room.member",
            state_key: Some(user),
            content: &content,
        })
        .await
    }

    pub(crate) async fn message(&mut self, body: &str) -> EventHash {
        let content = message(body);
        self.say(Said {
            sender: ALICE,
            event_type: "m.room.message",
            state_key: None,
            content: &content,
        })
        .await
    }

    /// An event at the end of the room.
    pub(crate) async fn say(&mut self, said: Said<'_>) -> EventHash {
        let prev = self.head.as_ref().map(|head| head.extremities.clone());
        self.say_after(&prev.unwrap_or_default(), said).await
    }

    /// An event that follows these, wherever they are.
    pub(crate) async fn say_after(&mut self, prev: &[EventHash], said: Said<'_>) -> EventHash {
        let (known, before) = self.plan(prev, said).await;
        let hash = known.pdu.hash();
        self.planned = Some(known.clone());
        self.events.insert(hash, known);
        self.commit(hash, before).await;
        self.planned = None;
        hash
    }

    /// Builds an event and the states around it, without storing it.
    pub(crate) async fn plan(&mut self, prev: &[EventHash], said: Said<'_>) -> (Known, Root) {
        let before = self.resolved(prev).await;
        let pdu = Arc::new(self.draft(prev, before, said));
        let allowed = check_state_dependent(&pdu, |event_type, key| {
            let tuple = state_tuple(&(event_type.clone(), key.to_owned()))?;
            let hash = self.set.get(before, &tuple).unwrap()?;
            Some(Arc::clone(&self.events[&hash].pdu))
        });
        assert!(allowed.is_accept(), "{allowed:?}");
        let after = match said.state_key {
            Some(key) => {
                let tuple = crate::StateTuple::new(said.event_type, key).unwrap();
                self.set.set(before, tuple, pdu.hash()).unwrap()
            }
            None => before,
        };
        let depths = pdu
            .auth_hashes()
            .iter()
            .map(|hash| self.events[hash].auth_depth);
        let auth_depth = auth_depth(depths);
        let known = Known {
            pdu,
            auth_depth,
            after,
        };
        (known, before)
    }

    fn draft(&mut self, prev: &[EventHash], before: Root, said: Said<'_>) -> Pdu {
        self.now_ts += 1;
        let sender = <&UserId>::try_from(said.sender).unwrap();
        let content: Box<RawValue> = serde_json::from_str(said.content).unwrap();
        let event_type = said.event_type.into();
        let keys = auth_types(self.rules, &event_type, sender, said.state_key, &content).unwrap();
        let auth = keys.iter().filter_map(|key| {
            let tuple = state_tuple(key)?;
            self.set.get(before, &tuple).unwrap()
        });
        let auth_events: Vec<_> = auth.collect();
        let depth = prev.iter().map(|hash| self.events[hash].pdu.depth()).max();
        let draft = Draft {
            rules: self.rules,
            room_id: Some(&self.room),
            sender,
            event_type: said.event_type,
            state_key: said.state_key,
            content: said.content,
            redacts: None,
            prev_events: prev,
            auth_events: &auth_events,
            depth: depth.unwrap_or(0) + 1,
            origin_server_ts: MilliSecondsSinceUnixEpoch(self.now_ts.into()),
        };
        let key = SigningKey::from_seed(&[7; 32], "1").unwrap();
        draft.sign(sender.server_name(), &key).unwrap()
    }

    async fn resolved(&mut self, prev: &[EventHash]) -> Root {
        let after: Vec<_> = prev.iter().map(|hash| self.events[hash].after).collect();
        let snapshot = self.engine.snapshot().await.unwrap();
        let reader = RoomReader::new(&*snapshot, &self.room);
        let planned: Planned = self.planned.iter().map(Known::planned).collect();
        reader
            .resolve(
                &mut self.set,
                self.rules,
                &after,
                &planned,
                Budget::default(),
            )
            .await
            .unwrap()
    }

    async fn commit(&mut self, hash: EventHash, before: Root) {
        let known = self.events[&hash].clone();
        let mut head = self.next_head(&known.pdu);
        let prev_state = self.head.as_ref().map_or(Root::EMPTY, |head| head.state);
        let extremities = head.extremities.clone();
        head.state = self.resolved(&extremities).await;
        let changes = self
            .set
            .diff(prev_state, head.state, CURRENT_CHANGES_MAX)
            .unwrap();
        let changes: Vec<_> = changes
            .into_iter()
            .map(|change| self.entry(change))
            .collect();
        for change in &changes {
            let after = change.after.and_then(|row| row.membership);
            if let CurrentState::Rows { members, .. } = &mut head.current {
                *members = members.after(change.before, after);
            }
        }
        let seen = self.head.take();
        let seen = seen.as_ref().map_or(Before::New, Before::Planned);
        let mut writes = RoomWrites::new(local(), &self.room, seen, head.rows());
        writes.event(&NewEvent {
            pdu: &known.pdu,
            place: Place::New(before),
            acceptance: Acceptance::Accepted,
            auth_depth: known.auth_depth,
            received_ts: self.now_ts.into(),
            known: false,
        });
        for change in &changes {
            writes.entry(change);
        }
        let roots: Vec<_> = self.events.values().map(|known| known.after).collect();
        writes.nodes(self.set.take_writes(&roots));
        self.engine
            .commit(writes.finish(&head).unwrap())
            .await
            .unwrap();
        self.head = Some(head);
    }

    fn next_head(&self, pdu: &Pdu) -> RoomHead {
        let first = RoomHead {
            room_version: "11".into(),
            sequence: 0,
            extremities: Vec::new(),
            depth: 0,
            state: Root::EMPTY,
            current: CurrentState::Rows {
                epoch: 1,
                members: MemberCounts::default(),
            },
        };
        let mut head = self.head.as_ref().unwrap_or(&first).successor();
        head.extremities
            .retain(|hash| !pdu.prev_hashes().contains(hash));
        head.extremities.push(pdu.hash());
        head.extremities.sort();
        head.depth = head.depth.max(pdu.depth());
        head
    }

    fn entry(&self, change: Change) -> EntryChange {
        let row = |event: EventHash| CurrentRow {
            event,
            membership: (change.tuple.event_type() == "m.room.member")
                .then(|| Membership::from_content(self.events[&event].pdu.content_json()))
                .flatten(),
        };
        EntryChange {
            before: change.before.and_then(|event| row(event).membership),
            after: change.after.map(row),
            tuple: change.tuple,
        }
    }

    pub(crate) async fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.engine.snapshot().await.unwrap()
    }

    /// The whole state after an event, as the event rules have it.
    pub(crate) fn state_after(&self, hash: EventHash) -> belfry_event::StateMap {
        let entries = self
            .set
            .entries(self.events[&hash].after, usize::MAX)
            .unwrap();
        let entries = entries.into_iter();
        entries
            .map(|entry| (state_map_key(&entry.tuple), entry.event))
            .collect()
    }
}
