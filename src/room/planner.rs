//! From jobs to one commit: gathers what planning needs, plans, and puts the commit together.
//!
//! It exists to be the only place between the pure desk and storage. It knows nothing of
//! mailboxes, of answers, and of what becomes of the commit.

mod arrival;
mod beginning;
mod drafting;
mod extremities;
mod founding;
mod gathering;
mod policy_server;
mod redaction;
mod shift;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use belfry_data::{
    Acceptance, Batch as Reads, Commit, FlowAct, NewEvent, NodeHash, PartWrites, Place, RoomReader,
    RoomWrites, Root, Snapshot, StagedEvent, StoredEvent, await_target, forget_target, relay,
    start_flow,
};
use belfry_event::{EventHash, Pdu};
use bytes::Bytes;
use ruma_common::RoomId;

use self::arrival::Filed;
pub(crate) use self::drafting::{draft, template};
use self::founding::{alias_is_taken, list};
use self::gathering::{gather_entries, gathered};
pub(crate) use self::gathering::{load, rules_of};
use crate::annotation::Annotation;
use crate::batch::{Batch, Done, Task};
use crate::change::Change;
use crate::create::CreateRoom;
use crate::desk::{Desk, Known, Outcome, Planned};
use crate::error::RoomError;
use crate::job::{Append, Job, Txn, timestamp};
use crate::redacting::flow_of;
use crate::rooms::Shared;

/// Bytes after which a batch ends: half of what one commit holds.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// What an event costs in rows beside its own.
const EVENT_ROWS_BYTES: usize = 2 * 1024;
/// What a state event costs beside that: nodes of the state tree, entries, citations.
const STATE_ROWS_BYTES: usize = 6 * 1024;
/// Bytes of state nodes in the commit itself; more go before it.
const NODES_BYTES_MAX: usize = 256 * 1024;
/// How long a client's transaction ID is remembered: longer than clients try again.
const TXN_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// A batch and its commit.
pub(crate) struct Plan {
    pub(crate) batch: Batch,
    /// What must be applied before the commit: nodes for which it has no room.
    pub(crate) parts: Vec<Commit>,
    /// What makes the batch true; `None` if nothing is to be written.
    pub(crate) commit: Option<Commit>,
    /// The states that the commit refers to.
    pub(crate) roots: Vec<Root>,
    /// Tasks for which there was no room in the commit.
    pub(crate) left: Vec<Task>,
}

/// A commit and what belongs to it.
#[derive(Default)]
struct Commits {
    parts: Vec<Commit>,
    commit: Option<Commit>,
    roots: Vec<Root>,
}

/// What planning events of other servers adds to a commit.
#[derive(Default)]
struct Received {
    /// Those planned, by hash.
    filed: BTreeMap<EventHash, Filed>,
    /// Redactions planned with the events that they are of, and are not there.
    due: Vec<(EventHash, EventHash)>,
    /// Events planned that redactions waited for.
    came: Vec<EventHash>,
    /// Missing events and the depths of events that refer to them.
    gaps: BTreeMap<EventHash, i64>,
    /// Events planned that were missing.
    found: Vec<EventHash>,
    /// Events planned that this server tells the others of.
    relayed: Vec<EventHash>,
    /// Events that wait no longer.
    unstaged: Vec<StagedEvent>,
    /// The rows of the current state that are given up for the tree.
    dropped_rows: Option<u64>,
}

/// Plans one batch.
pub(crate) struct Planner<'a> {
    shared: &'a Arc<Shared>,
    room_id: &'a RoomId,
    /// Transactions planned and not visible in the database yet, with their events.
    transactions: BTreeMap<Txn, EventHash>,
    planned: Vec<Planned>,
    written: Vec<(Txn, EventHash)>,
    redacted: Vec<(StoredEvent, EventHash)>,
    /// Of events of other servers.
    received: Received,
    /// What follows from the changes planned.
    flows: Vec<FlowAct>,
    /// The request for the room, if this batch creates it.
    founded: Option<Arc<CreateRoom>>,
    bytes: usize,
    now_ms: u64,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        room_id: &'a RoomId,
        transactions: BTreeMap<Txn, EventHash>,
    ) -> Self {
        let now_ms = shared.env.clock.wall_ms();
        let (planned, written, bytes) = (Vec::new(), Vec::new(), 0);
        Self {
            shared,
            room_id,
            transactions,
            planned,
            written,
            redacted: Vec::new(),
            received: Received::default(),
            flows: Vec::new(),
            founded: None,
            bytes,
            now_ms,
        }
    }

    /// Plans the tasks on the desk, which is set up if there is none.
    pub(crate) async fn plan(mut self, desk: &mut Option<Desk>, tasks: Vec<Task>) -> Plan {
        let mut batch = Batch::default();
        let mut left = tasks.into_iter();
        if let Err(error) = self.plan_tasks(desk, &mut left, &mut batch).await {
            // Nobody can say what the desk holds now; what is in flight is decided by the engine.
            *desk = None;
            self.planned.clear();
            let tasks = batch.into_tasks().into_iter().chain(left.by_ref());
            batch = Batch::default();
            batch
                .entries
                .extend(tasks.map(|task| (task, Done::Refused(error.clone()))));
        }
        let Commits {
            parts,
            commit,
            roots,
        } = match self.commit(desk) {
            Ok(commits) => commits,
            Err(error) => {
                *desk = None;
                batch.refuse(&error);
                return Plan {
                    batch: Batch::default(),
                    parts: Vec::new(),
                    commit: None,
                    roots: Vec::new(),
                    left: left.collect(),
                };
            }
        };
        batch.rules = desk.as_ref().map(|desk| desk.rules);
        let first = self.planned.first().filter(|_| commit.is_some());
        batch.witness = first.map(|event| (self.room_id.to_owned(), event.pdu.hash()));
        Plan {
            batch,
            parts,
            commit,
            roots,
            left: left.collect(),
        }
    }

    async fn plan_tasks(
        &mut self,
        desk: &mut Option<Desk>,
        tasks: &mut std::vec::IntoIter<Task>,
        batch: &mut Batch,
    ) -> Result<(), RoomError> {
        let snapshot = self.shared.engine.snapshot().await?;
        let reader = RoomReader::new(&*snapshot, self.room_id);
        if desk.is_none() {
            *desk = load(&reader, self.room_id).await?;
        }
        if let Some(desk) = desk {
            self.foresee(desk, &reader, &*snapshot, tasks.as_slice())
                .await?;
        }
        while self.bytes < BATCH_BYTES_MAX
            && let Some(task) = tasks.next()
        {
            let done = match &task.job {
                Job::Append { append, signed, .. } => {
                    let signed = signed.as_ref();
                    self.append(desk, &reader, append, signed).await?
                }
                Job::Found { founding, .. } => {
                    let taken = alias_is_taken(&*snapshot, &founding.request).await?;
                    self.found(desk, &reader, founding, taken).await?
                }
                Job::Receive { delivery, .. } => self.receive(desk, &reader, delivery).await?,
                Job::Sweep { .. } => Done::Refused(RoomError::Busy),
            };
            batch.entries.push((task, done));
        }
        Ok(())
    }

    /// Reads in a few round trips what most changes of the batch will need.
    async fn foresee(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        snapshot: &dyn Snapshot,
        tasks: &[Task],
    ) -> Result<(), RoomError> {
        let mut reads = Reads::new();
        let mut asked = Vec::new();
        let mut tuples = BTreeSet::new();
        for task in tasks {
            let Job::Append { append, .. } = &task.job else {
                continue;
            };
            tuples.extend(desk.foresee(&append.sender, &append.change));
            if let Some(txn) = &append.txn {
                asked.push((txn.clone(), txn.row()?.ask(&mut reads)));
            }
        }
        let mut got = reads.read(snapshot).await?;
        for (txn, handle) in asked {
            if let Some(event) = got.take(handle)?.and_then(|row| row.event) {
                self.transactions.entry(txn).or_insert(event);
            }
        }
        let tuples: Vec<_> = tuples.into_iter().collect();
        gather_entries(desk, reader, &tuples).await
    }

    async fn append(
        &mut self,
        desk: &mut Option<Desk>,
        reader: &RoomReader<'_>,
        append: &Append,
        signed: Option<&Arc<Pdu>>,
    ) -> Result<Done, RoomError> {
        let seen = append
            .txn
            .as_ref()
            .and_then(|txn| self.transactions.get(txn));
        if let Some(hash) = seen {
            return Ok(Done::Event {
                hash: *hash,
                repeated: true,
            });
        }
        let Some(desk) = desk else {
            return Ok(Done::Refused(RoomError::UnknownRoom));
        };
        let target = match self.target(desk, reader, append).await? {
            Ok(target) => target,
            Err(refused) => return Ok(Done::Refused(refused)),
        };
        let policy = match self.policy_server_for(desk, reader, append).await? {
            Ok(policy) => policy,
            Err(refused) => return Ok(Done::Refused(refused)),
        };
        let annotation = Annotation::of(&append.sender, &append.change);
        if let Some(annotation) = &annotation
            && annotation.is_there(desk, reader).await?
        {
            return Ok(Done::Refused(RoomError::DuplicateAnnotation));
        }
        let done = match policy {
            Some(policy) => {
                let event = (append, signed);
                self.recommended(desk, reader, event, policy).await?
            }
            None => self.unasked(desk, reader, append, target).await?,
        };
        if let Done::Event { hash, repeated } = done {
            desk.annotations.extend(annotation.map(|it| (it, hash)));
            if let Change::Member(change) = &append.change {
                self.flows.extend(change.flow.clone().filter(|_| !repeated));
            }
            if let Some(txn) = &append.txn {
                self.transactions.insert(txn.clone(), hash);
                self.written.push((txn.clone(), hash));
            }
        }
        Ok(done)
    }

    /// Plans a change that nobody else has a say in.
    async fn unasked(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        append: &Append,
        target: Option<StoredEvent>,
    ) -> Result<Done, RoomError> {
        let at = append.timestamp_ms.unwrap_or(self.now_ms);
        match self.change(desk, reader, append, at).await? {
            Err(refused) => Ok(Done::Refused(refused)),
            Ok(outcome) => {
                let (hash, repeated) = self.keep(outcome);
                self.redacted.extend(target.map(|target| (target, hash)));
                Ok(Done::Event { hash, repeated })
            }
        }
    }

    fn keep(&mut self, outcome: Outcome) -> (EventHash, bool) {
        match outcome {
            Outcome::Present(hash) => (hash, true),
            Outcome::New(planned) => {
                let hash = planned.pdu.hash();
                let state = planned.sets.len().saturating_mul(STATE_ROWS_BYTES);
                self.bytes += planned.pdu.json().len() + EVENT_ROWS_BYTES + state;
                self.planned.push(*planned);
                (hash, false)
            }
        }
    }

    /// Plans one change, gathering what is missing.
    async fn change(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        append: &Append,
        at_ms: u64,
    ) -> Result<Result<Outcome, RoomError>, RoomError> {
        let (identity, at) = (&self.shared.identity, timestamp(at_ms));
        gathered(desk, reader, |desk| {
            desk.plan(identity, &append.sender, &append.change, at)
        })
        .await
    }

    /// The commit of everything planned, after which the desk stands at the next head, and what
    /// must be applied before it.
    fn commit(&self, desk: &mut Option<Desk>) -> Result<Commits, RoomError> {
        // A transaction that changed nothing is remembered too: asked again after the room has
        // moved on, it must not change anything then.
        let nothing =
            self.planned.is_empty() && self.written.is_empty() && self.received.unstaged.is_empty();
        let Some(desk) = desk.as_mut().filter(|_| !nothing) else {
            return Ok(Commits::default());
        };
        let local = &self.shared.identity.server_name;
        let before = desk.known.before();
        let mut writes = RoomWrites::new(local, self.room_id, before, desk.head.rows());
        for planned in &self.planned {
            let event = self.new_event(planned);
            match planned.redacted_by {
                Some(by) => writes.redacted_event(&event, by),
                None => writes.event(&event),
            }
            for change in &planned.sets {
                writes.entry(change);
            }
        }
        let roots = self.planned.iter().filter_map(Planned::state_before);
        let roots: Vec<_> = roots.chain([desk.head.state]).collect();
        let parts = self.put_nodes(&mut writes, desk.working.take_writes(&roots));
        for (target, by) in &self.redacted {
            writes.redact(target, *by);
        }
        self.put_received(&mut writes);
        // By age: a wall clock that jumps must not make a repeated request a new one.
        let kept_until_ms = self.shared.env.clock.age_ms().saturating_add(TXN_KEPT_MS);
        for (txn, event) in &self.written {
            let txn = txn.row()?;
            if self
                .planned
                .iter()
                .any(|planned| planned.pdu.hash() == *event)
            {
                writes.origin(&txn, *event, kept_until_ms);
            }
            writes.txn(&txn, *event, kept_until_ms);
        }
        let new = self.planned.iter().filter(|planned| {
            planned.acceptance == Acceptance::Accepted && matches!(planned.place, Place::New(_))
        });
        let removals = new.filter_map(|planned| flow_of(&planned.pdu));
        for flow in self.flows.iter().cloned().chain(removals) {
            start_flow(writes.commit(), flow);
        }
        if let Some(request) = &self.founded {
            list(writes.commit(), self.room_id, request);
        }
        desk.head = desk.head.successor();
        let commit = writes.finish(&desk.head)?;
        desk.known = Known::Planned(desk.head.clone());
        Ok(Commits {
            parts,
            commit: Some(commit),
            roots,
        })
    }

    /// Puts nodes into the commit, or into parts before it if they are too many.
    fn put_nodes(&self, writes: &mut RoomWrites, nodes: Vec<(NodeHash, Bytes)>) -> Vec<Commit> {
        let bytes: usize = nodes.iter().map(|(_, bytes)| bytes.len()).sum();
        if bytes <= NODES_BYTES_MAX {
            writes.nodes(nodes);
            return Vec::new();
        }
        let mut parts = PartWrites::new(self.room_id);
        let mut full = Vec::new();
        for (hash, bytes) in nodes {
            parts.node(hash, bytes);
            full.extend(parts.take_full());
        }
        full.extend(parts.finish());
        full
    }

    fn put_received(&self, writes: &mut RoomWrites) {
        let received = &self.received;
        for (target, by) in &received.due {
            await_target(writes.commit(), self.room_id, *target, *by);
        }
        for target in &received.came {
            forget_target(writes.commit(), self.room_id, *target);
        }
        for (missing, depth) in &received.gaps {
            writes.open_gap(*missing, *depth);
        }
        for found in &received.found {
            writes.close_gap(*found);
        }
        for event in &received.relayed {
            relay(writes.commit(), self.room_id, *event);
        }
        for staged in &received.unstaged {
            writes.unstage(staged);
        }
        if let Some(epoch) = received.dropped_rows {
            writes.drop_rows(epoch);
        }
    }

    fn new_event<'p>(&self, planned: &'p Planned) -> NewEvent<'p> {
        NewEvent {
            pdu: &planned.pdu,
            place: planned.place,
            acceptance: planned.acceptance,
            auth_depth: planned.auth_depth,
            received_ts: planned.received_ts.unwrap_or(self.now_ms),
            known: planned.known,
        }
    }
}
