//! Commits of a room's worker: events, state, orders and the next head, all or nothing.
//!
//! Exists so that a planned batch of events becomes one value whose size does not depend on the
//! room's. Every such commit checks that the head is as it was planned on, and writes another: that
//! serialises the room, fences a stale worker, and makes sending it again after an unknown end
//! safe. Knows nothing of why events are accepted.

use belfry_event::{EventHash, Pdu};
use belfry_kv::{Check, Commit, Limit, Seen};
use bytes::Bytes;
use ruma_common::{OwnedServerName, RoomId, ServerName, UserId};

use crate::{
    column::{RoomKey, ServerKey, UserKey},
    keys::{note_member, note_members},
    origin::put_origin,
    reader::StoredEvent,
    relation::{relate, unrelate},
    room_time::note_time,
    rows::{
        Acceptance, CurrentRow, EXTREMITIES_MAX, EdgeRow, EpochRow, EventRow, GapRow, GlobalRow,
        LocalMemberRow, LogRow, Membership, RoomHead, UserRoomRow,
    },
    staging::{StagedEvent, unstage},
    stale::mark_room,
    state::{NodeHash, Root, StateTuple},
    tables::{
        AUTH_CITER, EVENT, EVENT_EDGE, EVENT_ROOM, EventKey, GLOBAL_LOG, LOCAL_MEMBER, ROOM_EPOCH,
        ROOM_GAP, ROOM_HEAD, ROOM_LOG, ROOM_SERVER, ROOM_STATE, ROOM_TAIL, ROOM_TIMELINE, RoomOf,
        STATE_NODE, StateNode, USER_ROOM,
    },
    txn::Txn,
};

/// What is known of the head that a commit follows.
#[derive(Debug, Clone, Copy)]
pub enum Before<'a> {
    /// There is none: the room is new to this server.
    New,
    /// It was read.
    Read(&'a Seen<RoomHead>),
    /// It is written by the commit sent right before this one, whose answer may be out.
    Planned(&'a RoomHead),
}

impl Before<'_> {
    /// Adds the head check.
    pub fn check(self, commit: &mut Commit, room: &RoomId) {
        self.check_key(commit, &(RoomKey::from(room),));
    }

    fn check_key(self, commit: &mut Commit, key: &(RoomKey,)) {
        match self {
            Self::New => ROOM_HEAD.check_absent(commit, key),
            Self::Read(seen) => ROOM_HEAD.check_unchanged(commit, key, seen),
            Self::Planned(head) => ROOM_HEAD.check_equals(commit, key, Some(head)),
        }
    }

    fn sequence(self) -> u64 {
        self.head().map_or(0, |head| head.sequence)
    }

    /// What of the head matters to those who follow the current state.
    fn stood(self) -> Option<(Root, Option<u64>)> {
        self.head().map(|head| (head.state, head.rows()))
    }

    fn head(&self) -> Option<&RoomHead> {
        match self {
            Self::New => None,
            Self::Read(seen) => seen.row.as_ref(),
            Self::Planned(head) => Some(head),
        }
    }
}

/// Where an event belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At the end of the room, after this state: into the log and the timeline.
    New(Root),
    /// Before what is known of the room, after this state: into the timeline only.
    Backfilled(Root),
    /// Unknown: into no order. For auth events and state of a join.
    Outlier,
}

/// An event to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewEvent<'a> {
    /// The event.
    pub pdu: &'a Pdu,
    /// Where it belongs.
    pub place: Place,
    /// What the checks ended with. Only accepted events are put into orders.
    pub acceptance: Acceptance,
    /// By [`belfry_event::auth_depth`].
    pub auth_depth: u64,
    /// When this server got it, in milliseconds since the Unix epoch.
    pub received_ts: u64,
    /// Whether it is stored as an outlier so far.
    pub known: bool,
}

/// A change of one entry of the current state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryChange {
    /// Type and state key.
    pub tuple: StateTuple,
    /// What a member was before; `None` for other entries and new ones.
    pub before: Option<Membership>,
    /// The entry now; `None` if there is none any more.
    pub after: Option<CurrentRow>,
}

/// Why a commit was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WritesError {
    /// The head's sequence is not one more than that before.
    #[error("the new head does not follow the old one; take its successor")]
    Sequence,
    /// None, too many, not sorted, or some twice.
    #[error("a head has 1 to {EXTREMITIES_MAX} forward extremities, sorted, each once")]
    Extremities,
    /// The current state's rows were written for an epoch that the head does not name.
    #[error("the new head does not name the epoch that rows were written for")]
    Epoch,
    /// Too much for one commit: plan fewer events.
    #[error(transparent)]
    Limit(#[from] Limit),
}

/// A commit of a room's worker in the making.
#[derive(Debug, Clone)]
pub struct RoomWrites {
    local: OwnedServerName,
    room: RoomKey,
    sequence: u64,
    stood: Option<(Root, Option<u64>)>,
    epoch: Option<u64>,
    commit: Commit,
}

impl RoomWrites {
    /// A commit that follows `before`. `epoch` is that of the rows that the *next* head names
    /// ([`RoomHead::rows`]); `None` if it names none, and then no rows of the current state are
    /// written. `local` is this server.
    pub fn new(local: &ServerName, room: &RoomId, before: Before<'_>, epoch: Option<u64>) -> Self {
        let room = RoomKey::from(room);
        let mut commit = Commit::synced();
        before.check_key(&mut commit, &(room.clone(),));
        Self {
            local: local.to_owned(),
            room,
            sequence: before.sequence(),
            stood: before.stood(),
            epoch,
            commit,
        }
    }

    /// Stores an event and puts it where it belongs.
    pub fn event(&mut self, event: &NewEvent<'_>) {
        self.place_event(event, None);
    }

    fn place_event(&mut self, event: &NewEvent<'_>, redacted_by: Option<EventHash>) {
        put_event(&mut self.commit, &self.room, event, redacted_by);
        let (pdu, accepted) = (event.pdu, event.acceptance == Acceptance::Accepted);
        if event.place != Place::Outlier {
            self.edges(pdu, accepted);
        }
        match event.place {
            Place::New(_) if accepted => {
                relate(&mut self.commit, &self.room, pdu, true);
                self.put_into_timeline(pdu);
                self.put_into_logs(pdu.hash());
            }
            Place::Backfilled(_) if accepted => {
                relate(&mut self.commit, &self.room, pdu, false);
                self.put_into_timeline(pdu);
            }
            Place::New(_) | Place::Backfilled(_) | Place::Outlier => {}
        }
    }

    /// The same for an event that an earlier redaction applies to.
    pub fn redacted_event(&mut self, event: &NewEvent<'_>, by: EventHash) {
        self.place_event(event, Some(by));
    }

    /// Stores nodes of state trees: those of [`crate::WorkingSet::take_writes`].
    pub fn nodes(&mut self, nodes: Vec<(NodeHash, Bytes)>) {
        put_nodes(&mut self.commit, &self.room, nodes);
    }

    /// Changes an entry of the current state, and what follows from it: the member's rows and the
    /// count of its server. The head's counts are the caller's ([`crate::MemberCounts::after`]).
    pub fn entry(&mut self, change: &EntryChange) {
        if let Some(epoch) = self.epoch {
            let key = state_key(&self.room, epoch, &change.tuple);
            match &change.after {
                Some(row) => ROOM_STATE.put(&mut self.commit, &key, row),
                None => ROOM_STATE.delete(&mut self.commit, &key),
            }
        }
        if let Some(user) = member_of(&change.tuple) {
            let after = change.after.as_ref();
            let joined = after.and_then(|row| row.membership);
            self.count_server(user, change.before, joined);
            put_member(&mut self.commit, &self.local, &self.room, user, after);
            note_member(&mut self.commit, &self.room, user, change.before, after);
        }
    }

    /// Removes the rows of an epoch that the next head does not name any more.
    pub fn drop_rows(&mut self, epoch: u64) {
        drop_rows(&mut self.commit, &self.room, epoch);
    }

    /// Ends the building of an epoch whose rows are all written, if nobody else ended it. The next
    /// head names it.
    pub fn publish(&mut self, built: &EpochRow) {
        let key = (self.room.clone(),);
        ROOM_EPOCH.check_equals(&mut self.commit, &key, Some(built));
        ROOM_EPOCH.delete(&mut self.commit, &key);
        note_members(&mut self.commit, &self.room);
    }

    /// Notes a missing event that an event of this depth refers to.
    pub fn open_gap(&mut self, missing: EventHash, depth: i64) {
        let key = self.key(missing);
        ROOM_GAP.put(&mut self.commit, &key, &GapRow { depth });
    }

    /// Notes that an event is missing no longer.
    pub fn close_gap(&mut self, found: EventHash) {
        let key = self.key(found);
        ROOM_GAP.delete(&mut self.commit, &key);
    }

    /// Notes that a redaction applies to an event that is stored already; the event keeps its
    /// place.
    pub fn redact(&mut self, target: &StoredEvent, by: EventHash) {
        let row = EventRow {
            redacted_by: Some(by),
            ..target.row.clone()
        };
        let key = self.key(target.hash);
        EVENT.put(&mut self.commit, &key, &(target.stamp, row));
        unrelate(&mut self.commit, &self.room, target);
    }

    /// Remembers what a client's transaction made; the head check already keeps it from being
    /// done twice.
    pub fn txn(&mut self, txn: &Txn, event: EventHash, expires_age_ms: u64) {
        txn.put(&mut self.commit, Some(event), expires_age_ms, false);
    }

    /// Remembers what made an event of this commit, so that its device knows it again.
    pub fn origin(&mut self, txn: &Txn, event: EventHash, expires_age_ms: u64) {
        put_origin(
            &mut self.commit,
            &self.room,
            event,
            txn.origin(),
            expires_age_ms,
        );
    }

    /// Takes off an event that waited, whatever became of it.
    pub fn unstage(&mut self, staged: &StagedEvent) {
        unstage(&mut self.commit, &self.room, staged);
    }

    /// What the commit has so far: add to it what else belongs to the same act, in other tables.
    pub fn commit(&mut self) -> &mut Commit {
        &mut self.commit
    }

    /// Keys and values so far: when to end a batch of events, see
    /// [`belfry_kv::COMMIT_BYTES_MAX`].
    pub fn bytes(&self) -> usize {
        self.commit.bytes()
    }

    /// Writes so far, see [`belfry_kv::COMMIT_WRITES_MAX`].
    pub fn len(&self) -> usize {
        self.commit.writes.len()
    }

    /// Whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.commit.writes.is_empty()
    }

    /// The commit, which writes this head.
    pub fn finish(mut self, head: &RoomHead) -> Result<Commit, WritesError> {
        if head.sequence != self.sequence.saturating_add(1) {
            return Err(WritesError::Sequence);
        }
        let sorted = head.extremities.is_sorted_by(|a, b| a < b);
        if !sorted || !(1..=EXTREMITIES_MAX).contains(&head.extremities.len()) {
            return Err(WritesError::Extremities);
        }
        if head.rows() != self.epoch {
            return Err(WritesError::Epoch);
        }
        if self.stood != Some((head.state, head.rows())) {
            mark_room(&mut self.commit, &self.room.0);
        }
        ROOM_HEAD.put(&mut self.commit, &(self.room,), head);
        self.commit.within_limits()?;
        Ok(self.commit)
    }

    fn key(&self, hash: EventHash) -> EventKey {
        (self.room.clone(), *hash.as_bytes())
    }

    fn edges(&mut self, pdu: &Pdu, covers: bool) {
        for prev in pdu.prev_hashes() {
            let key = (self.room.clone(), *prev.as_bytes(), *pdu.hash().as_bytes());
            EVENT_EDGE.put(&mut self.commit, &key, &EdgeRow { covers });
        }
    }

    fn put_into_timeline(&mut self, pdu: &Pdu) {
        let row = LogRow { event: pdu.hash() };
        let prefix = (self.room.clone(), pdu.depth());
        ROOM_TIMELINE.append(&mut self.commit, &prefix, &row);
        note_time(&mut self.commit, &self.room, pdu);
    }

    fn put_into_logs(&mut self, event: EventHash) {
        let prefix = (self.room.clone(),);
        ROOM_LOG.append(&mut self.commit, &prefix, &LogRow { event });
        ROOM_TAIL.stamp(&mut self.commit, &prefix, &());
        let room = self.room.0.as_str().into();
        GLOBAL_LOG.append(&mut self.commit, &(), &GlobalRow::Event { room, event });
    }

    fn count_server(
        &mut self,
        user: &UserId,
        before: Option<Membership>,
        after: Option<Membership>,
    ) {
        let joined = |membership| i64::from(membership == Some(Membership::Join));
        let change = joined(after) - joined(before);
        if let Some(epoch) = self.epoch.filter(|_| change != 0) {
            let key = (
                self.room.clone(),
                epoch,
                ServerKey::from(user.server_name()),
            );
            ROOM_SERVER.add(&mut self.commit, &key, change);
        }
    }
}

/// The key of an entry of the current state.
pub(crate) fn state_key(
    room: &RoomKey,
    epoch: u64,
    tuple: &StateTuple,
) -> (RoomKey, u64, String, String) {
    let (event_type, state_key) = (tuple.event_type(), tuple.state_key());
    (
        room.clone(),
        epoch,
        event_type.to_owned(),
        state_key.to_owned(),
    )
}

/// The user that an entry is about.
pub(crate) fn member_of(tuple: &StateTuple) -> Option<&UserId> {
    if tuple.event_type() == "m.room.member" {
        tuple.state_key().try_into().ok()
    } else {
        None
    }
}

/// Brings a user's rows up to an entry of the current state.
pub(crate) fn put_member(
    commit: &mut Commit,
    local: &ServerName,
    room: &RoomKey,
    user: &UserId,
    entry: Option<&CurrentRow>,
) {
    let (by_user, by_room) = (
        (UserKey::from(user), room.clone()),
        (room.clone(), UserKey::from(user)),
    );
    let is_local = user.server_name() == local;
    if let Some((membership, event)) = entry.and_then(CurrentRow::member) {
        USER_ROOM.stamp(commit, &by_user, &UserRoomRow { membership, event });
        if is_local {
            LOCAL_MEMBER.put(commit, &by_room, &LocalMemberRow { membership });
        }
    } else {
        USER_ROOM.delete(commit, &by_user);
        if is_local {
            LOCAL_MEMBER.delete(commit, &by_room);
        }
    }
}

pub(crate) fn put_nodes(commit: &mut Commit, room: &RoomKey, nodes: Vec<(NodeHash, Bytes)>) {
    for (hash, bytes) in nodes {
        STATE_NODE.put(commit, &(room.clone(), hash.0), &StateNode(bytes));
    }
}

pub(crate) fn drop_rows(commit: &mut Commit, room: &RoomKey, epoch: u64) {
    ROOM_STATE.delete_prefix(commit, &(room.clone(), epoch));
    ROOM_SERVER.delete_prefix(commit, &(room.clone(), epoch));
}

pub(crate) fn put_event(
    commit: &mut Commit,
    room: &RoomKey,
    event: &NewEvent<'_>,
    redacted_by: Option<EventHash>,
) {
    let pdu = event.pdu;
    let row = EventRow {
        acceptance: event.acceptance,
        state_before: match event.place {
            Place::New(before) | Place::Backfilled(before) => Some(before),
            Place::Outlier => None,
        },
        auth_depth: event.auth_depth,
        received_ts: event.received_ts,
        redacted_by,
        json: pdu.json().into(),
    };
    EVENT.stamp(commit, &(room.clone(), *pdu.hash().as_bytes()), &row);
    if !event.known {
        EVENT_ROOM.put(commit, &(*pdu.hash().as_bytes(),), &RoomOf(room.clone()));
        if event.acceptance != Acceptance::Rejected {
            put_citations(commit, room, pdu);
        }
    }
}

fn put_citations(commit: &mut Commit, room: &RoomKey, pdu: &Pdu) {
    if pdu.state_key().is_none() {
        return;
    }
    let row = LogRow { event: pdu.hash() };
    for cited in pdu.auth_hashes() {
        AUTH_CITER.append(commit, &(room.clone(), *cited.as_bytes()), &row);
    }
}

/// Whether a commit is one of a room's worker: it checks a head first.
pub fn is_fenced(commit: &Commit) -> bool {
    let tag = ROOM_HEAD.space().tag;
    commit.checks.iter().any(|check| match check {
        Check::Absent(key) | Check::Equals(key, _) | Check::Within { key, .. } => key.tag() == tag,
    })
}
