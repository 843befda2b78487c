//! What sliding sync costs: the first screen of a large account, an answer when nothing is new, and
//! requests that wait.
//!
//! On the memory engine, one thread, so that elapsed time is CPU time: the median of many runs. The
//! aims, for the release build on `RocksDB`: first screen of 2,000 rooms at most 15 CPU-ms; nothing new
//! in 2,000 rooms at most 1.5 times that of 20; 10,000 idle polls at most 300 MB.

use std::{hint::black_box, sync::Arc, time::Duration};

use belfry_data::Engine;
use belfry_env::Env;
use belfry_event::SigningKey;
use belfry_kv::Memory;
use belfry_room::{Append, Change, CreateRoom, Identity, Preset, Profile, Rooms};
use belfry_sync::{ListRequest, RoomDetails, Shape, SlidingRequest, StateSet, SyncRequest, Views};
use peak_alloc::PeakAlloc;
use ruma_common::{OwnedRoomId, OwnedUserId, RoomVersionId, UserId, server_name};
use serde_json::{json, value::to_raw_value};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Answers of one measurement.
const RUNS: usize = 200;

struct Bench {
    rooms: Rooms,
    views: Views,
    env: Env,
}

fn user(number: usize) -> OwnedUserId {
    UserId::parse(format!("@user{number}:x.example")).expect("a user ID")
}

impl Bench {
    fn new() -> Self {
        let env = Env::system(tokio::runtime::Handle::current()).expect("entropy");
        let engine: Arc<dyn Engine> = Arc::new(Memory::default());
        let server_name = server_name!("x.example").to_owned();
        let identity = Identity {
            server_name: server_name.clone(),
            key: SigningKey::from_seed(&[7; 32], "a1").expect("a key"),
        };
        Self {
            rooms: Rooms::new(Arc::clone(&engine), env.clone(), identity),
            views: Views::new(engine, env.clone(), server_name, [7; 16]),
            env,
        }
    }

    async fn room(&self, number: usize, messages: usize) -> OwnedRoomId {
        let request = CreateRoom {
            creator: user(0),
            profile: Profile::default(),
            version: RoomVersionId::V11,
            preset: Preset::PublicChat,
            name: Some(format!("Room {number}")),
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
        let room = self.rooms.create(request).await.expect("a room");
        for _ in 0..messages {
            let content = json!({"msgtype": "m.text", "body": "Good morning, town hall!"});
            let append = Append {
                sender: user(0),
                change: Change::Message {
                    kind: "m.room.message".into(),
                    content: to_raw_value(&content).expect("JSON"),
                },
                txn: None,
                timestamp_ms: None,
            };
            self.rooms.append(&room, append).await.expect("an event");
        }
        room
    }

    /// Asks, and goes on from there; how long it took, and how much came.
    async fn slide(&self, request: &mut SlidingRequest) -> (Duration, usize) {
        let begun = self.env.clock.now();
        let answer = self.views.slide(request).await.expect("an answer");
        let bytes = black_box(answer.to_json()).len();
        let took = self.env.clock.now().since(begun);
        request.pos = Some(answer.pos);
        (took, bytes)
    }

    async fn stop(self) {
        drop((self.rooms, self.views));
        self.env.stop(Duration::from_secs(10)).await;
    }
}

/// What Element X asks for: 20 rooms with 20 events each.
fn first_screen(shape: Shape) -> SlidingRequest {
    let mut request = SlidingRequest::new(user(0), "PHONE".into());
    request.shape = shape;
    let named = |kind: &str| (Some(kind.to_owned()), Some(String::new()));
    let list = ListRequest {
        ranges: Some(vec![(0, 19)]),
        details: RoomDetails {
            state: vec![StateSet {
                include: vec![
                    named("m.room.name"),
                    named("m.room.create"),
                    named("m.room.encryption"),
                ],
                lazy_members: true,
                ..StateSet::default()
            }],
            timeline_limit: 20,
        },
        ..ListRequest::default()
    };
    request.lists.insert("rooms".to_owned(), list);
    request
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn show(what: &str, time: Duration, bytes: usize) {
    let micros = time.as_secs_f64() * 1e6;
    println!("{what:<58} {micros:>10.1} us {bytes:>10} B");
}

/// The first screen, and then nothing new.
async fn account(rooms: usize, shape: Shape) -> Duration {
    let bench = Bench::new();
    for number in 0..rooms {
        bench
            .room(number, if rooms - number <= 20 { 20 } else { 1 })
            .await;
    }
    let (mut first, mut bytes) = (Vec::new(), 0);
    for _ in 0..RUNS / 10 {
        let (took, told) = bench.slide(&mut first_screen(shape)).await;
        first.push(took);
        bytes = told;
    }
    let what = format!("first screen, account of {rooms} rooms, {shape:?}");
    show(&what, median(first), bytes);
    let mut request = first_screen(shape);
    bench.slide(&mut request).await;
    let mut quiet = Vec::new();
    for _ in 0..RUNS {
        let (took, told) = bench.slide(&mut request).await;
        quiet.push(took);
        bytes = told;
    }
    let quiet = median(quiet);
    show(
        &format!("nothing new, account of {rooms} rooms, {shape:?}"),
        quiet,
        bytes,
    );
    bench.stop().await;
    quiet
}

/// Requests that wait for something that does not come.
async fn idle(polls: usize) {
    let bench = Bench::new();
    let before = ALLOCATOR.current_usage_as_mb();
    let mut tasks = Vec::new();
    for number in 0..polls {
        let (views, mut request) = (bench.views.clone(), SyncRequest::new(user(number)));
        let poll = async move {
            let first = views.sync(&request).await.expect("an answer");
            request.since = Some(first.next_batch);
            request.timeout = Duration::from_mins(5);
            drop(views.sync(&request).await);
        };
        tasks.push(bench.env.tasks.spawn("poll", poll));
    }
    while bench.views.waiting() < polls {
        tokio::task::yield_now().await;
    }
    let used = ALLOCATOR.current_usage_as_mb() - before;
    println!("{polls} idle polls: {used:.1} MB");
    bench.stop().await;
    drop(tasks);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(async {
        for shape in [Shape::Draft, Shape::Accepted] {
            let few = account(20, shape).await;
            let many = account(2_000, shape).await;
            let ratio = many.as_secs_f64() / few.as_secs_f64();
            println!("nothing new, 2,000 rooms to 20: {ratio:.2}");
        }
        idle(10_000).await;
    });
}
