//! A user who asks for one thing after the other, remembers what it was told, and asks again for
//! what it was not told.

use std::net::SocketAddr;

use belfry_env::{Env, Random, Shutdown};
use serde_json::json;
use tokio::sync::watch;

use crate::{
    act::{Act, KIND},
    client::{Client, Gone},
    ledger::Ledger,
};

/// Longest padding of a message: some commits fill several blocks of the journal.
const PADDING_MAX: u64 = 20_000;

/// A user with its memory, which outlives the servers.
pub(crate) struct Actor {
    pub(crate) user: String,
    pub(crate) token: String,
    pub(crate) ledger: Ledger,
    name: String,
    random: Random,
    /// Rooms that it is in; the first is everybody's.
    rooms: Vec<String>,
    /// What was sent and not answered.
    pending: Option<(String, Act)>,
    next: u64,
    /// What its account data said when it was told last.
    counted: u64,
}

impl Actor {
    pub(crate) fn new(name: &str, token: String, shared: String, random: Random) -> Self {
        Self {
            user: format!("@{name}:localhost"),
            token,
            ledger: Ledger::default(),
            name: name.to_owned(),
            random,
            rooms: vec![shared],
            pending: None,
            next: 0,
            counted: 0,
        }
    }

    /// Asks for things until the server is gone or `halt` is raised, each acknowledgement noted in the
    /// order in which they came.
    pub(crate) async fn work(
        mut self,
        env: Env,
        address: SocketAddr,
        halt: Shutdown,
        acknowledged: watch::Sender<Vec<String>>,
    ) -> Self {
        // Broken off by the server's end, which is how most of this test goes.
        let _gone: Result<(), Gone> = self.ask_on(&env, address, &halt, &acknowledged).await;
        self
    }

    async fn ask_on(
        &mut self,
        env: &Env,
        address: SocketAddr,
        halt: &Shutdown,
        acknowledged: &watch::Sender<Vec<String>>,
    ) -> Result<(), Gone> {
        let mut client = Client::connect(env, address).await?;
        self.check_count(&mut client).await?;
        while self.pending.is_some() || !halt.begun() {
            let (marker, act) = self.pending.take().unwrap_or_else(|| self.choose());
            if act.repeatable() {
                self.pending = Some((marker.clone(), act.clone()));
            }
            self.ledger.attempt(&marker, &act);
            let (method, path, body) = act.request(&self.user, &marker);
            let answer = client.get((method, &path), &self.token, &body).await?;
            self.pending = None;
            self.note(&marker, &act, act.outcome(&answer));
            acknowledged.send_modify(|markers| markers.push(marker));
        }
        Ok(())
    }

    fn note(&mut self, marker: &str, act: &Act, outcome: String) {
        match act {
            Act::Create => self.rooms.push(outcome.clone()),
            Act::Count(number) => self.counted = *number,
            Act::Say { .. } | Act::Set { .. } => {}
        }
        self.ledger.acknowledge(marker, outcome);
    }

    /// The account data says what was acknowledged last, or what was asked for since.
    async fn check_count(&self, client: &mut Client) -> Result<(), Gone> {
        let path = format!("/user/{}/account_data/{KIND}", self.user);
        let (_, answer) = client
            .ask(("GET", &path), &self.token, &json!(null))
            .await?;
        let stored = answer["number"].as_u64().unwrap_or(0);
        let pending = match &self.pending {
            Some((_, Act::Count(number))) => Some(*number),
            _ => None,
        };
        assert!(
            stored == self.counted || Some(stored) == pending,
            "{}: {stored} is stored, {} was acknowledged, {pending:?} asked for",
            self.user,
            self.counted
        );
        Ok(())
    }

    fn choose(&mut self) -> (String, Act) {
        self.next += 1;
        let marker = format!("{}-{}", self.name, self.next);
        let act = match self.random.below(20) {
            0 => Act::Create,
            1..4 => Act::Set { room: self.room() },
            4..6 => Act::Count(self.next),
            _ => Act::Say {
                room: self.room(),
                padding: self.padding(),
            },
        };
        (marker, act)
    }

    /// Half of the time the room in which everybody is.
    fn room(&self) -> String {
        let rooms = u64::try_from(self.rooms.len()).unwrap();
        let own = self.random.below(2) * self.random.below(rooms);
        self.rooms[usize::try_from(own).unwrap()].clone()
    }

    /// Mostly none, sometimes much.
    fn padding(&self) -> usize {
        let rare = self.random.below(8) == 0;
        let padding = self.random.below(if rare { PADDING_MAX } else { 200 });
        usize::try_from(padding).unwrap()
    }
}
