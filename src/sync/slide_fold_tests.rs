//! Random histories, followed by connections of sliding sync in both shapes: what a connection has put
//! together is what a new one is told, no event comes twice or is left out unsaid, and what is unread
//! is what a naive recount finds, in both protocols.

use std::collections::{BTreeMap, BTreeSet};

use belfry_env::Random;
use belfry_policy::{Account, MEMBER, Rules, Standing};
use belfry_room::{MemberAct, ReadMark, ReceiptKind};
use ruma_common::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Value, json};

use crate::{
    Direction, ListRequest, MessagesRequest, RoomDetails, Shape, SlidingRequest, StateSet,
    fixture::{Device, Server, alice, bob, carol, content, each, joined, list, parsed, text},
};

const SEEDS: u64 = 10;
const STEPS: usize = 70;
const MAIN: &str = "main";

/// A message, as the recount remembers it.
struct Message {
    room: OwnedRoomId,
    event: OwnedEventId,
    /// The event that its thread begins with, or [`MAIN`].
    thread: String,
    sender: OwnedUserId,
    /// Who was there, and has not left since.
    audience: BTreeSet<OwnedUserId>,
    redacted: bool,
    notifies: bool,
}

struct World {
    server: Server,
    random: Random,
    rooms: Vec<OwnedRoomId>,
    users: Vec<OwnedUserId>,
    members: BTreeMap<OwnedRoomId, BTreeSet<OwnedUserId>>,
    messages: Vec<Message>,
    /// How many messages somebody has read of a room, in one thread or (without one) in all.
    read: BTreeMap<(OwnedRoomId, OwnedUserId, Option<String>), usize>,
    /// What happened, for whoever reads a failure.
    log: Vec<String>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let server = Server::new();
        let rooms = vec![
            server.room().await,
            server.room().await,
            server.room().await,
        ];
        let founded = |room: &OwnedRoomId| (room.clone(), BTreeSet::from([alice().to_owned()]));
        Self {
            members: rooms.iter().map(founded).collect(),
            server,
            random: Random::seeded(seed),
            rooms,
            users: vec![alice().to_owned(), bob().to_owned(), carol().to_owned()],
            messages: Vec::new(),
            read: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    fn pick<T: Clone>(&self, among: &[T]) -> T {
        let place = self.random.below(among.len() as u64);
        among[usize::try_from(place).unwrap()].clone()
    }

    async fn step(&mut self) {
        let (room, user) = (self.pick(&self.rooms), self.pick(&self.users));
        match self.random.below(14) {
            0..5 => self.speak(room, user).await,
            5..8 => self.move_somebody(room, user).await,
            8 => self.change_state(&room).await,
            9 => self.redact().await,
            10 => self.edit(room, user).await,
            _ => self.mark_read(room, user).await,
        }
    }

    /// Whoever does something in a thread has read what was said there.
    fn has_read(&mut self, room: &OwnedRoomId, user: &UserId, thread: &str) {
        let key = (room.clone(), user.to_owned(), Some(thread.to_owned()));
        self.read.insert(key, self.messages.len());
    }

    /// A message that stands in the room, if there is any that `wanted` holds for.
    fn any(&self, room: &RoomId, wanted: impl Fn(&Message) -> bool) -> Option<usize> {
        let found = self.messages.iter().enumerate();
        let found = found.filter(|(_, one)| one.room == room && !one.redacted && wanted(one));
        let found: Vec<_> = found.map(|(place, _)| place).collect();
        (!found.is_empty()).then(|| self.pick(&found))
    }

    async fn edit(&mut self, room: OwnedRoomId, user: OwnedUserId) {
        let Some(place) = self.any(&room, |one| one.sender == user && one.notifies) else {
            return;
        };
        let (event, thread) = (
            self.messages[place].event.clone(),
            self.messages[place].thread.clone(),
        );
        let text = json!({"body": "y", "msgtype": "m.text"});
        let change = belfry_room::Change::Message {
            kind: "m.room.message".into(),
            content: content(&json!({
                "body": "* y", "msgtype": "m.text", "m.new_content": text,
                "m.relates_to": {"rel_type": "m.replace", "event_id": event},
            })),
        };
        let said = crate::fixture::append(&user, change);
        if self.server.rooms.append(&room, said).await.is_ok() {
            self.log.push(format!("{room} {user} edits {event}"));
            self.has_read(&room, &user, &thread);
        }
    }

    /// The server ends and starts again.
    async fn restart(mut self) -> Self {
        self.server = self.server.restart().await;
        self.log.push("restart".to_owned());
        self
    }

    async fn speak(&mut self, room: OwnedRoomId, user: OwnedUserId) {
        let notifies = self.random.below(4) > 0;
        let kind = if notifies { "m.room.message" } else { "org.x" };
        let mut told = json!({"body": "x", "msgtype": "m.text"});
        let roots = |one: &Message| one.thread == MAIN;
        let first = self.any(&room, roots).filter(|_| self.random.below(3) == 0);
        let mut thread = MAIN.to_owned();
        if let Some(first) = first {
            thread = self.messages[first].event.to_string();
            told["m.relates_to"] = json!({"rel_type": "m.thread", "event_id": thread});
        }
        let change = belfry_room::Change::Message {
            kind: kind.into(),
            content: content(&told),
        };
        let said = crate::fixture::append(&user, change);
        let Ok(said) = self.server.rooms.append(&room, said).await else {
            return;
        };
        let message = Message {
            audience: self.members[&room].clone(),
            room: room.clone(),
            event: said.event_id,
            thread: thread.clone(),
            sender: user.clone(),
            redacted: false,
            notifies,
        };
        self.log.push(format!(
            "{room} {user} says {kind} {} in {thread}",
            message.event
        ));
        self.messages.push(message);
        self.has_read(&room, &user, &thread);
    }

    async fn move_somebody(&mut self, room: OwnedRoomId, user: OwnedUserId) {
        // Alice stays, so that there is somebody to kick.
        if user == alice() {
            return;
        }
        let act = self.pick(&[
            MemberAct::Join,
            MemberAct::Join,
            MemberAct::Leave,
            MemberAct::Kick,
        ]);
        let actor = match act {
            MemberAct::Kick => alice(),
            _ => &user,
        };
        let comes = matches!(act, MemberAct::Join);
        if comes == self.members[&room].contains(&user) {
            // Nothing would happen.
            return;
        }
        if self.server.try_act(&room, actor, &user, act).await.is_err() {
            return;
        }
        self.log.push(format!("{room} {user} {act:?} by {actor}"));
        self.has_read(&room, actor, MAIN);
        let members = self.members.get_mut(&room).unwrap();
        if comes {
            members.insert(user.clone());
        } else {
            members.remove(&user);
            let of_room = self.messages.iter_mut().filter(|one| one.room == room);
            for message in of_room {
                message.audience.remove(&user);
            }
        }
    }

    async fn change_state(&mut self, room: &OwnedRoomId) {
        let number = self.random.below(1_000);
        let kind = self.pick(&["m.room.name", "m.room.topic", "org.x.state"]);
        let value = json!({"name": number.to_string(), "topic": "x", "n": number});
        self.server.set(room, alice(), kind, "", &value).await;
        self.has_read(room, alice(), MAIN);
    }

    async fn redact(&mut self) {
        if self.messages.is_empty() {
            return;
        }
        let place = self.random.below(self.messages.len() as u64);
        let message = &mut self.messages[usize::try_from(place).unwrap()];
        message.redacted = true;
        let (room, event) = (message.room.clone(), message.event.clone());
        self.log.push(format!("{room} redacts {event}"));
        self.server.redact(&room, alice(), &event).await;
        self.has_read(&room, alice(), MAIN);
    }

    async fn mark_read(&mut self, room: OwnedRoomId, user: OwnedUserId) {
        let found = self.messages.iter().enumerate();
        let found: Vec<_> = found.filter(|(_, one)| one.room == room).collect();
        if found.is_empty() || !self.members[&room].contains(&user) {
            return;
        }
        let place = self.random.below(found.len() as u64);
        let (place, message) = found[usize::try_from(place).unwrap()];
        let threaded = self.random.below(2) == 0 && !message.redacted;
        let thread = threaded.then(|| message.thread.clone());
        let account = Account {
            id: &user,
            role: MEMBER,
            standing: Standing::Active,
        };
        let mark = ReadMark {
            kind: self.pick(&[ReceiptKind::Read, ReceiptKind::Private]),
            event_id: &message.event,
            thread: thread.as_deref(),
        };
        let rules = Rules::default();
        let marked = self.server.rooms.read_as(&rules, account, &room, mark);
        marked.await.unwrap();
        self.log.push(format!(
            "{room} {user} reads {} {:?} in {thread:?}",
            message.event, mark.kind
        ));
        let read = self.read.entry((room, user, thread)).or_default();
        *read = (place + 1).max(*read);
    }

    /// How much is unread, counted one by one.
    fn recount(&self, room: &OwnedRoomId, user: &OwnedUserId) -> u64 {
        let upto = |thread: Option<&str>| {
            let thread = thread.map(str::to_owned);
            let read = self.read.get(&(room.clone(), user.clone(), thread));
            read.copied().unwrap_or(0)
        };
        let unread = self.messages.iter().enumerate().filter(|(place, one)| {
            one.room == *room
                && *place >= upto(None)
                && *place >= upto(Some(&one.thread))
                && one.sender != *user
                && one.notifies
                && !one.redacted
                && one.audience.contains(user)
        });
        unread.count() as u64
    }

    fn devices(&self) -> Vec<Slider> {
        let mut sliders = Vec::new();
        for user in &self.users {
            for shape in [Shape::Draft, Shape::Accepted] {
                for (name, last, limit) in [("all", 99, 20), ("few", 0, 2), ("short", 99, 1)] {
                    sliders.push(Slider::new(user, shape, name, (last, limit)));
                }
            }
        }
        sliders
    }
}

/// A client that applies what it is told.
struct Slider {
    request: SlidingRequest,
    rooms: BTreeMap<OwnedRoomId, Known>,
    /// Whether it is told of all rooms.
    whole: bool,
}

#[derive(Default)]
struct Known {
    state: BTreeMap<(String, String), String>,
    /// Since the last gap.
    timeline: Vec<String>,
    /// Ever since it was told from the beginning.
    seen: BTreeSet<String>,
    unread: Option<u64>,
}

impl Slider {
    fn new(user: &OwnedUserId, shape: Shape, name: &str, (end, limit): (u64, u32)) -> Self {
        let mut request = SlidingRequest::new(user.clone(), "DEVICE".into());
        request.shape = shape;
        request.connection = name.to_owned();
        let all = StateSet {
            include: vec![(None, None)],
            ..StateSet::default()
        };
        let list = ListRequest {
            ranges: Some(vec![(0, end)]),
            details: RoomDetails {
                state: vec![all],
                timeline_limit: limit,
            },
            ..ListRequest::default()
        };
        request.lists.insert("rooms".to_owned(), list);
        Self {
            request,
            rooms: BTreeMap::new(),
            whole: end > 0,
        }
    }

    async fn slide(&mut self, world: &World, label: &str) {
        let answer = world.server.views.slide(&self.request).await.unwrap();
        let answer: Value = serde_json::from_str(&answer.to_json()).unwrap();
        self.request.pos = Some(text(&answer["pos"]));
        for (room, told) in answer["rooms"].as_object().unwrap() {
            let room = OwnedRoomId::try_from(room.as_str()).unwrap();
            self.apply(&room, told, &format!("{label}, {room}: {told}"));
        }
        if self.whole {
            self.compare(world, label).await;
        }
    }

    fn apply(&mut self, room: &OwnedRoomId, told: &Value, label: &str) {
        let own = |event: &Value| {
            event["type"] == "m.room.member" && event["state_key"] == self.request.user_id.as_str()
        };
        let newest = list(&told["timeline"]).last();
        let departs =
            newest.is_some_and(|event| own(event) && (event["content"]["membership"] == "leave"));
        if departs {
            self.rooms.remove(room);
            return;
        }
        let known = self.rooms.entry(room.clone()).or_default();
        if told["initial"] == true {
            *known = Known::default();
        }
        if told["limited"] == true {
            known.timeline.clear();
        }
        for event in each(&told["timeline"], "event_id") {
            assert!(known.seen.insert(event.clone()), "{label}: {event} twice");
            known.timeline.push(event);
        }
        for event in list(&told["required_state"]) {
            let tuple = (text(&event["type"]), text(&event["state_key"]));
            known.state.insert(tuple, text(&event["event_id"]));
        }
        let unread = told["notification_count"].as_u64();
        known.unread = unread.or(known.unread);
    }

    /// The connection knows what a new one is told.
    async fn compare(&self, world: &World, label: &str) {
        let mut fresh = Self {
            request: self.request.clone(),
            rooms: BTreeMap::new(),
            whole: false,
        };
        fresh.request.connection = "fresh".to_owned();
        fresh.request.pos = None;
        Box::pin(fresh.slide(world, label)).await;
        let (rooms, known): (Vec<_>, Vec<_>) =
            (fresh.rooms.keys().collect(), self.rooms.keys().collect());
        assert_eq!(known, rooms, "{label}: rooms");
        for (room, actual) in &fresh.rooms {
            let known = &self.rooms[room];
            assert_eq!(known.state, actual.state, "{label}, {room}: state");
            if self.request.shape == Shape::Draft {
                let expected = world.recount(room, &self.request.user_id);
                assert_eq!(known.unread, Some(expected), "{label}, {room}: unread");
            }
            self.compare_timeline(world, room, known, label).await;
        }
    }

    async fn compare_timeline(
        &self,
        world: &World,
        room: &OwnedRoomId,
        known: &Known,
        label: &str,
    ) {
        let mut request = MessagesRequest {
            device_id: None,
            user_id: self.request.user_id.clone(),
            room_id: room.clone(),
            from: self.request.pos.clone(),
            to: None,
            direction: Direction::Backward,
            limit: Some(50),
            filter: crate::RoomEventFilter::default(),
        };
        let mut newest_first = Vec::new();
        while newest_first.len() < known.timeline.len() {
            let page = world.server.views.messages(&request).await.unwrap();
            newest_first.extend(each(&parsed(&page.chunk), "event_id"));
            let Some(end) = page.end else { break };
            request.from = Some(end);
        }
        newest_first.truncate(known.timeline.len());
        newest_first.reverse();
        assert_eq!(known.timeline, newest_first, "{label}, {room}: timeline");
    }
}

/// As many as `BELFRY_SYNC_SEEDS` says, for a long run.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration file to read"
)]
fn seeds() -> u64 {
    let asked = std::env::var("BELFRY_SYNC_SEEDS").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(SEEDS)
}

/// What classic sync counts is what the recount finds.
async fn compare_counts(world: &World, label: &str) {
    for user in &world.users {
        let told = Device::of(user).sync(&world.server).await;
        for room in &world.rooms {
            let counts = &joined(&told, room)["unread_notifications"];
            if let Some(found) = counts["notification_count"].as_u64() {
                let expected = world.recount(room, user);
                let log: Vec<_> = world
                    .log
                    .iter()
                    .filter(|act| act.starts_with(room.as_str()))
                    .collect();
                assert_eq!(found, expected, "{label}, {user} in {room}: {log:#?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn connections_add_up_to_what_a_new_one_is_told_and_counts_to_a_recount() {
    for seed in 0..seeds() {
        let mut world = World::new(seed).await;
        let mut sliders = world.devices();
        for step in 0..STEPS {
            if world.random.below(35) == 0 {
                world = world.restart().await;
            }
            world.step().await;
            for (number, slider) in sliders.iter_mut().enumerate() {
                if world.random.below(14) == 0 {
                    let label = format!("seed {seed}, step {step}, connection {number}");
                    slider.slide(&world, &label).await;
                }
            }
            if step % 10 == 0 {
                compare_counts(&world, &format!("seed {seed}, step {step}")).await;
            }
        }
        for (number, slider) in sliders.iter_mut().enumerate() {
            let label = format!("seed {seed}, end, connection {number}");
            // A window that grew to all rooms.
            slider.whole = true;
            let list = slider.request.lists.get_mut("rooms").unwrap();
            list.ranges = Some(vec![(0, 99)]);
            slider.slide(&world, &label).await;
        }
        world.server.stop().await;
    }
}
