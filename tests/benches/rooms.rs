//! What rooms cost on `RocksDB` and on a real disk: events into one room, state in rooms of 10 and
//! of 100,000 members, the start of a large database.
//!
//! Run with `cargo bench -p belfry-tests --bench rooms [-- MEMBERS]`. It knows nothing of HTTP.
#![expect(
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a measurement reads the time, and its figures are small"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use belfry_data::{RoomReader, keyspaces};
use belfry_env::{Env, Tasks};
use belfry_event::SigningKey;
use belfry_kv::{BoxFuture, Commit, CommitError, Engine, Position, ReadError, Snapshot};
use belfry_kv_rocks::{Options, Rocks};
use belfry_room::{
    Append, Change, CreateRoom, Identity, MemberAct, Membership, Preset, Profile, Rooms,
};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, server_name, user_id};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

const MEMBERS: usize = 100_000;
const MESSAGES: usize = 20_000;
const WRITERS: usize = 100;
const STATE_EVENTS: usize = 300;

fn main() {
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let members = asked.unwrap_or(MEMBERS);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-rooms");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).expect("the folder can be made");
    let disk = fdatasync_p50(&folder);
    println!("fdatasync of 400 bytes, p50: {disk:?}");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure(&folder, members));
    runtime.block_on(start_again(&folder));
    drop(fs::remove_dir_all(&folder));
}

async fn measure(folder: &Path, members: usize) {
    let bench = Bench::open(folder);
    let (small, large) = (bench.room().await, bench.room().await);
    bench.members(&small, 10).await;
    bench.members(&large, members).await;
    let [few, many] = bench.state_events([&small, &large]).await;
    println!(
        "state event, 10 members: p50 {:?}, {} bytes written",
        few.0, few.1
    );
    println!(
        "state event, {members} members: p50 {:?}, {} bytes written",
        many.0, many.1
    );
    let ratio = many.0.as_secs_f64() / few.0.as_secs_f64();
    println!("ratio of the two: {ratio:.2}");
    bench.messages(&small).await;
    bench.messages(&large).await;
    bench.close().await;
}

async fn start_again(folder: &Path) {
    let started = Instant::now();
    let bench = Bench::open(folder);
    let snapshot = bench.engine.snapshot().await.expect("a snapshot");
    let rooms = belfry_data::rooms(&*snapshot, None, 10)
        .await
        .expect("rooms");
    for (room_id, _) in &rooms {
        let reader = RoomReader::new(&*snapshot, room_id);
        assert!(reader.tail().await.expect("a tail").is_some());
    }
    println!("cold start, first reads included: {:?}", started.elapsed());
    drop(snapshot);
    bench.close().await;
}

/// A server's rooms on `RocksDB`, with what is written counted.
struct Bench {
    engine: Arc<Counted>,
    rooms: Rooms,
    env: Env,
}

impl Bench {
    fn open(folder: &Path) -> Self {
        let started = Instant::now();
        let options = Options::new(Arc::new(move || started.elapsed()));
        let rocks = Rocks::open(folder.join("db"), keyspaces(), options).expect("a database");
        let written = AtomicU64::new(0);
        let engine = Arc::new(Counted { rocks, written });
        let env = Env::system(tokio::runtime::Handle::current()).expect("randomness");
        let identity = Identity {
            server_name: server_name!("bench.example").to_owned(),
            key: SigningKey::from_seed(&[7; 32], "bench").expect("a key"),
        };
        let rooms = Rooms::new(
            Arc::clone(&engine) as Arc<dyn Engine>,
            env.clone(),
            identity,
        );
        Self { engine, rooms, env }
    }

    async fn close(self) {
        drop(self.rooms);
        assert!(self.env.stop(Duration::from_secs(30)).await.is_clean());
    }

    async fn room(&self) -> OwnedRoomId {
        let request = CreateRoom {
            creator: user_id!("@founder:bench.example").to_owned(),
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
        self.rooms.create(request).await.expect("a room")
    }

    /// Lets members join, many at a time.
    async fn members(&self, room: &RoomId, count: usize) {
        let (started, before) = (Instant::now(), self.engine.written.load(Ordering::Relaxed));
        let join = |number: usize| {
            let user = OwnedUserId::try_from(format!("@member{number}:bench.example"));
            let user = user.expect("a user ID");
            append(
                &user,
                Change::Member(Membership::new(user.clone(), MemberAct::Join)),
            )
        };
        self.all(room, (0..count).map(join).collect()).await;
        let bytes = self.engine.written.load(Ordering::Relaxed) - before;
        let (took, each) = (started.elapsed(), bytes / count.max(1) as u64);
        let rate = count as f64 / took.as_secs_f64();
        println!("{count} joins: {rate:.0}/s, {bytes} bytes committed, {each} each");
    }

    async fn messages(&self, room: &RoomId) {
        let (started, cpu) = (Instant::now(), cpu_time());
        let text = content(&json!({"msgtype": "m.text", "body": "x".repeat(200)}));
        let message = |_| {
            let change = Change::Message {
                kind: "m.room.message".into(),
                content: text.clone(),
            };
            append(user_id!("@founder:bench.example"), change)
        };
        self.all(room, (0..MESSAGES).map(message).collect()).await;
        let rate = MESSAGES as f64 / started.elapsed().as_secs_f64();
        let cpu = cpu_time().saturating_sub(cpu) / MESSAGES as u32;
        println!("{MESSAGES} messages, {WRITERS} at a time: {rate:.0}/s, {cpu:?} CPU each");
    }

    /// State events, one after the other and in turn in each room, so that both meet the same disk:
    /// the median time, and bytes written for each.
    async fn state_events(&self, rooms: [&RoomId; 2]) -> [(Duration, u64); 2] {
        let mut seen = [(Vec::new(), 0), (Vec::new(), 0)];
        for number in 0..STATE_EVENTS {
            for (room, (times, bytes)) in rooms.iter().zip(&mut seen) {
                let before = self.engine.written.load(Ordering::Relaxed);
                let started = Instant::now();
                self.topic(room, number).await;
                times.push(started.elapsed());
                *bytes += self.engine.written.load(Ordering::Relaxed) - before;
            }
        }
        seen.map(|(mut times, bytes)| {
            times.sort_unstable();
            (times[times.len() / 2], bytes / STATE_EVENTS as u64)
        })
    }

    async fn topic(&self, room: &RoomId, number: usize) {
        let change = Change::State {
            kind: "m.room.topic".into(),
            state_key: String::new(),
            content: content(&json!({"topic": number.to_string()})),
        };
        let founder = user_id!("@founder:bench.example");
        self.rooms
            .append(room, append(founder, change))
            .await
            .expect("sent");
    }

    /// Sends all of them, [`WRITERS`] at a time.
    async fn all(&self, room: &RoomId, appends: Vec<Append>) {
        let tasks: &Tasks = &self.env.tasks;
        let share = appends.len().div_ceil(WRITERS).max(1);
        let writers: Vec<_> = appends
            .chunks(share)
            .map(|share| {
                let (rooms, room, share) = (self.rooms.clone(), room.to_owned(), share.to_vec());
                tasks.spawn("writer", async move {
                    for append in share {
                        rooms.append(&room, append).await.expect("sent");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.expect("the writer ends");
        }
    }
}

fn append(sender: &ruma_common::UserId, change: Change) -> Append {
    Append {
        sender: sender.to_owned(),
        change,
        txn: None,
        timestamp_ms: None,
    }
}

fn content(value: &serde_json::Value) -> Box<RawValue> {
    to_raw_value(value).expect("JSON")
}

/// The engine, with the bytes of all commits added up.
struct Counted {
    rocks: Rocks,
    written: AtomicU64,
}

impl Engine for Counted {
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, ReadError>> {
        self.rocks.snapshot()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'static, Result<Position, CommitError>> {
        self.written
            .fetch_add(commit.bytes() as u64, Ordering::Relaxed);
        self.rocks.commit(commit)
    }

    fn changed(&self, after: Position) -> BoxFuture<'_, Position> {
        self.rocks.changed(after)
    }
}

/// CPU time of this process so far, all threads.
fn cpu_time() -> Duration {
    let ticks: u64 = fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(|stat| {
            let fields: Vec<_> = stat.rsplit(')').next()?.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        })
        .unwrap_or_default();
    Duration::from_millis(ticks * 10)
}

/// What the disk alone costs.
fn fdatasync_p50(folder: &Path) -> Duration {
    use std::io::Write as _;
    let mut file = fs::File::create(folder.join("fdatasync")).expect("a file");
    let mut times: Vec<_> = (0..500)
        .map(|_| {
            file.write_all(&[7; 400]).expect("a write");
            let started = Instant::now();
            file.sync_data().expect("a sync");
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}
