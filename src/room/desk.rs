//! A room in memory, and planning the next event of it.
//!
//! It exists so that planning is pure: the head, the part of the state that was gathered and the
//! events looked up are all here; what is missing is named ([`Stop::Need`]), gathered by the
//! worker, and the plan is made again. It knows no storage and sends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use belfry_data::{
    Acceptance, Before, CurrentRow, CurrentState, EntryChange, MemberCounts, Place, RoomHead, Root,
    Seen, StateError, StateTuple, WorkingSet,
};
use belfry_event::{
    Draft, DraftError, EventHash, POLICY_TYPE, PREV_EVENTS_MAX, Pdu, PolicyServer, RoomRules,
    StateMapKey, Verdict, auth_depth, auth_events_needed, check_state_dependent,
    check_state_independent, may_redact_others, state_needed,
};
use ruma_common::{MilliSecondsSinceUnixEpoch, OwnedRoomId, UserId};
use ruma_events::{StateEventType, TimelineEventType};

use crate::annotation;
use crate::change::{Change, Fit, MemberAct, Membership};
use crate::error::RoomError;
use crate::rooms::Identity;
use crate::shape::{Shape, membership_of, says, tuple};

/// Events that a desk holds between batches; with more, it starts anew.
pub(crate) const SHELF_EVENTS_MAX: usize = 1_024;

/// An event with what storage knows of it.
#[derive(Debug, Clone)]
pub(crate) struct Shelved {
    pub(crate) pdu: Arc<Pdu>,
    pub(crate) auth_depth: u64,
}

/// A room as its worker sees it: as it will be once everything planned is committed.
pub(crate) struct Desk {
    pub(crate) room_id: OwnedRoomId,
    pub(crate) rules: &'static RoomRules,
    pub(crate) head: RoomHead,
    pub(crate) working: WorkingSet,
    /// What the next commit follows.
    pub(crate) known: Known,
    shelf: BTreeMap<EventHash, Shelved>,
    /// Annotations planned of late: some are not in the database yet.
    pub(crate) annotations: annotation::Planned,
}

/// The head that the next commit follows.
pub(crate) enum Known {
    /// None: the room is new.
    New,
    /// It was read.
    Read(Seen<RoomHead>),
    /// It was planned last; its commit is under way or done.
    Planned(RoomHead),
}

impl Known {
    pub(crate) fn before(&self) -> Before<'_> {
        match self {
            Self::New => Before::New,
            Self::Read(seen) => Before::Read(seen),
            Self::Planned(head) => Before::Planned(head),
        }
    }
}

/// What is not on the desk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// The state's entry of this tuple, or nodes on the way to it.
    Entry(StateTuple),
    /// This event, which the state names.
    Event(EventHash),
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Gather this, then plan again.
    Need(Need),
    /// It is not to be done.
    Refuse(RoomError),
}

impl From<RoomError> for Stop {
    fn from(error: RoomError) -> Self {
        Self::Refuse(error)
    }
}

/// What came of a change.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// A new event.
    New(Box<Planned>),
    /// Nothing is left to change: this event says it already.
    Present(EventHash),
}

/// An event that is to be committed, with its place in the room.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) pdu: Arc<Pdu>,
    pub(crate) auth_depth: u64,
    pub(crate) place: Place,
    pub(crate) acceptance: Acceptance,
    /// Whether it is stored as an outlier so far.
    pub(crate) known: bool,
    /// When this server got it; `None` if that is now.
    pub(crate) received_ts: Option<u64>,
    /// The redaction that applies to it, if one came before.
    pub(crate) redacted_by: Option<EventHash>,
    /// What it changes in the current state.
    pub(crate) sets: Vec<EntryChange>,
}

impl Planned {
    /// The state before it, if its place is known.
    pub(crate) fn state_before(&self) -> Option<Root> {
        match self.place {
            Place::New(root) | Place::Backfilled(root) => Some(root),
            Place::Outlier => None,
        }
    }
}

impl Desk {
    /// A room that has no event yet.
    pub(crate) fn blank(room_id: OwnedRoomId, rules: &'static RoomRules) -> Self {
        let head = RoomHead {
            room_version: rules.version().as_str().into(),
            sequence: 0,
            extremities: Vec::new(),
            depth: 0,
            state: Root::EMPTY,
            current: CurrentState::Rows {
                epoch: 0,
                members: MemberCounts::default(),
            },
        };
        Self::new(room_id, rules, head)
    }

    pub(crate) fn new(room_id: OwnedRoomId, rules: &'static RoomRules, head: RoomHead) -> Self {
        let (working, shelf) = (WorkingSet::new(), BTreeMap::new());
        Self {
            room_id,
            rules,
            head,
            working,
            known: Known::New,
            shelf,
            annotations: annotation::Planned::new(),
        }
    }

    /// Puts an event on the shelf.
    pub(crate) fn shelve(&mut self, event: Shelved) {
        self.shelf.insert(event.pdu.hash(), event);
    }

    /// Whether an event is on the shelf.
    pub(crate) fn holds(&self, hash: EventHash) -> bool {
        self.shelf.contains_key(&hash)
    }

    /// Makes room for the next batches. Only between commits: what is planned and not committed
    /// can be gathered nowhere else.
    pub(crate) fn tidy(&mut self, state_bytes_max: usize) {
        self.working.shrink(state_bytes_max);
        if self.shelf.len() > SHELF_EVENTS_MAX {
            self.shelf.clear();
        }
        if self.annotations.len() > annotation::REMEMBERED_MAX {
            self.annotations.clear();
        }
    }

    /// The tuples that planning this change will most likely ask for, so that they are gathered in
    /// one go with those of other changes.
    pub(crate) fn foresee(&self, sender: &UserId, change: &Change) -> BTreeSet<StateTuple> {
        let Ok(shape) = Shape::of(change) else {
            return BTreeSet::new();
        };
        let mut keys = shape.auth_keys(self.rules, sender).unwrap_or_default();
        keys.push((StateEventType::RoomCreate, String::new()));
        keys.push((POLICY_TYPE.into(), String::new()));
        let auth = keys.iter().map(|(kind, key)| tuple(kind, key));
        auth.chain(shape.state_tuple())
            .filter_map(Result::ok)
            .collect()
    }

    /// The event that the state has for the tuple.
    pub(crate) fn entry(&self, tuple: &StateTuple) -> Result<Option<EventHash>, Stop> {
        match self.working.get(self.head.state, tuple) {
            Ok(found) => Ok(found),
            Err(StateError::Missing(_)) => Err(Stop::Need(Need::Entry(tuple.clone()))),
            Err(error) => Err(Stop::Refuse(RoomError::Fault(error.to_string()))),
        }
    }

    fn state(&self, tuple: &StateTuple) -> Result<Option<&Shelved>, Stop> {
        let Some(hash) = self.entry(tuple)? else {
            return Ok(None);
        };
        self.shelf
            .get(&hash)
            .map(Some)
            .ok_or(Stop::Need(Need::Event(hash)))
    }

    /// Plans one change on top of everything planned before. On [`Stop`], nothing has changed.
    pub(crate) fn plan(
        &mut self,
        identity: &Identity,
        sender: &UserId,
        change: &Change,
        timestamp: MilliSecondsSinceUnixEpoch,
    ) -> Result<Outcome, Stop> {
        let event = match self.compose(identity, sender, change, timestamp)? {
            Ok(event) => event,
            Err(present) => return Ok(Outcome::Present(present)),
        };
        let prev_events = self.prev_events();
        Ok(Outcome::New(Box::new(self.place(event, &prev_events)?)))
    }

    /// The event that the change leads to, signed and without its place in the room; or the one
    /// that says it already.
    pub(crate) fn compose(
        &self,
        identity: &Identity,
        sender: &UserId,
        change: &Change,
        timestamp: MilliSecondsSinceUnixEpoch,
    ) -> Result<Result<Shelved, EventHash>, Stop> {
        let shape = match self.shape(sender, change)? {
            Ok(shape) => shape,
            Err(present) => return Ok(Err(present)),
        };
        let event = self.draft(sender, &shape, timestamp, |draft| {
            draft.sign(&identity.server_name, &identity.key)
        })?;
        Ok(Ok(event))
    }

    /// The policy server that the state names, whether it is in the room or not.
    pub(crate) fn policy_server(&self) -> Result<Option<PolicyServer>, Stop> {
        let policy = self.state(&tuple(&POLICY_TYPE.into(), "")?)?;
        Ok(policy.and_then(|policy| PolicyServer::of(&policy.pdu)))
    }

    /// The event that a user of another server is to complete and sign, if it would be allowed.
    pub(crate) fn template(
        &self,
        sender: &UserId,
        change: &Change,
        timestamp: MilliSecondsSinceUnixEpoch,
    ) -> Result<Pdu, Stop> {
        let shape = Shape::of(change)?;
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method by its name is of one lifetime only"
        )]
        let event = self.draft(sender, &shape, timestamp, |draft| draft.template())?;
        Ok((*event.pdu).clone())
    }

    /// The event at the end of the room, allowed.
    fn draft(
        &self,
        sender: &UserId,
        shape: &Shape,
        timestamp: MilliSecondsSinceUnixEpoch,
        finish: impl FnOnce(&Draft<'_>) -> Result<Pdu, DraftError>,
    ) -> Result<Shelved, Stop> {
        let keys = shape.auth_keys(self.rules, sender)?;
        let auth = self.look_up(&keys)?;
        let cited: Vec<EventHash> = auth.iter().map(|(_, event)| event.pdu.hash()).collect();
        let draft = Draft {
            rules: self.rules,
            room_id: Some(&self.room_id),
            sender,
            event_type: &shape.kind.to_string(),
            state_key: shape.state_key.as_deref(),
            content: shape.content.get(),
            redacts: shape.redacts.as_deref(),
            prev_events: &self.prev_events(),
            auth_events: &cited,
            depth: self.head.depth.saturating_add(1),
            origin_server_ts: timestamp,
        };
        let pdu = finish(&draft).map_err(RoomError::from)?;
        let depth = auth_depth(auth.iter().map(|(_, event)| event.auth_depth));
        let event = Shelved {
            pdu: Arc::new(pdu),
            auth_depth: depth,
        };
        self.authorise(&event.pdu)?;
        Ok(event)
    }

    /// The first event of the room: allowed by its form alone.
    pub(crate) fn plan_create(&mut self, create: Arc<Pdu>) -> Result<Planned, Stop> {
        let verdict = check_state_independent(&create, |_| None)
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        if let Verdict::Reject(rejection) = verdict {
            return Err(Stop::Refuse(RoomError::InvalidRoomState(
                rejection.to_string(),
            )));
        }
        self.place(
            Shelved {
                pdu: create,
                auth_depth: auth_depth([]),
            },
            &[],
        )
    }

    /// Both checks of the authorisation rules, against the state before the event.
    fn authorise(&self, pdu: &Pdu) -> Result<(), Stop> {
        let refuse = |rejection: belfry_event::Rejection| {
            Stop::Refuse(RoomError::Forbidden(rejection.to_string()))
        };
        for hash in auth_events_needed(pdu) {
            if !self.holds(hash) {
                return Err(Stop::Need(Need::Event(hash)));
            }
        }
        let lookup = |hash| self.shelf.get(&hash).map(|event| Arc::clone(&event.pdu));
        let verdict = check_state_independent(pdu, lookup)
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        verdict
            .rejection()
            .map_or(Ok(()), |rejection| Err(refuse(rejection)))?;
        let needed = state_needed(pdu).map_err(refuse)?;
        let state: BTreeMap<_, _> = self
            .look_up(&needed)?
            .into_iter()
            .map(|((kind, key), event)| ((kind.to_string(), key), event.pdu))
            .collect();
        let verdict = check_state_dependent(pdu, |kind, key| {
            state.get(&(kind.to_string(), key.to_owned())).cloned()
        });
        verdict
            .rejection()
            .map_or(Ok(()), |rejection| Err(refuse(rejection)))
    }

    /// Puts the event at the head of the room.
    fn place(&mut self, event: Shelved, prev_events: &[EventHash]) -> Result<Planned, Stop> {
        let state_before = self.head.state;
        let hash = event.pdu.hash();
        let sets = self.entry_change(&event.pdu)?;
        if let Some(change) = &sets {
            self.head.state = match self.working.set(state_before, change.tuple.clone(), hash) {
                Ok(root) => root,
                Err(StateError::Missing(_)) => {
                    return Err(Stop::Need(Need::Entry(change.tuple.clone())));
                }
                Err(error) => return Err(RoomError::Fault(error.to_string()).into()),
            };
            if let CurrentState::Rows { members, .. } = &mut self.head.current {
                let after = change.after.and_then(|row| row.membership);
                *members = members.after(change.before, after);
            }
        }
        self.head
            .extremities
            .retain(|old| !prev_events.contains(old));
        self.head.extremities.push(hash);
        self.head.extremities.sort_unstable();
        self.head.depth = event.pdu.depth();
        let planned = Planned {
            pdu: Arc::clone(&event.pdu),
            auth_depth: event.auth_depth,
            place: Place::New(state_before),
            acceptance: Acceptance::Accepted,
            known: false,
            received_ts: None,
            redacted_by: None,
            sets: sets.into_iter().collect(),
        };
        self.shelve(event);
        Ok(planned)
    }

    /// What a state event changes in the current state.
    fn entry_change(&self, event: &Pdu) -> Result<Option<EntryChange>, Stop> {
        let Some(key) = event.state_key() else {
            return Ok(None);
        };
        let tuple = tuple(&event.event_type().to_string().into(), key)?;
        let is_member = tuple.event_type() == "m.room.member";
        let membership = |event: &Pdu| {
            let content = is_member.then(|| event.content_json());
            content.and_then(belfry_data::Membership::from_content)
        };
        let before = self
            .state(&tuple)?
            .and_then(|before| membership(&before.pdu));
        let after = CurrentRow {
            event: event.hash(),
            membership: membership(event),
        };
        Ok(Some(EntryChange {
            tuple,
            before,
            after: Some(after),
        }))
    }

    fn prev_events(&self) -> Vec<EventHash> {
        self.head
            .extremities
            .iter()
            .take(PREV_EVENTS_MAX)
            .copied()
            .collect()
    }

    /// The state's events for these keys, those that it has.
    fn look_up(&self, keys: &[StateMapKey]) -> Result<Vec<(StateMapKey, Shelved)>, Stop> {
        let mut found = Vec::with_capacity(keys.len());
        for (kind, key) in keys {
            if let Some(event) = self.state(&tuple(kind, key)?)? {
                found.push(((kind.clone(), key.clone()), event.clone()));
            }
        }
        Ok(found)
    }

    /// The parts of the event, or the event that makes it needless.
    fn shape(&self, sender: &UserId, change: &Change) -> Result<Result<Shape, EventHash>, Stop> {
        let shape = Shape::of(change)?;
        if shape.kind == TimelineEventType::RoomCreate {
            return Err(RoomError::Forbidden("a room is created once".to_owned()).into());
        }
        let present = match shape.state_tuple() {
            Some(tuple) => self.state(&tuple?)?,
            None => None,
        };
        let shape = shape.on(change, present.map(|present| &*present.pdu))?;
        let needless = match change {
            Change::Member(membership) => {
                let shows = membership.act == MemberAct::Show;
                let says = |present: &Shelved| says(&present.pdu, sender, &shape.content);
                fits(membership, sender, present)? || (shows && present.is_some_and(says))
            }
            Change::State { content, .. } => {
                present.is_some_and(|present| says(&present.pdu, sender, content))
            }
            Change::Message { .. } | Change::Redaction { .. } => false,
        };
        Ok(match present.filter(|_| needless) {
            Some(present) => Err(present.pdu.hash()),
            None => Ok(shape),
        })
    }

    /// Whether the sender may redact events of others.
    pub(crate) fn may_redact_others(&self, sender: &UserId) -> Result<bool, Stop> {
        let create = self.state(&tuple(&StateEventType::RoomCreate, "")?)?;
        let levels = self.state(&tuple(&StateEventType::RoomPowerLevels, "")?)?;
        let levels = levels.map(|event| &event.pdu);
        Ok(create.is_some_and(|create| may_redact_others(&create.pdu, levels, sender)))
    }
}

/// Whether the membership is what it is to become already.
fn fits(
    change: &Membership,
    sender: &UserId,
    present: Option<&Shelved>,
) -> Result<bool, RoomError> {
    let membership = present.and_then(|event| membership_of(&event.pdu));
    match change.fit(membership.as_ref(), sender) {
        Fit::Already => Ok(true),
        Fit::Send => Ok(false),
        Fit::Misfit(reason) => Err(RoomError::Forbidden(reason.to_owned())),
    }
}
