//! Random histories, followed by devices with all kinds of filters: what a device has put together
//! from increments is what an initial sync would tell it, and its timeline has no gap that it was not
//! told of and no event twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use belfry_env::Random;
use belfry_policy::{Account, MEMBER, Rules, Standing};
use belfry_room::{MemberAct, ReadMark, ReceiptKind};
use futures_util::future::join_all;
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde_json::{Value, json};

use crate::{
    Direction, MessagesRequest, SyncResponse,
    fixture::{Device, Known, Server, alice, bob, carol, each, parsed, user},
};

const SEEDS: u64 = 12;
const STEPS: usize = 60;
/// Of these, each step is waited for by all devices.
const AWAITED_SEEDS: u64 = 3;

struct World {
    server: Server,
    random: Random,
    rooms: Vec<OwnedRoomId>,
    users: Vec<OwnedUserId>,
    messages: Vec<(OwnedRoomId, OwnedEventId)>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let server = Server::new();
        let visibilities = ["shared", "joined", "invited", "world_readable"];
        let mut rooms = Vec::new();
        for visibility in visibilities {
            rooms.push(server.room_with_history(visibility).await);
        }
        Self {
            server,
            random: Random::seeded(seed),
            rooms,
            users: vec![
                alice().to_owned(),
                bob().to_owned(),
                carol().to_owned(),
                user(1),
            ],
            messages: Vec::new(),
        }
    }

    fn pick<T: Clone>(&self, among: &[T]) -> T {
        let place = self.random.below(among.len() as u64);
        among[usize::try_from(place).unwrap()].clone()
    }

    /// Something happens, or is not allowed to.
    async fn step(&mut self) {
        let (room, user) = (self.pick(&self.rooms), self.pick(&self.users));
        let other = self.pick(&self.users);
        let acts = [
            MemberAct::Join,
            MemberAct::Join,
            MemberAct::Leave,
            MemberAct::Invite,
            MemberAct::Kick,
            MemberAct::Ban,
            MemberAct::Unban,
        ];
        match self.random.below(10) {
            0..4 => self.speak(&room, &user).await,
            4..8 => {
                let act = self.pick(&acts);
                let target = if matches!(act, MemberAct::Join | MemberAct::Leave) {
                    &user
                } else {
                    &other
                };
                // Alice founded the rooms and stays, so that there is somebody to invite and kick.
                if target != alice() {
                    drop(self.server.try_act(&room, &user, target, act).await);
                }
            }
            8 => self.change_state(&room).await,
            _ => self.redact().await,
        }
    }

    async fn speak(&mut self, room: &OwnedRoomId, user: &UserId) {
        let change = belfry_room::Change::Message {
            kind: self.pick(&["m.room.message", "org.x"]).into(),
            content: crate::fixture::content(&json!({"n": self.random.below(1_000)})),
        };
        let said = crate::fixture::append(user, change);
        if let Ok(said) = self.server.rooms.append(room, said).await {
            self.messages.push((room.clone(), said.event_id));
        }
    }

    async fn change_state(&mut self, room: &OwnedRoomId) {
        let number = self.random.below(1_000).to_string();
        match self.random.below(4) {
            0 => _ = self.server.name(room, &number).await,
            1 => {
                let visibility = self.pick(&["shared", "joined", "invited", "world_readable"]);
                let content = json!({"history_visibility": visibility, "n": number});
                let kind = "m.room.history_visibility";
                self.server.set(room, alice(), kind, "", &content).await;
            }
            2 => {
                let content = json!({"membership": "join", "displayname": number});
                let kind = "m.room.member";
                let server = &self.server;
                server
                    .set(room, alice(), kind, alice().as_str(), &content)
                    .await;
            }
            _ => {
                let content = json!({"n": number});
                let key = self.pick(&["", "a", "b"]);
                self.server
                    .set(room, alice(), "org.x.state", key, &content)
                    .await;
            }
        }
    }

    async fn redact(&mut self) {
        if !self.messages.is_empty() {
            let (room, event) = self.pick(&self.messages);
            self.server.redact(&room, alice(), &event).await;
        }
    }

    fn devices(&self) -> Vec<Follower> {
        let mut followers = Vec::new();
        for user in &self.users {
            for (number, filter) in filters().into_iter().enumerate() {
                let mut device = Device::with_filter(user, &filter);
                device.request.device_id = Some(format!("D{number}").into());
                device.request.use_state_after = number % 2 == 1;
                followers.push(Follower {
                    lazy: filter["room"]["state"]["lazy_load_members"] == true,
                    device,
                    seen: BTreeMap::new(),
                });
            }
        }
        followers
    }
}

fn filters() -> [Value; 5] {
    let lazy = json!({"lazy_load_members": true});
    [
        json!({}),
        json!({"room": {"timeline": {"limit": 3}}}),
        json!({"room": {"timeline": {"limit": 2}, "state": lazy}}),
        json!({"room": {"timeline": {"limit": 50}, "state": lazy}}),
        json!({"room": {"timeline": {"limit": 5, "not_types": ["org.*", "m.room.name"]}}}),
    ]
}

/// A device, and which events it was shown in each room since it last came in.
struct Follower {
    device: Device,
    lazy: bool,
    seen: BTreeMap<OwnedRoomId, BTreeSet<String>>,
}

impl Follower {
    async fn sync(&mut self, server: &Server, label: &str) {
        let before: BTreeSet<_> = self.device.joined.keys().cloned().collect();
        let answer = self.device.sync(server).await;
        let rooms = answer["rooms"]["join"].as_object().cloned();
        for (room, told) in rooms.unwrap_or_default() {
            let room = OwnedRoomId::try_from(room).unwrap();
            let seen = self.seen.entry(room.clone()).or_default();
            if !before.contains(&room) {
                seen.clear();
            }
            for event in each(&told["timeline"]["events"], "event_id") {
                assert!(
                    seen.insert(event.clone()),
                    "{label}: {event} twice in {room}"
                );
            }
        }
        let device = &self.device;
        self.seen.retain(|room, _| device.joined.contains_key(room));
        self.compare(server, label).await;
    }

    /// The device knows what one would that starts now.
    async fn compare(&self, server: &Server, label: &str) {
        let mut fresh = Device::of(&self.device.request.user_id);
        fresh.sync(server).await;
        let rooms: BTreeSet<_> = fresh.joined.keys().collect();
        let known: BTreeSet<_> = self.device.joined.keys().collect();
        assert_eq!(known, rooms, "{label}: rooms");
        assert_eq!(self.device.invited, fresh.invited, "{label}: invites");
        for (room, actual) in &fresh.joined {
            let known = &self.device.joined[room];
            self.compare_state(known, actual, &format!("{label}, {room}"));
            assert_eq!(
                known.summary["m.joined_member_count"], actual.summary["m.joined_member_count"],
                "{label}, {room}"
            );
            self.compare_timeline(server, room, known, label).await;
        }
    }

    fn compare_state(&self, known: &Known, actual: &Known, label: &str) {
        let wanted = |tuple: &(String, String)| {
            let member = tuple.0 == "m.room.member";
            !self.lazy || !member || known.state.contains_key(tuple)
        };
        let actual: BTreeMap<_, _> = actual
            .state
            .iter()
            .filter(|(tuple, _)| wanted(tuple))
            .collect();
        let known: BTreeMap<_, _> = known.state.iter().collect();
        assert_eq!(known, actual, "{label}: state");
    }

    /// What `/messages` tells is what the device has, since the last gap that it was told of.
    async fn compare_timeline(
        &self,
        server: &Server,
        room: &OwnedRoomId,
        known: &Known,
        label: &str,
    ) {
        let mut request = MessagesRequest {
            device_id: None,
            user_id: self.device.request.user_id.clone(),
            room_id: room.clone(),
            from: self.device.request.since.clone(),
            to: None,
            direction: Direction::Backward,
            limit: Some(20),
            filter: self.device.request.filter.room.timeline.clone(),
        };
        let mut newest_first = Vec::new();
        while newest_first.len() < known.timeline.len() {
            let page = server.views.messages(&request).await.unwrap();
            newest_first.extend(each(&parsed(&page.chunk), "event_id"));
            let Some(end) = page.end else { break };
            request.from = Some(end);
        }
        newest_first.truncate(known.timeline.len());
        newest_first.reverse();
        assert_eq!(known.timeline, newest_first, "{label}, {room}: timeline");
    }
}

#[tokio::test(start_paused = true)]
async fn increments_add_up_to_what_an_initial_sync_tells() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed).await;
        let mut followers = world.devices();
        for step in 0..STEPS {
            world.step().await;
            for (number, follower) in followers.iter_mut().enumerate() {
                if world.random.below(12) == 0 {
                    let label = format!("seed {seed}, step {step}, device {number}");
                    follower.sync(&world.server, &label).await;
                }
            }
        }
        for (number, follower) in followers.iter_mut().enumerate() {
            let label = format!("seed {seed}, end, device {number}");
            follower.sync(&world.server, &label).await;
        }
        world.server.stop().await;
    }
}

impl World {
    /// Somebody has read what was said last.
    async fn read(&mut self) {
        let (room, user) = (self.pick(&self.rooms), self.pick(&self.users));
        let said = self.messages.iter().rev().find(|(place, _)| *place == room);
        let Some((_, event)) = said else { return };
        let account = Account {
            id: &user,
            role: MEMBER,
            standing: Standing::Active,
        };
        let mark = ReadMark {
            kind: self.pick(&[ReceiptKind::Read, ReceiptKind::Private]),
            event_id: event,
            thread: None,
        };
        let rules = Rules::default();
        let read = self.server.rooms.read_as(&rules, account, &room, mark);
        drop(read.await);
        self.server.views.nudge();
    }

    /// Two say something at once: one commit holds both.
    async fn speak_together(&mut self) {
        let room = self.pick(&self.rooms);
        let says = |user: &UserId, kind: &str| {
            let change = belfry_room::Change::Message {
                kind: kind.into(),
                content: crate::fixture::content(&json!({"body": "x"})),
            };
            crate::fixture::append(user, change)
        };
        let (one, other) = (self.pick(&self.users), self.pick(&self.users));
        let (one, other) = (says(&one, "m.room.message"), says(&other, "org.x"));
        let rooms = &self.server.rooms;
        drop(tokio::join!(
            rooms.append(&room, one),
            rooms.append(&room, other)
        ));
    }

    /// Something happens while all these wait; what each is told.
    async fn step_awaited(&mut self, followers: &[Follower]) -> Vec<SyncResponse> {
        let (views, clock) = (self.server.views.clone(), self.server.env.clock.clone());
        let polls = followers.iter().map(|follower| {
            let request = &follower.device.request;
            async { views.sync(request).await.unwrap() }
        });
        let acts = async {
            clock.sleep(Duration::from_secs(1)).await;
            match self.random.below(4) {
                0 => self.read().await,
                1 => self.speak_together().await,
                _ => self.step().await,
            }
        };
        tokio::join!(join_all(polls), acts).0
    }
}

/// What an answer tells, but when: tokens and ages.
fn told(answer: &SyncResponse) -> Value {
    let mut answer: Value = serde_json::from_str(&answer.to_json()).unwrap();
    answer["next_batch"].take();
    forget_ages(&mut answer);
    answer
}

fn forget_ages(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("age");
            members.values_mut().for_each(forget_ages);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_ages),
        _ => {}
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_told_what_each_is_told_alone() {
    let mut shared = 0;
    for seed in 0..AWAITED_SEEDS {
        let mut world = World::new(seed).await;
        for room in &world.rooms {
            for user in [bob().to_owned(), user(1)] {
                drop(
                    world
                        .server
                        .try_act(room, &user, &user, MemberAct::Join)
                        .await,
                );
            }
        }
        let mut followers = world.devices();
        for follower in &mut followers {
            follower.sync(&world.server, "start").await;
        }
        for step in 0..STEPS / 2 {
            let timeout = Duration::from_secs(3);
            for follower in &mut followers {
                follower.device.request.timeout = timeout;
            }
            let answers = world.step_awaited(&followers).await;
            for (number, (follower, answer)) in followers.iter_mut().zip(&answers).enumerate() {
                let label = format!("seed {seed}, step {step}, device {number}");
                let request = &mut follower.device.request;
                request.timeout = Duration::ZERO;
                let alone = world.server.views.sync(request).await.unwrap();
                if !answer.is_empty() {
                    assert_eq!(told(answer), told(&alone), "{label}");
                }
                follower.sync(&world.server, &label).await;
            }
            shared += world.server.views.0.news.told();
        }
        world.server.stop().await;
    }
    assert!(shared > 50, "{shared}");
}
