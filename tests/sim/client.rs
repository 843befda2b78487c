//! One device of a user: does one thing after the other, and asks again when it learns nothing.
//!
//! It exists to be as unhelpful to the server as clients are: it sends the same request twice at
//! once, gives up waiting, asks again for what was done long ago, uses one transaction ID for two
//! endpoints, and does what it may not. It knows nothing of what is checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use belfry_env::{Clock, Env};
use belfry_room::{MemberAct, Preset};
use ruma_common::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomVersionId};
use serde_json::json;

use crate::act::{Act, Creation};
use crate::board::{Board, Known};
use crate::dice::Dice;
use crate::door::{Answer, Door, Refusal, Told};
use crate::history::Diary;
use crate::plan::Plan;
use crate::shared::Shared;
use crate::weather::Weather;

/// Rounds of asking after the faults have stopped, beyond which a client has been let down.
const LAST_TRIES_MAX: u32 = 40;

/// The aliases that clients want for their rooms.
pub(crate) fn aliases() -> [OwnedRoomAliasId; 3] {
    ["#one:x.example", "#two:x.example", "#three:x.example"]
        .map(|alias| alias.try_into().expect("an alias"))
}

/// What a client is made of.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) number: u64,
    pub(crate) door: Door,
    pub(crate) dice: Dice,
    pub(crate) board: Board,
    pub(crate) diary: Diary,
    pub(crate) env: Env,
    pub(crate) weather: Weather,
    pub(crate) people: Arc<[OwnedUserId]>,
    pub(crate) plan: Arc<Plan>,
    /// The rooms that the client believes to be in.
    pub(crate) entered: Entered,
}

/// Rooms that a client believes to be in. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Entered(Shared<BTreeMap<OwnedRoomId, Known>>);

/// What kind of thing to do.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Message,
    Burst,
    State,
    Member,
    Redaction,
    Again,
    Odd,
}

const MOODS: [(u64, Mood); 7] = [
    (46, Mood::Message),
    (5, Mood::Burst),
    (15, Mood::State),
    (18, Mood::Member),
    (5, Mood::Redaction),
    (7, Mood::Again),
    (4, Mood::Odd),
];

impl Client {
    /// Does all that the plan has for a device; returns once it knows what became of it.
    pub(crate) async fn live(self) {
        for number in 0..self.plan.acts {
            self.env.clock.sleep(self.pause()).await;
            self.act(number).await;
        }
        self.weather.peace().await;
        for (op, mark, act) in self.diary.unsettled(&self.mine()) {
            self.insist(op, &mark, &act).await;
        }
    }

    /// Seconds at most, and now and then so long that the server forgets the room.
    fn pause(&self) -> Duration {
        if self.dice.chance(10) {
            return self.dice.pause(61_000, 130_000);
        }
        self.dice.pause(0, self.plan.think_ms)
    }

    fn mine(&self) -> String {
        format!("c{}-", self.number)
    }

    fn clock(&self) -> &Clock {
        &self.env.clock
    }

    async fn act(&self, number: u64) {
        let mark = format!("{}{number}", self.mine());
        if self.board.wants_room(self.plan.rooms) {
            return self.create(mark).await;
        }
        let Some((known, entered)) = self.room() else {
            return;
        };
        if !entered && self.dice.chance(850) {
            let join = Self::member(&known, MemberAct::Join, self.door.user.clone());
            return self.enter(mark, &known, join).await;
        }
        match self.dice.weighted(&MOODS) {
            Mood::Message => self.speak(&known, mark).await,
            Mood::Burst => self.burst(&known, &mark).await,
            Mood::State => drop(self.perform(mark.clone(), self.state(&known, &mark)).await),
            Mood::Member => drop(self.perform(mark, self.somebody(&known)).await),
            Mood::Redaction => self.redact(mark).await,
            Mood::Again => self.ask_again().await,
            Mood::Odd => drop(self.perform(mark.clone(), self.odd(&known, &mark)).await),
        }
    }

    /// A room, and whether the client believes to be in it: mostly such a one.
    fn room(&self) -> Option<(Known, bool)> {
        let entered = self.entered.0.lock();
        let rooms: Vec<_> = entered.values().cloned().collect();
        if !rooms.is_empty() && self.dice.chance(800) {
            return Some((self.dice.pick(&rooms).clone(), true));
        }
        let known = self.board.room(&self.dice)?;
        let inside = entered.contains_key(&known.room);
        Some((known, inside))
    }

    async fn enter(&self, mark: String, known: &Known, join: Act) {
        let op = self.begin(&mark, join.clone());
        if let Answer::Done(_) = self.pursue(op, &mark, &join).await {
            self.believe(known, true);
        }
    }

    fn believe(&self, known: &Known, inside: bool) {
        let mut entered = self.entered.0.lock();
        if inside {
            entered.insert(known.room.clone(), known.clone());
        } else {
            entered.remove(&known.room);
        }
    }

    async fn create(&self, mark: String) {
        let version = self.dice.between(3, 12).to_string();
        let version = RoomVersionId::try_from(version.as_str()).expect("a room version");
        let presets = [
            (5, Preset::PublicChat),
            (3, Preset::TrustedPrivateChat),
            (2, Preset::PrivateChat),
        ];
        let others = self.people.iter().filter(|user| **user != self.door.user);
        let creation = Creation {
            version,
            preset: self.dice.weighted(&presets),
            name: mark.clone(),
            topic: self.dice.chance(500).then(|| "A topic".to_owned()),
            alias: self.dice.chance(400).then(|| self.alias()),
            invite: others.filter(|_| self.dice.chance(600)).cloned().collect(),
            is_direct: self.dice.chance(200),
        };
        let op = self.begin(&mark, Act::Create(creation.clone()));
        let answer = self.pursue(op, &mark, &Act::Create(creation.clone())).await;
        match answer {
            Answer::Done(Told::Room(room)) => {
                let known = Known {
                    room,
                    creator: self.door.user.clone(),
                    version: creation.version,
                };
                self.believe(&known, true);
                self.board.tell(known);
            }
            _ => self.board.want_again(),
        }
    }

    /// One of few aliases, so that it may be taken.
    fn alias(&self) -> OwnedRoomAliasId {
        self.dice.pick(&aliases()).clone()
    }

    fn begin(&self, mark: &str, act: Act) -> usize {
        self.diary
            .begin(mark.to_owned(), self.door.user.clone(), act)
    }

    /// Sends a message, and learns from a refusal.
    async fn speak(&self, known: &Known, mark: String) {
        let act = self.message(known, &mark);
        let answer = self.perform(mark, act).await;
        if let Answer::Refused(Refusal {
            forbidden: true, ..
        }) = answer
        {
            self.believe(known, false);
        }
    }

    async fn perform(&self, mark: String, act: Act) -> Answer {
        let op = self.begin(&mark, act.clone());
        if act.has_txn() && self.dice.chance(80) {
            let (one, other) = (self.clone(), self.clone());
            let (twin, twin_mark) = (act.clone(), mark.clone());
            let twin = self.env.tasks.spawn("twin request", async move {
                other.pursue(op, &twin_mark, &twin).await
            });
            let answer = one.pursue(op, &mark, &act).await;
            drop(twin.await);
            return answer;
        }
        self.pursue(op, &mark, &act).await
    }

    /// Asks until it is done or refused, or for as long as the client cares.
    async fn pursue(&self, op: usize, mark: &str, act: &Act) -> Answer {
        let tries = *self.dice.pick(&[1, 3, 10]);
        let mut answer = self.ask(op, mark, act).await;
        for _ in 1..tries {
            if answer.is_final() || !(answer.is_no() || act.is_repeatable()) {
                break;
            }
            self.clock().sleep(self.dice.pause(20, 2_000)).await;
            answer = self.ask(op, mark, act).await;
        }
        if let (Answer::Done(Told::Event(event)), Act::Send { room, .. }) = (&answer, act) {
            self.board.tell_event(room, event);
        }
        answer
    }

    /// Asks until it is known what became of it, which must not take long any more.
    async fn insist(&self, op: usize, mark: &str, act: &Act) {
        for _ in 0..LAST_TRIES_MAX {
            if self.ask(op, mark, act).await.is_final() {
                return;
            }
            self.clock().sleep(self.dice.pause(100, 3_000)).await;
        }
    }

    /// Asks once, for as long as the client has patience.
    async fn ask(&self, op: usize, mark: &str, act: &Act) -> Answer {
        let ask = self.diary.ask(op);
        let patience = if self.plan.is_calm() {
            Duration::from_mins(10)
        } else {
            self.dice.pause(500, 30_000)
        };
        let answered = self.door.ask(act, mark);
        let answer = self.clock().within(patience, answered).await;
        let answer = answer.unwrap_or(Answer::Silence);
        self.diary.told(op, ask, &answer);
        answer
    }

    /// Many messages at once.
    async fn burst(&self, known: &Known, mark: &str) {
        let sends = (0..self.dice.between(3, 24)).map(|number| {
            let (own, mark) = (self.clone(), format!("{mark}-{number}"));
            let act = self.message(known, &mark);
            self.env
                .tasks
                .spawn("burst", async move { own.perform(mark, act).await })
        });
        for send in sends.collect::<Vec<_>>() {
            drop(send.await);
        }
    }

    /// A transaction of before, once more, whatever became of it.
    async fn ask_again(&self) {
        let mine = self.mine();
        let history = self.diary.read();
        let of_mine = history.ops.iter().enumerate();
        let sends: Vec<_> = of_mine
            .filter(|(_, op)| op.mark.starts_with(&mine) && op.act.has_txn())
            .collect();
        if !sends.is_empty() {
            let (number, op) = *self.dice.pick(&sends);
            self.ask(number, &op.mark, &op.act).await;
        }
    }

    fn message(&self, known: &Known, mark: &str) -> Act {
        let length = self.dice.weighted(&[
            (960, 0),
            (30, self.dice.between(1, 4_000)),
            (10, self.dice.between(20_000, 60_000)),
        ]);
        let body = "x".repeat(usize::try_from(length).expect("a length"));
        let kind = *self
            .dice
            .pick(&["m.room.message", "m.reaction", "org.example.note"]);
        Act::Send {
            room: known.room.clone(),
            kind,
            txn: self.txn(&known.room, kind),
            content: json!({"msgtype": "m.text", "body": body, "mark": mark}),
        }
    }

    /// An ID that is unique on this device within the endpoint and the room, and nowhere else.
    fn txn(&self, room: &OwnedRoomId, kind: &'static str) -> String {
        let count = self.board.count((self.number, room.clone(), kind));
        format!("t{count}")
    }

    fn state(&self, known: &Known, mark: &str) -> Act {
        let kinds = [
            (6, "m.room.topic"),
            (3, "m.room.name"),
            (6, "org.example.flag"),
            (2, "m.room.join_rules"),
            (3, "m.room.power_levels"),
        ];
        let kind = self.dice.weighted(&kinds);
        let content = match kind {
            "m.room.topic" => json!({"topic": "Another", "mark": mark}),
            "m.room.name" => json!({"name": "Another", "mark": mark}),
            "m.room.join_rules" => {
                let rule = *self.dice.pick(&["public", "invite", "knock"]);
                json!({"join_rule": rule, "mark": mark})
            }
            "m.room.power_levels" => self.power_levels(known, mark),
            _ => json!({"flag": self.dice.between(0, 9), "mark": mark}),
        };
        let key = match kind {
            "org.example.flag" => format!("key{}", self.dice.between(0, 60)),
            _ => String::new(),
        };
        Act::State {
            room: known.room.clone(),
            kind,
            key,
            content,
        }
    }

    fn power_levels(&self, known: &Known, mark: &str) -> serde_json::Value {
        let mut users = serde_json::Map::new();
        for user in self.people.iter() {
            let power = *self.dice.pick(&[0, 50, 100]);
            users.insert(user.to_string(), power.into());
        }
        if known.version == RoomVersionId::V12 {
            users.remove(known.creator.as_str());
        } else {
            users.insert(known.creator.to_string(), 100.into());
        }
        json!({
            "users": users,
            "invite": *self.dice.pick(&[0, 50]),
            "events_default": *self.dice.pick(&[0, 0, 0, 50]),
            "state_default": *self.dice.pick(&[0, 50]),
            "mark": mark,
        })
    }

    fn member(known: &Known, act: MemberAct, target: OwnedUserId) -> Act {
        let room = known.room.clone();
        Act::Member { room, act, target }
    }

    /// Some membership change of somebody.
    fn somebody(&self, known: &Known) -> Act {
        let act = self.dice.weighted(&[
            (40, MemberAct::Join),
            (8, MemberAct::Leave),
            (6, MemberAct::Knock),
            (24, MemberAct::Invite),
            (8, MemberAct::Kick),
            (6, MemberAct::Ban),
            (8, MemberAct::Unban),
        ]);
        let own = matches!(act, MemberAct::Join | MemberAct::Leave | MemberAct::Knock);
        let target = if own {
            self.door.user.clone()
        } else {
            self.dice.pick(&self.people).clone()
        };
        Self::member(known, act, target)
    }

    async fn redact(&self, mark: String) {
        let Some((room, event)) = self.board.event(&self.dice) else {
            return;
        };
        let txn = mark.clone();
        self.perform(mark, Act::Redact { room, event, txn }).await;
    }

    /// What no server can do.
    fn odd(&self, known: &Known, mark: &str) -> Act {
        let room = known.room.clone();
        let kind = "m.room.message";
        let txn = self.txn(&room, kind);
        match self.dice.between(0, 3) {
            0 => Act::Send {
                room,
                kind,
                txn,
                content: json!([mark]),
            },
            1 => Act::Send {
                room,
                kind,
                txn,
                content: json!({"body": "x".repeat(66_000), "mark": mark}),
            },
            2 => Act::Send {
                room: "!nowhere:x.example".try_into().expect("a room ID"),
                kind,
                txn,
                content: json!({"mark": mark}),
            },
            _ => Act::State {
                room,
                kind: "org.example.flag",
                key: "k".repeat(256),
                content: json!({"mark": mark}),
            },
        }
    }
}
