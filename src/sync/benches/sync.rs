//! What it costs to tell clients: CPU time of one sync, by the kind of account.
//!
//! On the memory engine, one thread, so that elapsed time is CPU time: the median of many runs.

use std::{hint::black_box, sync::Arc, time::Duration};

use belfry_data::Engine;
use belfry_env::{Clock, Env};
use belfry_event::SigningKey;
use belfry_kv::Memory;
use belfry_room::{
    Append, Change, CreateRoom, Identity, MemberAct, Membership, Preset, Profile, Rooms,
};
use belfry_sync::{Filter, MembersFilter, MembersRequest, SyncRequest, Views};
use ruma_common::{OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId, server_name};
use serde_json::{json, value::to_raw_value};

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

    /// A room of the first so many users.
    async fn room(&self, members: usize) -> OwnedRoomId {
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
        let room = self.rooms.create(request).await.expect("a room");
        for number in 1..members {
            let join = Membership::new(user(number), MemberAct::Join);
            self.append(&room, &user(number), Change::Member(join))
                .await;
        }
        room
    }

    async fn say(&self, room: &RoomId, sender: &UserId) {
        let content = json!({"msgtype": "m.text", "body": "Good morning, town hall!"});
        let change = Change::Message {
            kind: "m.room.message".into(),
            content: to_raw_value(&content).expect("JSON"),
        };
        self.append(room, sender, change).await;
    }

    async fn append(&self, room: &RoomId, sender: &UserId, change: Change) {
        let append = Append {
            sender: sender.to_owned(),
            change,
            txn: None,
            timestamp_ms: None,
        };
        self.rooms.append(room, append).await.expect("an event");
    }

    async fn sync(&self, request: &mut SyncRequest) -> usize {
        let answer = self.views.sync(request).await.expect("an answer");
        let json = answer.to_json();
        request.since = Some(answer.next_batch);
        black_box(json).len()
    }

    async fn stop(self) {
        drop((self.rooms, self.views));
        self.env.stop(Duration::from_secs(10)).await;
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn show(what: &str, time: Duration, bytes: usize) {
    let micros = time.as_secs_f64() * 1e6;
    println!("{what:<58} {micros:>10.1} us {bytes:>10} B");
}

async fn incremental(rooms: usize) {
    let bench = Bench::new();
    let mut all = Vec::new();
    for _ in 0..rooms {
        all.push(bench.room(2).await);
    }
    let mut request = SyncRequest::new(user(0));
    bench.sync(&mut request).await;
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..1_000 {
        bench.say(&all[0], &user(1)).await;
        let clock: &Clock = &bench.env.clock;
        let begun = clock.now();
        bytes = bench.sync(&mut request).await;
        times.push(clock.now().since(begun));
    }
    show(
        &format!("incremental, 1 message, account of {rooms} rooms"),
        median(times),
        bytes,
    );
    bench.stop().await;
}

async fn initial(rooms: usize, members: usize, lazy: bool) {
    let bench = Bench::new();
    for _ in 0..rooms {
        let room = bench.room(members).await;
        for number in 0..20 {
            bench.say(&room, &user(number % members)).await;
        }
    }
    let filter = json!({"room": {
        "state": {"lazy_load_members": lazy},
        "timeline": {"limit": 20},
    }});
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..20 {
        let mut request = SyncRequest::new(user(0));
        request.filter = Filter::parse(&filter.to_string()).expect("a filter");
        let begun = bench.env.clock.now();
        bytes = bench.sync(&mut request).await;
        times.push(bench.env.clock.now().since(begun));
    }
    let what = format!("initial, {rooms} rooms of {members}, lazy: {lazy}");
    show(&what, median(times), bytes);
    bench.stop().await;
}

async fn fan_out(waiting: usize) {
    let bench = Bench::new();
    let room = bench.room(waiting).await;
    let mut requests: Vec<_> = (0..waiting).map(|n| SyncRequest::new(user(n))).collect();
    for request in &mut requests {
        let filter = r#"{"room":{"state":{"lazy_load_members":true}}}"#;
        request.filter = Filter::parse(filter).expect("a filter");
        bench.sync(request).await;
        request.timeout = Duration::from_secs(30);
    }
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..5 {
        let mut tasks = Vec::new();
        for mut request in std::mem::take(&mut requests) {
            let views = bench.views.clone();
            let poll = async move {
                let answer = views.sync(&request).await.expect("an answer");
                let bytes = answer.to_json().len();
                request.since = Some(answer.next_batch);
                (request, bytes)
            };
            tasks.push(bench.env.tasks.spawn("poll", poll));
        }
        while bench.views.waiting() < waiting {
            tokio::task::yield_now().await;
        }
        let begun = bench.env.clock.now();
        bench.say(&room, &user(0)).await;
        for task in tasks {
            let (request, told) = task.await.expect("a poll");
            requests.push(request);
            bytes = told;
        }
        times.push(bench.env.clock.now().since(begun));
    }
    show(
        &format!("1 message to {waiting} waiting devices"),
        median(times),
        bytes,
    );
    bench.stop().await;
}

async fn large_room(members: usize) {
    let bench = Bench::new();
    let room = bench.room(members).await;
    bench.say(&room, &user(1)).await;
    let clock = &bench.env.clock;
    for lazy in [true, false] {
        let mut request = SyncRequest::new(user(0));
        let filter = json!({"room": {"state": {"lazy_load_members": lazy}}});
        request.filter = Filter::parse(&filter.to_string()).expect("a filter");
        let begun = clock.now();
        let bytes = bench.sync(&mut request).await;
        let what = format!("initial, 1 room of {members}, lazy: {lazy}");
        show(&what, clock.now().since(begun), bytes);
    }
    let request = MembersRequest {
        user_id: user(0),
        room_id: room.clone(),
        at: None,
        filter: MembersFilter::default(),
    };
    let begun = clock.now();
    let list = bench.views.members(&request).await.expect("members");
    show(
        &format!("/members of {members}"),
        clock.now().since(begun),
        list.to_json().len(),
    );
    let begun = clock.now();
    let json = bench
        .views
        .joined_members(&user(0), &room)
        .await
        .expect("members");
    show(
        &format!("/joined_members of {members}"),
        clock.now().since(begun),
        json.len(),
    );
    bench.stop().await;
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(async {
        incremental(5).await;
        incremental(500).await;
        initial(44, 50, false).await;
        initial(44, 50, true).await;
        fan_out(1_000).await;
        large_room(10_000).await;
    });
}
