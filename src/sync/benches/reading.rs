//! What memory the answers about a large room take: the list of its members, its whole state.
//!
//! Run with `cargo bench -p belfry-sync --bench reading`. Bytes are those of the heap at its highest:
//! what an answer takes until its last piece is on its way, beside what the database takes. Ends in
//! an error if the aim is missed. It knows nothing of time, which is `history`'s.

use std::{process::ExitCode, sync::Arc, time::Duration};

use belfry_data::Engine;
use belfry_env::Env;
use belfry_event::SigningKey;
use belfry_kv::Memory;
use belfry_room::{
    Append, Change, CreateRoom, Identity, MemberAct, Membership, Preset, Profile, Rooms,
};
use belfry_sync::{EventList, MembersFilter, MembersRequest, Views};
use peak_alloc::PeakAlloc;
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId, server_name};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Events under way at once, which a room's worker takes in one batch.
const AT_ONCE: usize = 100;
const MEMBERS: usize = 10_000;
/// The aim: memory for an answer, against its size.
const MEMORY_RATIO_MAX: f64 = 2.0;

struct Bench {
    rooms: Rooms,
    engine: Arc<dyn Engine>,
    env: Env,
}

fn user(number: usize) -> OwnedUserId {
    UserId::parse(format!("@user{number}:x.example")).expect("a user ID")
}

impl Bench {
    fn new() -> Self {
        let env = Env::system(tokio::runtime::Handle::current()).expect("entropy");
        let engine: Arc<dyn Engine> = Arc::new(Memory::default());
        let identity = Identity {
            server_name: server_name!("x.example").to_owned(),
            key: SigningKey::from_seed(&[7; 32], "a1").expect("a key"),
        };
        Self {
            rooms: Rooms::new(Arc::clone(&engine), env.clone(), identity),
            engine,
            env,
        }
    }

    /// Views without the tasks that follow the log: what is measured is reading.
    async fn views(&self) -> Views {
        let env = Env::system(tokio::runtime::Handle::current()).expect("entropy");
        env.stop(Duration::ZERO).await;
        let server_name = server_name!("x.example").to_owned();
        Views::new(Arc::clone(&self.engine), env, server_name, [7; 16])
    }

    async fn room(&self) -> OwnedRoomId {
        let request = CreateRoom {
            creator: user(0),
            profile: Profile::default(),
            version: RoomVersionId::V11,
            preset: Preset::PublicChat,
            name: Some("Town hall".to_owned()),
            topic: None,
            alias: None,
            published: false,
            invite: Vec::new(),
            is_direct: false,
            creation_content: serde_json::Map::new(),
            initial_state: Vec::new(),
            power_level_content_override: serde_json::Map::new(),
            replaces: None,
        };
        self.rooms.create(request).await.expect("a room")
    }

    /// Appends so many changes, some at once.
    async fn append(&self, room: &RoomId, count: usize, change: impl Fn(usize) -> Append) {
        for begin in (0..count).step_by(AT_ONCE) {
            let mut tasks = Vec::new();
            for number in begin..count.min(begin + AT_ONCE) {
                let (rooms, room, append) = (self.rooms.clone(), room.to_owned(), change(number));
                let append = async move { rooms.append(&room, append).await };
                tasks.push(self.env.tasks.spawn("append", append));
            }
            for task in tasks {
                task.await.expect("a task").expect("an event");
            }
        }
    }

    async fn stop(self) {
        drop(self.rooms);
        self.env.stop(Duration::from_secs(10)).await;
    }
}

fn append(sender: OwnedUserId, change: Change) -> Append {
    Append {
        sender,
        change,
        txn: None,
        timestamp_ms: None,
    }
}

/// The heap that an answer takes, from the request until it is there in pieces, against its size.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people to read")]
async fn memory(what: &str, answer: impl Future<Output = EventList>) -> f64 {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let pieces = answer.await.into_pieces();
    let taken = HEAP.peak_usage() - before;
    let size: usize = pieces.iter().map(String::len).sum();
    let times = taken as f64 / size as f64;
    println!("{what} of {MEMBERS} members: {size} B, {taken} B of memory, {times:.2} times");
    times
}

/// The memory that the lists of a room's members and of its state take: the worst of them.
async fn lists() -> f64 {
    let bench = Bench::new();
    let room = bench.room().await;
    let join = |number| {
        let join = Membership::new(user(number + 1), MemberAct::Join);
        append(user(number + 1), Change::Member(join))
    };
    bench.append(&room, MEMBERS - 1, join).await;
    let request = MembersRequest {
        user_id: user(0),
        room_id: room.clone(),
        at: None,
        filter: MembersFilter::default(),
    };
    let (views, reader) = (bench.views().await, user(0));
    let members = async { views.members(&request).await.expect("members") };
    let state = async { views.state(&reader, &room).await.expect("a state") };
    let members = memory("/members", members).await;
    let worst = members.max(memory("/state", state).await);
    bench.stop().await;
    worst
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let worst = runtime.expect("a runtime").block_on(lists());
    if worst <= MEMORY_RATIO_MAX {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
