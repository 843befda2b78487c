//! What a page of history costs on `RocksDB` in a room of a million events, against a room of a
//! thousand in the same database.
//!
//! Run with `cargo bench -p belfry-sync --bench history [-- EVENTS]`. The database takes minutes to
//! build, so it is kept for the next run; `-- forget` removes it. Ends in an error if the aim is
//! missed. It knows nothing of HTTP.
#![expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the time, and tells where its database is"
)]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use belfry_data::keyspaces;
use belfry_env::Env;
use belfry_event::SigningKey;
use belfry_kv::Engine;
use belfry_kv_rocks::{Options, Rocks};
use belfry_room::{Append, Change, CreateRoom, Identity, Preset, Profile, Rooms};
use belfry_sync::{Direction, MessagesRequest, RoomEventFilter, Views};
use ruma_common::{OwnedRoomId, RoomId, RoomVersionId, ServerName, UserId, server_name, user_id};
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::runtime::{Builder, Handle};

const SMALL: usize = 1_000;
const LARGE: usize = 1_000_000;
const WRITERS: usize = 200;
const RUNS: usize = 200;
/// Pages read one after another, as by somebody who scrolls back.
const PAGES: usize = 9;
/// The aim: how much longer a page of the large room takes.
const RATIO_MAX: f64 = 1.5;

fn main() -> ExitCode {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-history");
    if std::env::args().any(|argument| argument == "forget") {
        drop(fs::remove_dir_all(folder));
        return ExitCode::SUCCESS;
    }
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let events = asked.unwrap_or(LARGE);
    let rooms = runtime.block_on(rooms(&folder, events));
    let met = runtime.block_on(measure(&folder, events, &rooms));
    if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn own() -> &'static ServerName {
    server_name!("bench.example")
}

fn founder() -> &'static UserId {
    user_id!("@founder:bench.example")
}

fn open(folder: &Path) -> Arc<dyn Engine> {
    let started = Instant::now();
    let options = Options::new(Arc::new(move || started.elapsed()));
    let rocks = Rocks::open(folder.join("db"), keyspaces(), options);
    Arc::new(rocks.expect("a database"))
}

fn env() -> Env {
    Env::system(Handle::current()).expect("randomness")
}

/// The small room and the large one, from the database of the last run or a new one.
async fn rooms(folder: &Path, events: usize) -> [OwnedRoomId; 2] {
    let note = folder.join(events.to_string());
    if let Ok(known) = fs::read_to_string(&note) {
        let mut rooms = known
            .lines()
            .map(|room| room.try_into().expect("a room ID"));
        return [(); 2].map(|()| rooms.next().expect("two rooms"));
    }
    drop(fs::remove_dir_all(folder));
    fs::create_dir_all(folder).expect("the folder can be made");
    let (engine, env, started) = (open(folder), env(), Instant::now());
    let identity = Identity {
        server_name: own().to_owned(),
        key: SigningKey::from_seed(&[7; 32], "bench").expect("a key"),
    };
    let rooms = Rooms::new(Arc::clone(&engine), env.clone(), identity);
    // What is derived from the log is derived meanwhile, as in a server.
    let views = Views::new(engine, env.clone(), own().to_owned(), [7; 16]);
    let small = room(&rooms, &env, SMALL).await;
    let large = room(&rooms, &env, events).await;
    println!("{events} events written in {:?}", started.elapsed());
    drop((rooms, views));
    env.stop(Duration::from_mins(1)).await;
    fs::write(note, format!("{small}\n{large}\n")).expect("a note");
    [small, large]
}

/// A room with so many messages.
async fn room(rooms: &Rooms, env: &Env, events: usize) -> OwnedRoomId {
    let request = CreateRoom {
        creator: founder().to_owned(),
        profile: Profile::default(),
        version: RoomVersionId::V12,
        preset: Preset::PublicChat,
        name: None,
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
    let room = rooms.create(request).await.expect("a room");
    let writers = (0..WRITERS).map(|writer| {
        let (rooms, room) = (rooms.clone(), room.clone());
        let numbers = (writer..events).step_by(WRITERS);
        let write = async move {
            for number in numbers {
                rooms.append(&room, message(number)).await.expect("sent");
            }
        };
        env.tasks.spawn("writer", write)
    });
    let writers: Vec<_> = writers.collect();
    for writer in writers {
        writer.await.expect("the writer ends");
    }
    room
}

fn message(number: usize) -> Append {
    let body = format!("Good morning, this is what number {number} has to say");
    let content = to_raw_value(&json!({"msgtype": "m.text", "body": body}));
    Append {
        sender: founder().to_owned(),
        change: Change::Message {
            kind: "m.room.message".into(),
            content: content.expect("JSON"),
        },
        txn: None,
        timestamp_ms: None,
    }
}

async fn measure(folder: &Path, events: usize, rooms: &[OwnedRoomId; 2]) -> bool {
    let engine = open(folder);
    // Without the tasks that follow the log: what is measured is reading.
    let env = env();
    env.stop(Duration::ZERO).await;
    let views = Views::new(engine, env, own().to_owned(), [7; 16]);
    let [small, large] = rooms;
    let mut medians = Vec::new();
    for (room, events) in [(small, SMALL), (large, events)] {
        let (cold, _) = page(&views, room, None).await;
        let mut warm = Vec::new();
        for _ in 0..RUNS {
            warm.push(page(&views, room, None).await.0);
        }
        let (mut back, mut from) = (Vec::new(), None);
        for _ in 0..PAGES {
            let (took, next) = page(&views, room, from).await;
            back.push(took);
            from = next;
        }
        let (warm, back) = (median(warm), median(back));
        println!(
            "/messages?limit=100 of {events:>9} events: first {cold:?}, median of {RUNS} {warm:?}, \
             of {PAGES} pages back {back:?}"
        );
        medians.push((warm, back));
    }
    let ratio = |of: fn(&(Duration, Duration)) -> Duration| match &medians[..] {
        [small, large] => of(large).as_secs_f64() / of(small).as_secs_f64(),
        _ => f64::INFINITY,
    };
    let (warm, back) = (ratio(|it| it.0), ratio(|it| it.1));
    println!("the large room's page takes {warm:.2} times as long, scrolling back {back:.2} times");
    warm <= RATIO_MAX && back <= RATIO_MAX
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The time of a page, and where the next begins.
async fn page(views: &Views, room: &RoomId, from: Option<String>) -> (Duration, Option<String>) {
    let request = MessagesRequest {
        device_id: None,
        user_id: founder().to_owned(),
        room_id: room.to_owned(),
        from,
        to: None,
        direction: Direction::Backward,
        limit: Some(100),
        filter: RoomEventFilter::default(),
    };
    let started = Instant::now();
    let page = views.messages(&request).await.expect("a page");
    let json = black_box(page.to_json());
    let took = started.elapsed();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let shown = json["chunk"].as_array().map_or(0, Vec::len);
    assert_eq!(shown, 100, "a full page");
    (took, json["end"].as_str().map(str::to_owned))
}
