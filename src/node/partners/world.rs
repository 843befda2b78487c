//! The three of them.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use belfry_env::{Clock, Env, SimulatedWall};

use super::{
    member::{Member, RETRY_MAX},
    net::Net,
};
use crate::fixture::START_MS;

pub(super) const NAMES: [&str; 3] = ["hs1", "hs2", "hs3"];
/// Rounds in which everything must have arrived once nothing fails any more.
const ROUNDS_MAX: usize = 30;

/// See the module.
pub(super) struct World {
    pub(super) net: Arc<Net>,
    pub(super) members: Vec<Member>,
    pub(super) clock: Clock,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::seeded(0, [0; 3]).await
    }

    /// One in which chance falls as the seed says, and whose wall clocks are so far from right.
    pub(super) async fn seeded(seed: u64, skews_ms: [i64; 3]) -> Self {
        let env = Env::simulated(seed, &SimulatedWall::at(START_MS));
        let net = Net::new(env.clock.clone(), env.random.clone());
        let mut members = Vec::new();
        for (number, name) in (0..).zip(NAMES) {
            let wall = SimulatedWall::at(START_MS);
            wall.jump_ms(skews_ms[usize::from(number)]);
            members.push(Member::start(&net, (name, number), wall).await);
        }
        let clock = env.clock;
        Self {
            net,
            members,
            clock,
        }
    }

    pub(super) async fn pass(&self, span: Duration) {
        self.clock.sleep(span).await;
    }

    /// Time for everything under way to arrive.
    pub(super) async fn settle(&self) {
        self.pass(Duration::from_mins(1)).await;
    }

    /// These two do not reach each other.
    pub(super) fn part(&self, one: usize, other: usize) {
        let (one, other) = (self.members[one].server(), self.members[other].server());
        self.net.cut(&one, &other);
        self.net.cut(&other, &one);
    }

    /// Waits until nobody has anything left to tell, and all have the same state.
    pub(super) async fn converge(&self, room: &str) -> Result<(), String> {
        self.converge_of(room, self.members.len()).await
    }

    async fn converge_of(&self, room: &str, count: usize) -> Result<(), String> {
        let mut reason = String::new();
        for _ in 0..ROUNDS_MAX {
            self.pass(RETRY_MAX / 5).await;
            match self.differs(room, count).await {
                None => return Ok(()),
                Some(why) => reason = why,
            }
        }
        Err(reason)
    }

    async fn differs(&self, room: &str, count: usize) -> Option<String> {
        let first = self.members[0].state(room).await;
        for member in &self.members[..count] {
            let state = member.state(room).await;
            if state != first {
                let mut why = format!("{} and hs1 differ:", member.name);
                for (key, event_id) in state.iter().chain(&first) {
                    if state.get(key) != first.get(key) {
                        let there = member.standing(room, event_id).await;
                        let here = self.members[0].standing(room, event_id).await;
                        write!(why, "\n{key:?} {event_id}: {there} / {here}").unwrap();
                    }
                }
                return Some(why);
            }
            for table in ["staged", "destination", "lagging_room", "edu_outbox"] {
                let rows = member.rows(table).await;
                if rows > 0 {
                    return Some(format!("{}: {rows} rows of {table}", member.name));
                }
            }
        }
        None
    }

    pub(super) async fn assert_converged(&self, room: &str) {
        if let Err(reason) = self.converge(room).await {
            panic!("{reason}");
        }
    }

    /// The same, of a room that only the first of them are in.
    pub(super) async fn assert_converged_of(&self, room: &str, count: usize) {
        if let Err(reason) = self.converge_of(room, count).await {
            panic!("{reason}");
        }
    }

    pub(super) async fn stop(self) {
        for member in &self.members {
            self.net.remove(&member.server());
        }
        for member in self.members {
            member.stop().await;
        }
    }
}

/// A room of this version with all three in it.
pub(super) async fn shared_room(world: &World, version: &str) -> String {
    let [one, two, three] = &world.members[..] else {
        panic!("three members");
    };
    let room = one.create(version).await;
    two.join(&room, one).await;
    three.join(&room, two).await;
    world.settle().await;
    room
}
