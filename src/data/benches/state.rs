//! What states cost: bytes and time of joins, forks, lookups, differences, and of one state event
//! in a small room and a large one. The numbers of `docs/adr/0004-state-representation.md`.
//!
//! Run with `cargo bench -p belfry-data --bench state`. The engine is the one in memory, so the
//! times are those of computing, not of disks.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use belfry_data::{
    Acceptance, Before, Changes, CurrentRow, CurrentState, EntryChange, MemberCounts, Membership,
    NewEvent, PartWrites, Path, Place, RoomHead, RoomQuestions, RoomWrites, Root, StateReader,
    StateTuple, WorkingSet,
};
use belfry_event::{Draft, EventHash, Pdu, RoomRules, SigningKey};
use belfry_kv::{Batch, Commit, Engine, Memory};
use ruma_common::{
    MilliSecondsSinceUnixEpoch, RoomId, RoomVersionId, room_id, server_name, user_id,
};

const MEMBERS: usize = 100_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime needs no resources");
    bytes_and_times();
    runtime.block_on(reading());
    runtime.block_on(state_events());
}

fn room() -> &'static RoomId {
    room_id!("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM")
}

fn tuple(number: usize) -> StateTuple {
    let user = format!("@user{number}:city{}.example.org", number % 50);
    StateTuple::member(&user).expect("the name is short")
}

fn hash(number: usize) -> EventHash {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    EventHash::from(bytes)
}

fn members(set: &mut WorkingSet, count: usize) -> Root {
    let changes: Changes = (0..count).map(|n| (tuple(n), Some(hash(n)))).collect();
    set.apply(Root::EMPTY, &changes)
        .expect("nothing is missing")
}

/// Nodes and bytes that a commit of these states stores.
fn written(set: &mut WorkingSet, roots: &[Root]) -> (usize, usize) {
    let mut parts = PartWrites::new(room());
    let nodes = set.take_writes(roots);
    let count = nodes.len();
    let mut bytes = 0;
    for (hash, node) in nodes {
        parts.node(hash, node);
        bytes += parts.take_full().map_or(0, |commit| commit.bytes());
    }
    (
        count,
        bytes + parts.finish().map_or(0, |commit| commit.bytes()),
    )
}

/// The shortest of several runs, each of `count` repetitions.
fn time(count: usize, mut run: impl FnMut(usize)) -> Duration {
    let runs = (0..5).map(|_| {
        let start = now();
        (0..count).for_each(&mut run);
        since(start) / u32::try_from(count).expect("few repetitions")
    });
    runs.min().expect("five runs")
}

fn bytes_and_times() {
    let mut set = WorkingSet::new();
    let (mut root, mut nodes, mut bytes) = (Root::EMPTY, 0, 0);
    for number in 0..MEMBERS {
        root = set.set(root, tuple(number), hash(number)).expect("held");
        let one = written(&mut set, &[root]);
        (nodes, bytes) = (nodes + one.0, bytes + one.1);
        set.shrink(60_000_000);
        if set.len(root).is_err() {
            set = WorkingSet::new();
            root = members(&mut set, number + 1);
            written(&mut set, &[root]);
        }
    }
    println!("100,000 joins one by one: {nodes} nodes, {bytes} bytes");
    for count in [10, 100, 1_000, 10_000, MEMBERS] {
        of_a_room(count);
    }
}

fn of_a_room(count: usize) {
    let mut set = WorkingSet::new();
    let root = members(&mut set, count);
    let (nodes, bytes) = written(&mut set, &[root]);
    println!("{count} members: {nodes} nodes, {bytes} bytes");
    let change = written_by_a_change(&set, root, count);
    let lookup = time(10_000, |n| {
        black_box(set.get(root, &tuple(n % count)).expect("held"));
    });
    let names = time(10_000, |n| _ = black_box(tuple(n % count)));
    let mut scratch = set.clone();
    let set_one = time(2_000, |n| {
        let root = scratch.set(root, tuple(n % count), hash(n + 1_000_000));
        black_box(root.expect("held"));
    });
    let other = (0..10).fold(root, |root, n| {
        set.set(root, tuple(n * count / 10), hash(n + 500_000))
            .expect("held")
    });
    let diff = time(200, |_| {
        black_box(set.diff(root, other, 100).expect("held"));
    });
    println!(
        "  a change: {change} bytes, {:?}; a lookup: {:?}; a diff of ten: {diff:?}",
        set_one.saturating_sub(names),
        lookup.saturating_sub(names),
    );
    if count == MEMBERS {
        forks(&mut set, root);
    }
}

fn written_by_a_change(set: &WorkingSet, root: Root, count: usize) -> usize {
    let mut set = set.clone();
    let sample = count.min(500);
    let roots: Vec<_> = (0..sample)
        .map(|n| set.set(root, tuple(n), hash(n + 2_000_000)).expect("held"))
        .collect();
    let each = roots.iter().map(|changed| {
        let mut alone = set.clone();
        written(&mut alone, &[*changed]).1
    });
    each.take(20).sum::<usize>() / sample.min(20)
}

fn forks(set: &mut WorkingSet, root: Root) {
    let (mut nodes, mut bytes) = (0, 0);
    for number in 0..10_000 {
        let fork = set
            .set(root, tuple(number * 10), hash(number + 3_000_000))
            .expect("held");
        let one = written(set, &[fork]);
        (nodes, bytes) = (nodes + one.0, bytes + one.1);
    }
    println!("10,000 forks of it: {nodes} nodes, {bytes} bytes");
}

/// From storage, with nothing in memory.
async fn reading() {
    let engine = Memory::default();
    let mut set = WorkingSet::new();
    let root = members(&mut set, MEMBERS);
    let other = set.set(root, tuple(5), hash(77)).expect("held");
    store(&engine, &mut set, &[root, other]).await;
    let snapshot = engine.snapshot().await.expect("open");
    let reader = StateReader::new(&*snapshot, room());
    let start = now();
    let (mut from, mut found) = (Some(Path::FIRST), 0);
    while let Some(at) = from {
        let page = reader.page(root, at, 1_000).await.expect("stored");
        found += page.entries.len();
        from = page.next;
    }
    println!("all {found} entries, in pages of 1,000: {:?}", since(start));
    let start = now();
    for number in 0..1_000 {
        let mut cold = WorkingSet::new();
        let wanted = [tuple(number * 100)];
        reader
            .gather(&mut cold, &[root], &wanted)
            .await
            .expect("stored");
        black_box(cold.get(root, &wanted[0]).expect("gathered"));
    }
    println!(
        "a lookup with nothing in memory: {:?}",
        since(start) / 1_000
    );
    let start = now();
    for _ in 0..1_000 {
        let diff = reader.diff_page(root, other, Path::FIRST, 10).await;
        black_box(diff.expect("stored"));
    }
    println!(
        "a diff of one with nothing in memory: {:?}",
        since(start) / 1_000
    );
}

async fn store(engine: &Memory, set: &mut WorkingSet, roots: &[Root]) {
    let mut parts = PartWrites::new(room());
    for (hash, node) in set.take_writes(roots) {
        parts.node(hash, node);
        if let Some(commit) = parts.take_full() {
            engine.commit(commit).await.expect("open");
        }
    }
    if let Some(commit) = parts.finish() {
        engine.commit(commit).await.expect("open");
    }
}

/// One state event after another in rooms of 10 and of 100,000 members: reading, planning,
/// committing; without what does not depend on the state (building, signing, authorising).
async fn state_events() {
    for count in [10, MEMBERS] {
        let mut worker = Worker::new(count).await;
        let pdus: Vec<_> = (0..EVENTS).map(pdu).collect();
        let mut bytes = 0;
        let (mut planning, mut committing) = (Vec::new(), Vec::new());
        for (number, pdu) in pdus.iter().enumerate() {
            let start = now();
            let commit = worker.plan(pdu, number * 37 % count).await;
            planning.push(since(start));
            bytes += commit.bytes();
            let start = now();
            worker
                .engine
                .commit(commit)
                .await
                .expect("the head is ours");
            committing.push(since(start));
        }
        let (plan, commit) = (median(planning), median(committing));
        let bytes = bytes / EVENTS;
        println!("a state event in a room of {count}: {bytes} bytes, {plan:?} and {commit:?}");
    }
}

const EVENTS: usize = 2_000;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

struct Worker {
    engine: Memory,
    set: WorkingSet,
    head: RoomHead,
    is_new: bool,
}

impl Worker {
    async fn new(count: usize) -> Self {
        let engine = Memory::default();
        let mut set = WorkingSet::new();
        let state = members(&mut set, count);
        store(&engine, &mut set, &[state]).await;
        let members = MemberCounts {
            joined: u32::try_from(count).expect("few members"),
            invited: 0,
        };
        let head = RoomHead {
            room_version: "11".into(),
            sequence: 0,
            extremities: Vec::new(),
            depth: 0,
            state,
            current: CurrentState::Rows { epoch: 1, members },
        };
        Self {
            engine,
            set,
            head,
            is_new: true,
        }
    }

    /// Reads and plans for an event by which a member changes.
    async fn plan(&mut self, pdu: &Pdu, member: usize) -> Commit {
        let changed = tuple(member);
        self.ask(&changed).await;
        let state = self
            .set
            .set(self.head.state, changed.clone(), pdu.hash())
            .expect("held");
        let mut next = self.head.successor();
        next.extremities = vec![pdu.hash()];
        next.state = state;
        let before = if self.is_new {
            Before::New
        } else {
            Before::Planned(&self.head)
        };
        let local = server_name!("example.org");
        let mut writes = RoomWrites::new(local, room(), before, Some(1));
        writes.event(&NewEvent {
            pdu,
            place: Place::New(self.head.state),
            acceptance: Acceptance::Accepted,
            auth_depth: 3,
            received_ts: 1_700_000_000_000,
            known: false,
        });
        writes.entry(&change(changed, pdu.hash()));
        writes.nodes(self.set.take_writes(&[state]));
        let commit = writes.finish(&next).expect("within the limits");
        (self.head, self.is_new) = (next, false);
        commit
    }

    /// What a worker reads for an event: what the rules ask of the current state.
    async fn ask(&self, changed: &StateTuple) {
        let snapshot = self.engine.snapshot().await.expect("open");
        let (mut batch, questions) = (Batch::new(), RoomQuestions::new(room()));
        let tuples = [tuple(1), tuple(2), tuple(3), changed.clone()];
        let entries = questions.entries(&mut batch, 1, &tuples);
        let mut got = batch.read(&*snapshot).await.expect("open");
        black_box(got.take(entries).expect("sound"));
    }
}

fn change(tuple: StateTuple, event: EventHash) -> EntryChange {
    let membership = Some(Membership::Join);
    EntryChange {
        tuple,
        before: membership,
        after: Some(CurrentRow { event, membership }),
    }
}

fn pdu(number: usize) -> Pdu {
    let key = SigningKey::from_seed(&[7; 32], "1").expect("a seed is a key");
    let number = u32::try_from(number).expect("few events");
    let draft = Draft {
        rules: RoomRules::new(&RoomVersionId::V11).expect("version 11 is supported"),
        room_id: Some(room()),
        sender: user_id!("@user1:example.org"),
        event_type: "m.room.member",
        state_key: Some("@user1:example.org"),
        content: r#"{"displayname":"Sachbearbeitung","membership":"join"}"#,
        redacts: None,
        prev_events: &[hash(1)],
        auth_events: &[hash(2), hash(3), hash(4), hash(5)],
        depth: i64::from(number) + 1,
        origin_server_ts: MilliSecondsSinceUnixEpoch(number.into()),
    };
    draft
        .sign(server_name!("example.org"), &key)
        .expect("the draft is sound")
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn since(start: Instant) -> Duration {
    start.elapsed()
}
