//! A room whose graph a test draws itself: forks, merges and gaps, as other servers make them.
//!
//! States are merged by a rule that is easy to foresee, not by the specification's: of two events for
//! one entry the one that the merge names first wins. Readers take whatever state the head names.

use std::{collections::BTreeMap, sync::Arc};

use belfry_data::{
    Acceptance, Before, CURRENT_CHANGES_MAX, Change, CurrentRow, CurrentState, EntryChange,
    MemberCounts, Membership, NewEvent, Place, RoomHead, RoomWrites, Root, StateTuple, WorkingSet,
};
use belfry_event::{Draft, EventHash, Pdu, RoomRules, SigningKey};
use belfry_kv::{Engine, Memory};
use ruma_common::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, RoomVersionId, UserId, room_id, user_id,
};

use crate::fixture::{START_MS, alice, local};

/// Somebody of another server.
pub(crate) fn remote() -> &'static UserId {
    user_id!("@remote:y.example")
}

pub(crate) struct Graph {
    engine: Arc<Memory>,
    rules: &'static RoomRules,
    pub(crate) room: OwnedRoomId,
    set: WorkingSet,
    head: Option<RoomHead>,
    /// By arrival: those that no event refers to.
    pub(crate) tips: Vec<EventHash>,
    events: BTreeMap<EventHash, (Pdu, Root)>,
    time_ms: u64,
}

impl Graph {
    /// A room with Alice and a remote user.
    pub(crate) async fn new(engine: Arc<Memory>) -> Self {
        let mut graph = Self {
            engine,
            rules: RoomRules::new(&RoomVersionId::V11).unwrap(),
            room: room_id!("!graph:x.example").to_owned(),
            set: WorkingSet::new(),
            head: None,
            tips: Vec::new(),
            events: BTreeMap::new(),
            time_ms: START_MS,
        };
        graph
            .state("m.room.create", "", "{\"room_version\":\"11\"}")
            .await;
        for user in [alice(), remote()] {
            let content = "{\"membership\":\"join\"}";
            graph.state("m.room.member", user.as_str(), content).await;
        }
        graph
    }

    /// A state event at the end of the room.
    pub(crate) async fn state(&mut self, kind: &str, key: &str, content: &str) -> EventHash {
        let prev = self.tips.clone();
        self.say(&prev, kind, Some(key), content, &[]).await
    }

    /// An event of the remote user (at first of Alice) that follows these, of which the first wins,
    /// and refers to `missing` besides.
    pub(crate) async fn say(
        &mut self,
        prev: &[EventHash],
        kind: &str,
        key: Option<&str>,
        content: &str,
        missing: &[EventHash],
    ) -> EventHash {
        let before = self.merged(prev);
        let pdu = self.draft(&[prev, missing].concat(), prev, kind, key, content);
        let after = match key {
            Some(key) => {
                let tuple = StateTuple::new(kind, key).unwrap();
                self.set.set(before, tuple, pdu.hash()).unwrap()
            }
            None => before,
        };
        let hash = pdu.hash();
        self.events.insert(hash, (pdu, after));
        self.tips.retain(|tip| !prev.contains(tip));
        self.tips.push(hash);
        self.commit(hash, before, missing).await;
        hash
    }

    /// Makes the room one of a version that nobody knows.
    pub(crate) async fn damage(&mut self) {
        let old = self.head.take().unwrap();
        let mut head = old.successor();
        head.room_version = "damaged".into();
        let writes = RoomWrites::new(local(), &self.room, Before::Planned(&old), head.rows());
        let commit = writes.finish(&head).unwrap();
        self.engine.commit(commit).await.unwrap();
        self.head = Some(head);
    }

    /// The event ID.
    pub(crate) fn id(&self, event: EventHash) -> String {
        event.to_event_id(self.rules.alphabet()).to_string()
    }

    /// The current state: event IDs by type and state key.
    pub(crate) fn current(&self) -> BTreeMap<(String, String), String> {
        let state = self.head.as_ref().unwrap().state;
        let entries = self
            .set
            .entries(state, CURRENT_CHANGES_MAX)
            .unwrap()
            .into_iter();
        let named = |tuple: &StateTuple| {
            let (kind, key) = (tuple.event_type(), tuple.state_key());
            (kind.to_owned(), key.to_owned())
        };
        entries
            .map(|entry| (named(&entry.tuple), self.id(entry.event)))
            .collect()
    }

    fn merged(&mut self, prev: &[EventHash]) -> Root {
        let mut roots = prev.iter().map(|event| self.events[event].1);
        let first = roots.next().unwrap_or(Root::EMPTY);
        let others: Vec<_> = roots.collect();
        others.into_iter().fold(first, |merged, other| {
            let changes = self.set.diff(merged, other, CURRENT_CHANGES_MAX).unwrap();
            let lacking = changes.into_iter().filter(|change| change.before.is_none());
            let lacking = lacking.map(|change| (change.tuple, change.after)).collect();
            self.set.apply(merged, &lacking).unwrap()
        })
    }

    fn draft(
        &mut self,
        prev_events: &[EventHash],
        known: &[EventHash],
        kind: &str,
        key: Option<&str>,
        content: &str,
    ) -> Pdu {
        self.time_ms += 1;
        let sender = if self.events.len() < 2 {
            alice()
        } else {
            remote()
        };
        let depths = known.iter().map(|event| self.events[event].0.depth());
        let draft = Draft {
            rules: self.rules,
            room_id: Some(&self.room),
            sender,
            event_type: kind,
            state_key: key,
            content,
            redacts: None,
            prev_events,
            auth_events: &[],
            depth: depths.max().unwrap_or_default() + 1,
            origin_server_ts: MilliSecondsSinceUnixEpoch(self.time_ms.try_into().unwrap()),
        };
        let signing = SigningKey::from_seed(&[7; 32], "1").unwrap();
        draft.sign(sender.server_name(), &signing).unwrap()
    }

    async fn commit(&mut self, hash: EventHash, before: Root, missing: &[EventHash]) {
        let pdu = self.events[&hash].0.clone();
        let old = self.head.take();
        let mut head = self.next_head(old.as_ref(), &pdu);
        let changes = self.set.diff(
            old.as_ref().map_or(Root::EMPTY, |old| old.state),
            head.state,
            CURRENT_CHANGES_MAX,
        );
        let changes: Vec<_> = changes
            .unwrap()
            .into_iter()
            .map(|one| self.entry(one))
            .collect();
        let seen = old.as_ref().map_or(Before::New, Before::Planned);
        let mut writes = RoomWrites::new(local(), &self.room, seen, head.rows());
        writes.event(&NewEvent {
            pdu: &pdu,
            place: Place::New(before),
            acceptance: Acceptance::Accepted,
            auth_depth: 0,
            received_ts: self.time_ms,
            known: false,
        });
        for change in &changes {
            writes.entry(change);
            let after = change.after.and_then(|row| row.membership);
            if let CurrentState::Rows { members, .. } = &mut head.current {
                *members = members.after(change.before, after);
            }
        }
        for event in missing {
            writes.open_gap(*event, pdu.depth());
        }
        let mut roots: Vec<_> = self.events.values().map(|(_, after)| *after).collect();
        roots.extend([before, head.state]);
        writes.nodes(self.set.take_writes(&roots));
        let commit = writes.finish(&head).unwrap();
        self.engine.commit(commit).await.unwrap();
        self.head = Some(head);
    }

    fn next_head(&mut self, old: Option<&RoomHead>, pdu: &Pdu) -> RoomHead {
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
        let tips = self.tips.clone();
        let mut head = old.unwrap_or(&first).successor();
        head.state = self.merged(&tips);
        head.extremities = tips;
        head.extremities.sort();
        head.depth = head.depth.max(pdu.depth());
        head
    }

    fn entry(&self, change: Change) -> EntryChange {
        let is_member = change.tuple.event_type() == "m.room.member";
        let row = |event: EventHash| {
            let membership = Membership::from_content(self.events[&event].0.content_json());
            CurrentRow {
                event,
                membership: membership.filter(|_| is_member),
            }
        };
        EntryChange {
            before: change.before.and_then(|event| row(event).membership),
            after: change.after.map(row),
            tuple: change.tuple,
        }
    }
}
