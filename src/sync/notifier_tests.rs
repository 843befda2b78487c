//! Nobody is missed: devices that poll while others write, in every order that a seed leads to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use belfry_data::{
    BoxFuture, Commit, CommitError, Direction, Engine, Position, ReadError, Snapshot,
};
use belfry_env::Random;
use belfry_kv::{Key, Page, Range};
use belfry_room::MemberAct;
use bytes::Bytes;
use ruma_common::{OwnedRoomId, OwnedUserId};
use serde_json::json;

use crate::{
    RING_ROOMS_MAX, SyncRequest, ViewError, Views, WAITING_PER_USER_MAX,
    fixture::{Device, Server, alice, bob, each, joined, list, local, text, user},
};

const SEEDS: u64 = 30;
const MESSAGES: usize = 24;
const WRITERS: usize = 3;
const READERS: usize = 8;

fn ms(random: &Random, below: u64) -> Duration {
    Duration::from_millis(random.below(below))
}

/// Answers held commits after a random while, as a disk would.
async fn disk(server: Arc<Server>, random: Random) {
    let mut left = true;
    while left {
        let queued = server
            .env
            .clock
            .within(Duration::from_secs(20), server.engine.queued());
        left = queued.await.is_ok();
        server.env.clock.sleep(ms(&random, 9)).await;
        server.engine.sync_next();
    }
}

async fn write(server: Arc<Server>, rooms: Vec<OwnedRoomId>, sender: OwnedUserId, random: Random) {
    for number in 0..MESSAGES / WRITERS {
        server.env.clock.sleep(ms(&random, 40)).await;
        let room = random.below(rooms.len() as u64);
        let room = &rooms[usize::try_from(room).unwrap()];
        server
            .say(room, &sender, &format!("{sender} {number}"))
            .await;
    }
}

/// Polls until every message was seen; some requests are given up on the way.
async fn read(server: Arc<Server>, mut device: Device, random: Random) -> Vec<String> {
    let mut bodies = Vec::new();
    device.request.timeout = Duration::from_secs(30);
    while bodies.len() < MESSAGES {
        if random.below(3) == 0 {
            let given_up = Box::pin(server.views.sync(&device.request));
            drop(server.env.clock.within(ms(&random, 20), given_up).await);
        }
        let begun = server.env.clock.now();
        let answer = device.sync(&server).await;
        let waited = server.env.clock.now().since(begun);
        assert!(
            waited < Duration::from_secs(10),
            "somebody was missed: {bodies:?}"
        );
        for told in answer["rooms"]["join"].as_object().unwrap().values() {
            assert_eq!(told["timeline"]["limited"], false);
            for event in list(&told["timeline"]["events"]) {
                if event["type"] == "m.room.message" {
                    bodies.push(text(&event["content"]["body"]));
                }
            }
        }
        server.env.clock.sleep(ms(&random, 30)).await;
    }
    bodies
}

#[tokio::test(start_paused = true)]
async fn nobody_is_missed_whatever_the_order() {
    for seed in 0..SEEDS {
        let server = Arc::new(Server::new());
        let random = Random::seeded(seed);
        let rooms = vec![
            server.room().await,
            server.room().await,
            server.room().await,
        ];
        for number in 0..READERS {
            for room in &rooms {
                server.join(room, &user(number)).await;
            }
        }
        let mut devices = Vec::new();
        for number in 0..READERS {
            let filter = json!({"room": {"timeline": {"limit": 100}}});
            let mut device = Device::with_filter(&user(number), &filter);
            device.sync(&server).await;
            devices.push(device);
        }
        server.engine.hold(true);
        let tasks = &server.env.tasks;
        let spinning = tasks.spawn("disk", disk(Arc::clone(&server), random.fork()));
        for number in 0..WRITERS {
            let (sender, random) = (user(number), random.fork());
            let writing = write(Arc::clone(&server), rooms.clone(), sender, random);
            tasks.spawn("writer", writing);
        }
        let mut readers = Vec::new();
        for device in devices {
            let reading = read(Arc::clone(&server), device, random.fork());
            readers.push(tasks.spawn("reader", reading));
        }
        for reader in readers {
            let mut bodies = reader.await.unwrap();
            assert_eq!(bodies.len(), MESSAGES, "seed {seed}: nothing twice");
            bodies.sort();
            bodies.dedup();
            assert_eq!(bodies.len(), MESSAGES, "seed {seed}");
        }
        assert_eq!(server.views.waiting(), 0);
        spinning.await.unwrap();
        Arc::into_inner(server).unwrap().stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn joining_and_being_thrown_out_wakes_from_the_first_event_on() {
    let server = Server::new();
    let room = server.room().await;
    let mut device = Device::of(bob());
    device.sync(&server).await;
    let acts = async {
        for act in [
            MemberAct::Invite,
            MemberAct::Kick,
            MemberAct::Ban,
            MemberAct::Unban,
        ] {
            server.env.clock.sleep(Duration::from_secs(1)).await;
            server.act(&room, alice(), bob(), act).await;
        }
        server.env.clock.sleep(Duration::from_secs(1)).await;
        server.join(&room, bob()).await;
    };
    let follow = async {
        let mut sections = Vec::new();
        for _ in 0..5 {
            let answer = device.poll(&server).await;
            let rooms = answer["rooms"].as_object().expect("woken in time");
            sections.extend(rooms.keys().cloned());
        }
        sections
    };
    let (sections, ()) = tokio::join!(follow, acts);
    assert_eq!(sections, ["invite", "leave", "leave", "leave", "join"]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn more_changed_rooms_than_a_ring_holds_are_all_told() {
    let server = Server::new();
    let mut rooms = Vec::new();
    for _ in 0..RING_ROOMS_MAX + 20 {
        rooms.push(server.room().await);
    }
    let mut device = Device::of(alice());
    device.sync(&server).await;
    let mut sent = Vec::new();
    for room in &rooms {
        sent.push(server.say(room, alice(), "x").await);
    }
    let since = server
        .views
        .0
        .tokens
        .since(device.request.since.as_ref().unwrap())
        .unwrap();
    let snapshot = server.engine.snapshot().await.unwrap();
    server.views.0.notifier.advance(&*snapshot).await.unwrap();
    assert_eq!(
        server.views.0.notifier.changed(alice(), since),
        None,
        "overflown"
    );
    let answer = device.sync(&server).await;
    for (room, event) in rooms.iter().zip(&sent) {
        let events = &joined(&answer, room)["timeline"]["events"];
        assert_eq!(each(events, "event_id"), [event.as_str()]);
    }
    server.say(&rooms[0], alice(), "y").await;
    let answer = device.sync(&server).await;
    assert_eq!(answer["rooms"]["join"].as_object().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_of_one_user_have_a_limit() {
    let server = Arc::new(Server::new());
    server.room().await;
    let mut device = Device::of(alice());
    device.sync(&server).await;
    device.request.timeout = Duration::from_secs(30);
    let mut polls = Vec::new();
    for _ in 0..WAITING_PER_USER_MAX + 10 {
        let (own, request) = (Arc::clone(&server), device.request.clone());
        let poll = async move {
            own.views
                .sync(&request)
                .await
                .map(|answer| answer.is_empty())
        };
        polls.push(server.env.tasks.spawn("poll", poll));
    }
    let (mut answered, mut refused) = (0, 0);
    for poll in polls {
        match poll.await.unwrap() {
            Ok(empty) => {
                assert!(empty);
                answered += 1;
            }
            Err(ViewError::TooManyWaiting) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((answered, refused), (WAITING_PER_USER_MAX, 10), "VIS-006");
    assert_eq!(server.views.waiting(), 0);
    Arc::into_inner(server).unwrap().stop().await;
}

/// An engine that counts what is read of it.
struct Counted {
    inner: Arc<dyn Engine>,
    reads: Arc<AtomicUsize>,
}

struct CountedSnapshot {
    inner: Arc<dyn Snapshot>,
    reads: Arc<AtomicUsize>,
}

impl Engine for Counted {
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, ReadError>> {
        Box::pin(async {
            Ok(Arc::new(CountedSnapshot {
                inner: self.inner.snapshot().await?,
                reads: Arc::clone(&self.reads),
            }) as Arc<dyn Snapshot>)
        })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'static, Result<Position, CommitError>> {
        self.inner.commit(commit)
    }

    fn changed(&self, after: Position) -> BoxFuture<'_, Position> {
        self.inner.changed(after)
    }
}

impl Snapshot for CountedSnapshot {
    fn position(&self) -> Position {
        self.inner.position()
    }

    fn get_many<'a>(
        &'a self,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, ReadError>> {
        self.reads.fetch_add(keys.len(), Ordering::Relaxed);
        self.inner.get_many(keys)
    }

    fn scan(
        &self,
        range: Range,
        direction: Direction,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            let page = self.inner.scan(range, direction, limit).await?;
            self.reads.fetch_add(1 + page.rows.len(), Ordering::Relaxed);
            Ok(page)
        })
    }

    fn scan_many(
        &self,
        ranges: Vec<Range>,
        limit_each: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, ReadError>> {
        self.reads.fetch_add(ranges.len(), Ordering::Relaxed);
        self.inner.scan_many(ranges, limit_each)
    }
}

/// Keys and rows read by an incremental sync that tells one message, in an account of so many rooms.
async fn rows_read(rooms: usize) -> usize {
    let server = Server::new();
    let mut all = Vec::new();
    for _ in 0..rooms {
        all.push(server.room().await);
    }
    let reads = Arc::new(AtomicUsize::new(0));
    let engine = Arc::new(Counted {
        inner: Arc::clone(&server.engine) as Arc<dyn Engine>,
        reads: Arc::clone(&reads),
    });
    let views = Views::new(engine, server.env.clone(), local().to_owned(), [7; 16]);
    let mut request = SyncRequest::new(alice().to_owned());
    let mut last = 0;
    for _ in 0..3 {
        request.since = Some(views.sync(&request).await.unwrap().next_batch);
        server.say(&all[0], alice(), "x").await;
        reads.store(0, Ordering::Relaxed);
        let answer = views.sync(&request).await.unwrap();
        assert_eq!(answer.join.len(), 1);
        last = reads.load(Ordering::Relaxed);
        request.since = Some(answer.next_batch);
    }
    drop(views);
    server.stop().await;
    last
}

#[tokio::test(start_paused = true)]
async fn quiet_rooms_cost_an_incremental_sync_nothing() {
    let (few, many) = (rows_read(5).await, rows_read(150).await);
    // The projector reads beside it: at most a look at the log more or less.
    assert!(few.abs_diff(many) <= 2, "{few} and {many} rows");
    assert!(few <= 25, "{few} rows");
}
