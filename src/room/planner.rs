//! From jobs to one commit: gathers what planning needs, plans, and puts the commit together.
//!
//! It exists to be the only place between the pure desk and storage. It knows nothing of
//! mailboxes, of answers, and of what becomes of the commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use belfry_data::{
    Acceptance, Batch as Reads, Commit, NewEvent, Place, RoomHead, RoomReader, RoomWrites,
    Snapshot, StateTuple, StoredEvent, alias_seen, claim_alias, publish,
};
use belfry_event::{EventHash, RoomRules};
use ruma_common::{OwnedRoomId, RoomId, RoomVersionId};

use crate::batch::{Batch, Done, Task};
use crate::change::Change;
use crate::create::CreateRoom;
use crate::desk::{Desk, Known, Need, Outcome, Planned, Shelved, Stop};
use crate::error::RoomError;
use crate::job::{Append, Founding, Job, Txn, timestamp};
use crate::rooms::Shared;

/// How often planning one change may find something missing.
const NEEDS_MAX: usize = 64;
/// Bytes after which a batch ends: half of what one commit holds.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// What an event costs in rows beside its own.
const EVENT_ROWS_BYTES: usize = 2 * 1024;
/// What a state event costs beside that: nodes of the state tree, entries, citations.
const STATE_ROWS_BYTES: usize = 6 * 1024;
/// How long a client's transaction ID is remembered: longer than clients try again.
const TXN_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// A batch and its commit.
pub(crate) struct Plan {
    pub(crate) batch: Batch,
    /// What makes the batch true; `None` if nothing is to be written.
    pub(crate) commit: Option<Commit>,
    /// Tasks for which there was no room in the commit.
    pub(crate) left: Vec<Task>,
}

/// Plans one batch.
pub(crate) struct Planner<'a> {
    shared: &'a Arc<Shared>,
    room_id: &'a RoomId,
    /// Transactions planned and not visible in the database yet, with their events.
    transactions: BTreeMap<Txn, EventHash>,
    planned: Vec<Planned>,
    written: Vec<(Txn, EventHash)>,
    redacted: Option<(StoredEvent, EventHash)>,
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
            redacted: None,
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
        let commit = match self.commit(desk) {
            Ok(commit) => commit,
            Err(error) => {
                *desk = None;
                batch.refuse(&error);
                return Plan {
                    batch: Batch::default(),
                    commit: None,
                    left: left.collect(),
                };
            }
        };
        batch.rules = desk.as_ref().map(|desk| desk.rules);
        let first = self.planned.first().filter(|_| commit.is_some());
        batch.witness = first.map(|event| (self.room_id.to_owned(), event.pdu.hash()));
        Plan {
            batch,
            commit,
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
                Job::Append { append, .. } => self.append(desk, &reader, append).await?,
                Job::Found { founding, .. } => {
                    let taken = alias_is_taken(&*snapshot, &founding.request).await?;
                    self.found(desk, &reader, founding, taken).await?
                }
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
        let at = append.timestamp_ms.unwrap_or(self.now_ms);
        match self.change(desk, reader, append, at).await? {
            Err(refused) => Ok(Done::Refused(refused)),
            Ok(outcome) => {
                let (hash, repeated) = self.keep(outcome);
                self.redacted = target.map(|target| (target, hash));
                if let Some(txn) = &append.txn {
                    self.transactions.insert(txn.clone(), hash);
                    self.written.push((txn.clone(), hash));
                }
                Ok(Done::Event { hash, repeated })
            }
        }
    }

    /// The event that a redaction takes the content of; `None` for what is no redaction.
    async fn target(
        &self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        append: &Append,
    ) -> Result<Result<Option<StoredEvent>, RoomError>, RoomError> {
        let Change::Redaction { redacts, .. } = &append.change else {
            return Ok(Ok(None));
        };
        let Ok(hash) = EventHash::from_event_id(redacts, desk.rules.alphabet()) else {
            return Ok(Err(RoomError::UnknownEvent));
        };
        let Some(stored) = reader
            .event(hash)
            .await?
            .filter(|stored| stored.row.is_visible())
        else {
            return Ok(Err(RoomError::UnknownEvent));
        };
        let event = stored
            .pdu(desk.rules)
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        let powers = ["m.room.create", "m.room.power_levels"];
        let tuples = powers
            .into_iter()
            .filter_map(|kind| StateTuple::new(kind, "").ok());
        gather_entries(desk, reader, &tuples.collect::<Vec<_>>()).await?;
        match desk.may_redact_others(&append.sender) {
            Ok(others) if others || event.sender() == append.sender => Ok(Ok(Some(stored))),
            Ok(_) => Ok(Err(RoomError::Forbidden(
                "you may redact your own events only: your power level is too low".to_owned(),
            ))),
            Err(Stop::Refuse(error)) => Ok(Err(error)),
            Err(Stop::Need(need)) => Err(RoomError::Fault(format!("{need:?} was gathered"))),
        }
    }

    fn keep(&mut self, outcome: Outcome) -> (EventHash, bool) {
        match outcome {
            Outcome::Present(hash) => (hash, true),
            Outcome::New(planned) => {
                let hash = planned.pdu.hash();
                let state = planned.sets.as_ref().map_or(0, |_| STATE_ROWS_BYTES);
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
        let identity = &self.shared.identity;
        for _ in 0..NEEDS_MAX {
            match desk.plan(identity, &append.sender, &append.change, timestamp(at_ms)) {
                Ok(outcome) => return Ok(Ok(outcome)),
                Err(Stop::Refuse(error)) => return Ok(Err(error)),
                Err(Stop::Need(Need::Entry(tuple))) => {
                    gather_entries(desk, reader, &[tuple]).await?;
                }
                Err(Stop::Need(Need::Event(hash))) => gather_events(desk, reader, &[hash]).await?,
            }
        }
        Err(RoomError::Fault(format!(
            "a change needed more than {NEEDS_MAX} look-ups"
        )))
    }

    async fn found(
        &mut self,
        desk: &mut Option<Desk>,
        reader: &RoomReader<'_>,
        founding: &Founding,
        alias_taken: bool,
    ) -> Result<Done, RoomError> {
        if desk.is_some() {
            return Ok(Done::Founded(false));
        }
        if alias_taken {
            return Ok(Done::Refused(RoomError::AliasTaken));
        }
        let new = desk.insert(Desk::blank(self.room_id.to_owned(), founding.rules));
        if let Err(refused) = self.found_on(new, reader, founding).await? {
            *desk = None;
            self.planned.clear();
            return Ok(Done::Refused(refused));
        }
        self.founded = Some(Arc::clone(&founding.request));
        Ok(Done::Founded(true))
    }

    async fn found_on(
        &mut self,
        desk: &mut Desk,
        reader: &RoomReader<'_>,
        founding: &Founding,
    ) -> Result<Result<(), RoomError>, RoomError> {
        let changes = match founding.request.changes(founding.rules) {
            Ok(changes) => changes,
            Err(unfit) => return Ok(Err(unfit.into())),
        };
        match desk.plan_create(Arc::clone(&founding.create)) {
            Ok(planned) => drop(self.keep(Outcome::New(Box::new(planned)))),
            Err(Stop::Refuse(refused)) => return Ok(Err(refused)),
            Err(Stop::Need(_)) => return Err(RoomError::Fault("an empty room lacks".into())),
        }
        for change in changes {
            let append = founding.append(change);
            match self.change(desk, reader, &append, self.now_ms).await? {
                Ok(outcome) => drop(self.keep(outcome)),
                Err(RoomError::Forbidden(reason)) => {
                    return Ok(Err(RoomError::InvalidRoomState(reason)));
                }
                Err(refused) => return Ok(Err(refused)),
            }
        }
        Ok(Ok(()))
    }

    /// The commit of everything planned, after which the desk stands at the next head.
    fn commit(&self, desk: &mut Option<Desk>) -> Result<Option<Commit>, RoomError> {
        // A transaction that changed nothing is remembered too: asked again after the room has
        // moved on, it must not change anything then.
        let nothing = self.planned.is_empty() && self.written.is_empty();
        let Some(desk) = desk.as_mut().filter(|_| !nothing) else {
            return Ok(None);
        };
        let local = &self.shared.identity.server_name;
        let before = desk.known.before();
        let mut writes = RoomWrites::new(local, self.room_id, before, desk.head.rows());
        for planned in &self.planned {
            writes.event(&self.new_event(planned));
            if let Some(change) = &planned.sets {
                writes.entry(change);
            }
        }
        let mut roots: Vec<_> = self
            .planned
            .iter()
            .map(|planned| planned.state_before)
            .collect();
        roots.push(desk.head.state);
        writes.nodes(desk.working.take_writes(&roots));
        if let Some((target, by)) = &self.redacted {
            writes.redact(target, *by);
        }
        // By age: a wall clock that jumps must not make a repeated request a new one.
        let kept_until_ms = self.shared.env.clock.age_ms().saturating_add(TXN_KEPT_MS);
        for (txn, event) in &self.written {
            writes.txn(&txn.row()?, *event, kept_until_ms);
        }
        if let Some(request) = &self.founded {
            list(writes.commit(), self.room_id, request);
        }
        desk.head = desk.head.successor();
        let commit = writes.finish(&desk.head)?;
        desk.known = Known::Planned(desk.head.clone());
        Ok(Some(commit))
    }

    fn new_event<'p>(&self, planned: &'p Planned) -> NewEvent<'p> {
        NewEvent {
            pdu: &planned.pdu,
            place: Place::New(planned.state_before),
            acceptance: Acceptance::Accepted,
            auth_depth: planned.auth_depth,
            received_ts: self.now_ms,
            known: false,
        }
    }
}

impl Founding {
    fn append(&self, change: Change) -> Append {
        let sender = self.request.creator.clone();
        Append {
            sender,
            change,
            txn: None,
            timestamp_ms: None,
        }
    }
}

/// Whether the alias that the new room is to have belongs to a room already.
async fn alias_is_taken(snapshot: &dyn Snapshot, request: &CreateRoom) -> Result<bool, RoomError> {
    match &request.alias {
        Some(alias) => Ok(alias_seen(snapshot, alias).await?.row.is_some()),
        None => Ok(false),
    }
}

/// Puts a new room where it is to be found. If somebody has claimed the alias since it was looked
/// for, the commit does not apply.
fn list(commit: &mut Commit, room_id: &RoomId, request: &CreateRoom) {
    if let Some(alias) = &request.alias {
        claim_alias(commit, alias, room_id, &request.creator);
    }
    if request.published {
        publish(commit, room_id, true);
    }
}

/// The room as the database has it; `None` if it has none.
async fn load(reader: &RoomReader<'_>, room_id: &RoomId) -> Result<Option<Desk>, RoomError> {
    let seen = reader.head_seen().await?;
    let Some(head) = seen.row.clone() else {
        return Ok(None);
    };
    let rules = rules_of(&head)?;
    let room_id: OwnedRoomId = room_id.to_owned();
    let mut desk = Desk::new(room_id, rules, head);
    desk.known = Known::Read(seen);
    Ok(Some(desk))
}

/// Takes in these entries of the state, and the events that they name.
async fn gather_entries(
    desk: &mut Desk,
    reader: &RoomReader<'_>,
    tuples: &[StateTuple],
) -> Result<(), RoomError> {
    let root = desk.head.state;
    let states = reader.states();
    states.gather(&mut desk.working, &[root], tuples).await?;
    let named: BTreeSet<_> = tuples
        .iter()
        .filter_map(|tuple| desk.entry(tuple).ok().flatten())
        .filter(|hash| !desk.holds(*hash))
        .collect();
    gather_events(desk, reader, &named.into_iter().collect::<Vec<_>>()).await
}

/// The rules of the room's version.
pub(crate) fn rules_of(head: &RoomHead) -> Result<&'static RoomRules, RoomError> {
    let version = RoomVersionId::try_from(&*head.room_version)
        .map_err(|_| RoomError::UnsupportedVersion(head.room_version.to_string()))?;
    RoomRules::new(&version).ok_or_else(|| RoomError::UnsupportedVersion(version.to_string()))
}

/// Takes in these events, which the state names.
async fn gather_events(
    desk: &mut Desk,
    reader: &RoomReader<'_>,
    hashes: &[EventHash],
) -> Result<(), RoomError> {
    if hashes.is_empty() {
        return Ok(());
    }
    for (hash, stored) in hashes.iter().zip(reader.events(hashes).await?) {
        let stored = stored.ok_or_else(|| {
            RoomError::Fault(format!(
                "{hash:?} is needed and not stored; check the database"
            ))
        })?;
        let pdu = stored
            .pdu(desk.rules)
            .map_err(|error| RoomError::Fault(error.to_string()))?;
        desk.shelve(Shelved {
            pdu: Arc::new(pdu),
            auth_depth: stored.row.auth_depth,
        });
    }
    Ok(())
}
